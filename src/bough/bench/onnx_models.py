"""ONNX models of single layers, as the runtimes that take ONNX like them best: weights inside, laid out for the operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from bough.bench.problem import Array
from bough.bench.runtimes import MODEL

OPSET, IR_VERSION = 17, 8
INLINE = 1 << 26
"""Bytes of weights up to which they go into the model's own file: it may hold 2 GiB at the most, and is copied several times
on its way there."""
DIRECTIONS = 1
# How PyTorch's gates are ordered -> how ONNX's are.
GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}


def write_matmul(folder: Path, weight: Array, rows: int) -> Path:
    """y = x @ weight with x of `rows` rows."""
    k, m = weight.shape
    import onnx

    node = onnx.helper.make_node("MatMul", ["x0", "w"], ["y"])
    return _write(folder, [node], (rows, k), {"y": (rows, m)}, {"w": weight})


def write_rnn(folder: Path, module: nn.RNNBase, steps: int, batch: int) -> Path:
    """A single layer of nn.LSTM, nn.GRU or nn.RNN (tanh) with biases over an input of (steps, batch, inputs)."""
    import onnx

    kind = {"RNN_TANH": "RNN"}.get(module.mode, module.mode)
    hidden = module.hidden_size
    weights = {
        "w": _gates(module.weight_ih_l0, kind, hidden),
        "r": _gates(module.weight_hh_l0, kind, hidden),
        "b": np.concatenate([_gates(module.bias_ih_l0, kind, hidden), _gates(module.bias_hh_l0, kind, hidden)], axis=1),
    }
    state = (DIRECTIONS, batch, hidden)
    outputs = {"y": (steps, DIRECTIONS, batch, hidden), "y_h": state} | ({"y_c": state} if kind == "LSTM" else {})
    options: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}
    node = onnx.helper.make_node(kind, ["x0", "w", "r", "b"], list(outputs), hidden_size=hidden, **options)
    return _write(folder, [node], (steps, batch, module.input_size), outputs, weights)


def _gates(parameter: Any, kind: str, hidden: int) -> Array:
    """The parameter with its gates in ONNX's order, and a leading axis for directions."""
    array = parameter.detach().numpy()
    parts = [array[g * hidden : (g + 1) * hidden] for g in GATES[kind]]
    return np.concatenate(parts)[None]


def _write(
    folder: Path,
    nodes: Sequence[Any],
    x: tuple[int, ...],
    outputs: Mapping[str, tuple[int, ...]],
    weights: Mapping[str, Array],
) -> Path:
    import onnx

    def value(name: str, shape: tuple[int, ...]) -> Any:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    inline = sum(w.nbytes for w in weights.values()) <= INLINE
    initializers = [(_inside if inline else _beside)(folder, name, array) for name, array in weights.items()]
    outs = [value(name, shape) for name, shape in outputs.items()]
    graph = onnx.helper.make_graph(list(nodes), "layer", [value("x0", x)], outs, initializers)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    file = folder / MODEL
    file.write_bytes(model.SerializeToString())
    return file


def _inside(_: Path, name: str, array: Array) -> Any:
    import onnx

    return onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)


def _beside(folder: Path, name: str, array: Array) -> Any:
    """The weights in a file of their own, which the model names."""
    import onnx

    array.tofile(folder / f"{name}.bin")
    tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=array.shape)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=f"{name}.bin")
    tensor.external_data.add(key="length", value=str(array.nbytes))
    return tensor
