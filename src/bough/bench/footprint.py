"""How long a library takes to load a model from its file, and how much memory the model takes there: in a process of its own.

`python -m bough.bench.footprint LIBRARY FOLDER THREADS` is that process. It loads the library's model in the folder, calls it
with the inputs that lie beside it, and prints what it saw.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bough.base.clock import Stopwatch
from bough.bench.measure import peak_memory
from bough.bench.runtimes import MODEL, onnxruntime_session, openvino_model

SAVED, ARRAYS, NESTING = "model.bough", "inputs.npz", "inputs.json"
PATIENCE = 300.0
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Footprint:
    """Seconds to load a model, and bytes that it takes at the most, weights and all, until its first call has ended. None
    where the system does not tell."""

    load: float
    memory: int | None


def footprint(library: str, folder: Path, threads: int) -> Footprint:
    """Raises RuntimeError with what the process said if it fails."""
    command = [sys.executable, "-m", "bough.bench.footprint", library, str(folder), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode:
        raise RuntimeError(f"{library} in a process of its own: {done.stderr.strip().splitlines()[-1:]}")
    return Footprint(**json.loads(done.stdout.splitlines()[-1]))


def write_inputs(folder: Path, args: Any) -> None:
    """Nested tuples and lists of arrays, for the other process."""
    arrays: list[Array] = []

    def nesting(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return [type(value).__name__, *map(nesting, value)]
        arrays.append(np.asarray(value))
        return len(arrays) - 1

    (folder / NESTING).write_text(json.dumps(nesting(args)))
    np.savez(folder / ARRAYS, *arrays)


def read_inputs(folder: Path) -> tuple[Any, list[Array]]:
    """The nested arguments, and all arrays in them."""
    with np.load(folder / ARRAYS) as file:
        arrays = [file[name] for name in file.files]

    def nested(value: Any) -> Any:
        if isinstance(value, int):
            return arrays[value]
        kind, *items = value
        return (tuple if kind == "tuple" else list)(map(nested, items))

    return nested(json.loads((folder / NESTING).read_text())), arrays


def _bough(folder: Path, threads: int) -> Callable[[], Callable[[], object]]:
    from bough.runtime import artefact

    args, _ = read_inputs(folder)

    def load() -> Callable[[], object]:
        compiled = artefact.load(folder / SAVED, threads=threads)
        return lambda: compiled.call(*args)

    return load


def _onnxruntime(folder: Path, threads: int) -> Callable[[], Callable[[], object]]:
    import onnxruntime  # noqa: F401

    feed = _named(read_inputs(folder)[1])

    def load() -> Callable[[], object]:
        session = onnxruntime_session(folder / MODEL, threads)
        names = [i.name for i in session.get_inputs()]
        return lambda: session.run(None, {name: feed[name] for name in names})

    return load


def _openvino(folder: Path, threads: int) -> Callable[[], Callable[[], object]]:
    import openvino  # noqa: F401

    feed = _named(read_inputs(folder)[1])

    def load() -> Callable[[], object]:
        model = openvino_model(folder / MODEL, threads)
        request = model.create_infer_request()
        names = [port.any_name for port in model.inputs]
        return lambda: request.infer({name: feed[name] for name in names}, share_inputs=True, share_outputs=True)

    return load


def _named(arrays: Sequence[Array]) -> dict[str, Array]:
    return {f"x{n}": array for n, array in enumerate(arrays)}


LIBRARIES: Mapping[str, Callable[[Path, int], Callable[[], Callable[[], object]]]] = {
    "bough": _bough, "onnxruntime": _onnxruntime, "openvino": _openvino,
}  # fmt: skip
"""What is imported comes before what is measured."""


def _measure(load: Callable[[], Callable[[], object]]) -> Footprint:
    def run() -> float:
        with Stopwatch() as watch:
            call = load()
        call()
        return watch.seconds

    seconds, memory = peak_memory(run)
    return Footprint(seconds, memory)


if __name__ == "__main__":
    _library, _folder, _threads = sys.argv[1:]
    print(json.dumps(asdict(_measure(LIBRARIES[_library](Path(_folder), int(_threads))))))
