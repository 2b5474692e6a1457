"""The libraries that Bough is compared with: each is given the problem in the form in which it runs fastest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Generic

import torch
from torch.utils import _pytree as pytree

from bough.base.clock import Stopwatch
from bough.bench.footprint import SAVED, write_inputs
from bough.bench.onnx_export import tensors
from bough.bench.problem import Array, Form, P, Problem
from bough.bench.runtimes import MODEL, onnxruntime_session, openvino_model
from bough.pipeline import compile as compile_module

TRIALS = 3


@dataclass(frozen=True, slots=True)
class Session:
    """A problem loaded into a library. `call` runs it once, or `times` times where its inputs change from one to the next;
    `outputs` does the same and returns what came out."""

    call: Callable[[], object]
    outputs: Callable[[], list[Array]]
    times: int = 1


@dataclass(frozen=True, slots=True)
class Peer(Generic[P]):
    """A library: the distributions that it needs, how to install them, and how a problem is loaded for some threads, with
    a folder for files that must live as long as the session. `tolerance` is the error that is rounding where that is more than
    a problem says: of weights that are rounded. `best` leaves such a one out."""

    name: str
    distributions: tuple[str, ...]
    install: str
    open: Callable[[P, int, Path], Session]
    tolerance: float = 0.0

    @property
    def versions(self) -> str | None:
        """The versions that are installed; None where one is missing."""
        try:
            return ", ".join(f"{name} {version(name)}" for name in self.distributions)
        except PackageNotFoundError:
            return None


def open_bough(problem: Problem, threads: int, _: Path, precision: str = "float32") -> Session:
    """The problem's module, compiled."""
    args = problem.args
    compiled = compile_module(problem.module, args, threads=threads, precision=precision, cache=False)
    return Session(lambda: compiled(*args), lambda: arrays(compiled(*args)))


def open_saved(problem: Problem, threads: int, folder: Path) -> Session:
    """The same, with its file and its inputs in the folder, for `footprint`."""
    compiled = compile_module(problem.module, problem.args, threads=threads, cache=False)
    compiled.save(folder / SAVED)
    write_inputs(folder, pytree.tree_map(lambda x: x.numpy() if isinstance(x, torch.Tensor) else x, problem.args))
    return Session(lambda: compiled(*problem.args), lambda: arrays(compiled(*problem.args)))


def open_torch(problem: Problem, threads: int, _: Path) -> Session:
    """Eager PyTorch, in the faster one of the problem's forms. Call it in inference mode, with the threads set."""
    return _fastest(list(problem.forms()))


def open_inductor(problem: Problem, threads: int, _: Path) -> Session:
    """`torch.compile`, with weights frozen so that it may lay them out anew, on each form as in eager PyTorch."""
    torch.compiler.reset()
    return _fastest([(torch.compile(module, options={"freezing": True}), args) for module, args in problem.forms()])


def _fastest(forms: list[Form]) -> Session:
    def seconds(form: Form) -> float:
        module, args = form
        module(*args)
        best = float("inf")
        for _ in range(TRIALS):
            with Stopwatch() as watch:
                module(*args)
            best = min(best, watch.seconds)
        return best

    with torch.inference_mode():
        module, args = min(forms, key=seconds) if len(forms) > 1 else forms[0]
    return Session(lambda: module(*args), lambda: arrays(module(*args)))


def open_onnxruntime(problem: Problem, threads: int, folder: Path) -> Session:
    """Its inputs and outputs are bound ahead, so that it copies neither."""
    import onnxruntime

    session = onnxruntime_session(model_file(problem, folder), threads)
    binding = session.io_binding()
    given = inputs(problem)
    for one in session.get_inputs():
        binding.bind_ortvalue_input(one.name, onnxruntime.OrtValue.ortvalue_from_numpy(given[one.name]))
    for output in session.get_outputs():
        binding.bind_output(output.name)

    def outputs() -> list[Array]:
        session.run_with_iobinding(binding)
        return list(binding.copy_outputs_to_cpu())

    return Session(lambda: session.run_with_iobinding(binding), outputs)


def open_openvino(problem: Problem, threads: int, folder: Path) -> Session:
    """Its inputs and outputs are shared and not copied."""
    import openvino

    compiled = openvino_model(model_file(problem, folder), threads)
    request = compiled.create_infer_request()
    given = inputs(problem)
    for port in compiled.inputs:
        request.set_tensor(port, openvino.Tensor(given[port.any_name], shared_memory=True))

    def call() -> object:
        return request.infer(share_outputs=True)

    def outputs() -> list[Array]:
        call()
        return [tensor.data.copy() for tensor in request.output_tensors]

    return Session(call, outputs)


def arrays(results: Any) -> list[Array]:
    """The tensors of nested results as arrays."""
    return [tensor.numpy() for tensor in tensors(results)]


def inputs(problem: Problem) -> dict[str, Array]:
    """The tensors of the arguments, by their names in the ONNX model."""
    return {f"x{number}": tensor.contiguous().numpy() for number, tensor in enumerate(tensors(problem.args))}


def model_file(problem: Problem, folder: Path) -> Path:
    """The problem as an ONNX model, written by whoever asks for it first."""
    file = folder / MODEL
    return file if file.exists() else problem.write_onnx(folder)


PEERS: dict[str, Peer[Problem]] = {
    peer.name: peer
    for peer in (
        Peer("torch", ("torch",), "pip install torch", open_torch),
        Peer("inductor", ("torch",), "pip install torch", open_inductor),
        Peer("onnxruntime", ("onnxruntime", "onnx"), "pip install onnxruntime onnx", open_onnxruntime),
        Peer("openvino", ("openvino", "onnx"), "pip install openvino onnx", open_openvino),
        Peer("bough-bfloat16", (), "", partial(open_bough, precision="bfloat16"), tolerance=0.5),
        Peer("bough-int8", (), "", partial(open_bough, precision="int8"), tolerance=0.5),
    )
}
