"""The libraries that Bough is compared with: each is given the problem in the form in which it runs fastest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Generic

import torch
from torch.utils import _pytree as pytree

from bough.base.clock import Stopwatch
from bough.bench.onnx_models import MODEL
from bough.bench.problem import Array, P, Problem
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
    a folder for files that must live as long as the session."""

    name: str
    distributions: tuple[str, ...]
    install: str
    open: Callable[[P, int, Path], Session]

    @property
    def versions(self) -> str | None:
        """The versions that are installed; None where one is missing."""
        try:
            return ", ".join(f"{name} {version(name)}" for name in self.distributions)
        except PackageNotFoundError:
            return None


def open_bough(problem: Problem, threads: int, _: Path) -> Session:
    """The problem's module, compiled."""
    x = problem.x
    compiled = compile_module(problem.module, (x,), threads=threads, cache=False)

    def outputs() -> list[Array]:
        return [t.numpy() for t in pytree.tree_leaves(compiled(x))]

    return Session(lambda: compiled(x), outputs)


def open_torch(problem: Problem, threads: int, _: Path) -> Session:
    """Eager PyTorch, in the faster one of the problem's forms. Call it in inference mode, with the threads set."""
    x = problem.x

    def seconds(module: torch.nn.Module) -> float:
        module(x)
        best = float("inf")
        for _ in range(TRIALS):
            with Stopwatch() as watch:
                module(x)
            best = min(best, watch.seconds)
        return best

    with torch.inference_mode():
        forms = list(problem.forms())
        module = min(forms, key=seconds) if len(forms) > 1 else forms[0]
    del forms
    return Session(lambda: module(x), lambda: [t.numpy() for t in pytree.tree_leaves(module(x))])


def open_onnxruntime(problem: Problem, threads: int, folder: Path) -> Session:
    """With all its optimisations, its input and outputs bound ahead, so that it copies neither."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(model_file(problem, folder)), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(problem.x.numpy()))
    for output in session.get_outputs():
        binding.bind_output(output.name)

    def outputs() -> list[Array]:
        session.run_with_iobinding(binding)
        return list(binding.copy_outputs_to_cpu())

    return Session(lambda: session.run_with_iobinding(binding), outputs)


def open_openvino(problem: Problem, threads: int, folder: Path) -> Session:
    """For latency, in float32 also where the processor has bf16, its input and outputs shared and not copied."""
    import openvino

    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    core = openvino.Core()
    request = core.compile_model(str(model_file(problem, folder)), "CPU", options).create_infer_request()
    request.set_input_tensor(openvino.Tensor(problem.x.numpy(), shared_memory=True))

    def call() -> object:
        return request.infer(share_outputs=True)

    def outputs() -> list[Array]:
        call()
        return [tensor.data.copy() for tensor in request.output_tensors]

    return Session(call, outputs)


def model_file(problem: Problem, folder: Path) -> Path:
    """The problem as an ONNX model, written by whoever asks for it first."""
    file = folder / MODEL
    return file if file.exists() else problem.write_onnx(folder)


PEERS: dict[str, Peer[Problem]] = {
    peer.name: peer
    for peer in (
        Peer("torch", ("torch",), "pip install torch", open_torch),
        Peer("onnxruntime", ("onnxruntime", "onnx"), "pip install onnxruntime onnx", open_onnxruntime),
        Peer("openvino", ("openvino", "onnx"), "pip install openvino onnx", open_openvino),
    )
}
