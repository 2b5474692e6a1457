"""The compilers that can run a sub-network: what each needs to be installed, and how it is given one."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from bough.base.errors import CompileError
from bough.frontends.subnetworks import Network

Prepared = Callable[[Sequence[Any]], Sequence[torch.Tensor]]
"""A sub-network, ready to run: from its inputs, without those that were given as constants, to its results."""
Constants = Mapping[int, torch.Tensor]
"""Inputs that are always the same, by position."""


@dataclass(frozen=True, slots=True)
class Compiler:
    """`prepare(network, constants, threads)`; `packages` must be importable, which `install` sees to. `any_size`: whether it
    takes sub-networks with sizes that are not known; `light`: whether it is worth a call for any operators."""

    name: str
    packages: tuple[str, ...]
    install: str
    prepare: Callable[[Network, Constants, int], Prepared]
    any_size: bool = False
    light: bool = False

    def check(self) -> None:
        """Raises CompileError where a package is missing."""
        missing = [p for p in self.packages if find_spec(p) is None]
        if missing:
            raise CompileError(
                f"the backend {self.name} needs {', '.join(missing)}, which is not installed",
                code="BGH-BACK-001",
                because="sub-networks are compiled by that package",
                advice=self.install,
            )


def _closed(network: Network, constants: Constants) -> torch.fx.GraphModule:
    """A sub-network with its constants as weights. It has code of its own, by which Dynamo tells what it has compiled."""
    module = torch.fx.GraphModule({}, torch.fx.Graph())
    inputs = [n for n in network.module.graph.nodes if n.op == "placeholder"]
    weights: dict[torch.fx.Node, torch.fx.Node] = {}
    for n, tensor in constants.items():
        module.register_buffer(f"constant{n}", tensor)
        weights[inputs[n]] = module.graph.get_attr(f"constant{n}")
    module.graph.output(module.graph.graph_copy(network.module.graph, weights))
    module.recompile()
    return module


def bound(network: Network, constants: Constants) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A sub-network with its constants as weights, and examples of its other inputs."""
    return _closed(network, constants).eval(), _examples(network, constants)


def _eager(network: Network, constants: Constants, threads: int) -> Prepared:
    module = _closed(network, constants)
    return lambda inputs: module(*inputs)


def _inductor(network: Network, constants: Constants, threads: int) -> Prepared:
    compiled = torch.compile(_closed(network, constants), dynamic=not network.fixed)
    return lambda inputs: compiled(*inputs)


def _examples(network: Network, constants: Constants) -> tuple[torch.Tensor, ...]:
    return tuple(t for n, t in enumerate(network.examples) if n not in constants)


def _onnx(network: Network, constants: Constants) -> bytes:
    file = io.BytesIO()
    module = _exportable(network, constants)
    examples = _examples(network, constants)
    inputs = [f"x{n}" for n in range(len(examples))]
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # torch prints the graphs that it cannot export
        warnings.simplefilter("ignore")
        torch.onnx.export(module, examples, file, input_names=inputs, dynamo=False, opset_version=17)  # type: ignore[arg-type]
    return file.getvalue()


def _exportable(network: Network, constants: Constants) -> nn.Module:
    """The sub-network with the operators that exporters know."""
    module = _closed(network, constants)
    for node in module.graph.nodes:
        node.target = _KNOWN.get(node.target, node.target)
    module.recompile()
    return module


def _onnxruntime(network: Network, constants: Constants, threads: int) -> Prepared:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(_onnx(network, constants), options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    positions = [int(name[1:]) for name in names]

    def run(inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        given = {name: inputs[p].contiguous().numpy() for name, p in zip(names, positions, strict=True)}
        return [torch.from_numpy(a) for a in session.run(None, given)]

    return run


def _openvino(network: Network, constants: Constants, threads: int) -> Prepared:
    import openvino

    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().read_model(io.BytesIO(_onnx(network, constants)))
    compiled = openvino.Core().compile_model(model, "CPU", options)
    positions = [int(i.get_any_name()[1:]) for i in compiled.inputs]

    def run(inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        results = compiled([inputs[p].contiguous().numpy() for p in positions])
        return [torch.from_numpy(results[n].copy()) for n in range(len(compiled.outputs))]

    return run


def _tvm(network: Network, constants: Constants, threads: int) -> Prepared:
    import tvm  # type: ignore[import-not-found]
    from tvm import relax
    from tvm.relax.frontend.torch import from_exported_program  # type: ignore[import-not-found]

    module, examples = _exportable(network, constants), _examples(network, constants)
    program = from_exported_program(torch.export.export(module, examples), keep_params_as_input=False)
    machine = relax.VirtualMachine(relax.build(program, "llvm"), tvm.cpu())

    def run(inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [torch.from_numpy(r.numpy()) for r in machine["main"](*(tvm.nd.array(i.numpy()) for i in inputs))]

    return run


def _batch_norm(x: Any, weight: Any, bias: Any, mean: Any, variance: Any, momentum: float, eps: float) -> Any:
    return F.batch_norm(x, mean, variance, weight, bias, False, momentum, eps), None, None


def _layer_norm(x: Any, shape: Sequence[int], weight: Any, bias: Any, eps: float) -> Any:
    return F.layer_norm(x, tuple(shape), weight, bias, eps), None, None


def _rms_norm(x: Any, shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Any:
    axes = tuple(range(-len(shape), 0))
    y = x * torch.rsqrt(x.square().mean(axes, keepdim=True) + (torch.finfo(x.dtype).eps if eps is None else eps))
    return y if weight is None else y * weight


def _copy(x: Any, source: Any, non_blocking: bool = False) -> Any:
    return source.to(x.dtype).expand(x.shape)


_KNOWN: dict[Any, Any] = {
    torch.ops.aten.rms_norm.default: _rms_norm,
    torch.ops.aten.copy.default: _copy,
    torch.ops.aten._unsafe_view.default: torch.reshape,
    torch.ops.aten._native_batch_norm_legit_no_training.default: _batch_norm,
    torch.ops.aten.native_layer_norm.default: _layer_norm,
}
"""What functionalisation makes of layers, and torch's own functions for them."""
EAGER = Compiler("eager", (), "", _eager, any_size=True)
"""PyTorch itself, for what is not worth a call of a compiler."""
COMPILERS: dict[str, Compiler] = {
    c.name: c
    for c in (
        Compiler("onnxruntime", ("onnxruntime", "onnx"), "pip install onnxruntime onnx", _onnxruntime),
        Compiler("openvino", ("openvino", "onnx"), "pip install openvino onnx", _openvino),
        Compiler("inductor", (), "", _inductor, any_size=True),
        Compiler("tvm", ("tvm",), "install Apache TVM (https://tvm.apache.org)", _tvm),
    )
}
