"""Operators without arguments: constants and counting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bough.base.errors import InternalError
from bough.ir.expr import Const, apply, as_extent
from bough.ir.kernel import Kernel, Operand
from bough.ir.program import TensorType
from bough.ops.building import axes, cast, compute_type, concrete, kernel, point, scalar, store
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types


def _full_infer(types: Types, a: Attributes) -> tuple[TensorType, ...]:
    return (TensorType(a["dtype"], tuple(as_extent(e) for e in a["shape"])),)


def _number_of(value: object, op: str) -> float | int | bool:
    value = as_extent(value) if isinstance(value, Const) else value
    if not isinstance(value, int | float):
        raise InternalError(f"{op}: an evaluation needs concrete numbers")
    return value


def _full_evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    return (np.full(concrete(results[0]), _number_of(a["value"], "full"), compute_type(a["dtype"]).numpy),)


def _full_lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
    (y,) = results
    over = axes("i", y.shape)
    return (kernel("full", over, args, results, [store(y, point(over), scalar(a["value"], y.dtype))]),)


def _iota_infer(types: Types, a: Attributes) -> tuple[TensorType, ...]:
    return (TensorType(a["dtype"], (as_extent(a["size"]),)),)


def _iota_evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    dtype = compute_type(a["dtype"]).numpy
    start, step = (_number_of(a.get(key, n), "iota") for key, n in (("start", 0), ("step", 1)))
    steps = np.arange(concrete(results[0])[0])
    return ((steps.astype(dtype) * dtype.type(step) + dtype.type(start)),)


def _iota_lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
    (y,) = results
    over = axes("i", y.shape)
    (i,) = point(over)
    dtype = compute_type(y.dtype)
    start, step = scalar(a.get("start", 0), dtype), scalar(a.get("step", 1), dtype)
    value = apply("add", apply("mul", cast(i, dtype), step), start)
    return (kernel("iota", over, args, results, [store(y, (i,), value)]),)


OPERATORS: tuple[Operator, ...] = (
    Operator("full", "() {shape, value, dtype}", "one number everywhere", _full_infer, _full_evaluate, _full_lower),
    Operator("iota", "() {size, start, step, dtype}", "start, start + step, ...", _iota_infer, _iota_evaluate, _iota_lower),
)  # fmt: skip
