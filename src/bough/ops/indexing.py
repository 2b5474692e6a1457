"""Operators whose indices are data. A position outside its dimension reads some element of the tensor, never beyond it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bough.base.errors import InternalError
from bough.ir.dtypes import I64
from bough.ir.expr import Expr, Extent, Load, add, apply, as_expr, maximum, minimum, select, sub
from bough.ir.kernel import Kernel, Operand
from bough.ir.program import TensorType
from bough.ops.building import (
    ZERO,
    axes,
    cast,
    kernel,
    load,
    move,
    normal_axis,
    point,
    store,
)
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types, present


def position(index: Expr, size: Extent, *, wrap: bool) -> Expr:
    """A loaded index as a position of a dimension; negative ones count from the end if `wrap`."""
    at = cast(index, I64)
    last = sub(as_expr(size), 1)
    if wrap:
        at = select(apply("lt", at, ZERO), add(at, as_expr(size)), at)
    return minimum(maximum(at, 0), last)


# --- take, embedding ---


def _take(name: str, signature: str, summary: str, wrap: bool) -> Operator:
    def infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
        x, indices = (present(t, name) for t in types)
        axis = normal_axis(attributes.get("axis", 0), x.rank, name)
        return (TensorType(x.dtype, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])),)

    def evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
        x, indices = (present(a, name) for a in arrays)
        return (np.take(x, indices, attributes.get("axis", 0)),)

    def lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
        x, indices = (present(a, name) for a in args)
        (y,) = results
        axis = normal_axis(attributes.get("axis", 0), len(x.shape), name)
        over = axes("i", y.shape)
        i = point(over)
        end = axis + len(indices.shape)
        at = position(load(indices, *i[axis:end]), x.shape[axis], wrap=wrap)
        return (kernel(name, over, args, results, [store(y, i, move(x, (*i[:axis], at, *i[end:])))]),)

    return Operator(name, signature, summary, infer, evaluate, lower)


# --- take_at ---


def _take_at_infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    x, at = (present(t, "take_at") for t in types)
    if at.rank != 0:
        raise InternalError("take_at: the position must have rank 0")
    axis = normal_axis(attributes.get("axis", 0), x.rank, "take_at")
    return (TensorType(x.dtype, (*x.shape[:axis], *x.shape[axis + 1 :])),)


def _take_at_evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x, at = (present(a, "take_at") for a in arrays)
    return (np.take(x, int(at), attributes.get("axis", 0)),)


def _take_at_lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
    x, at = (present(a, "take_at") for a in args)
    (y,) = results
    axis = normal_axis(attributes.get("axis", 0), len(x.shape), "take_at")
    over = axes("i", y.shape)
    i = point(over)
    # The host knows the position (a loop's index), so it needs no clamp and stays affine.
    element = move(x, (*i[:axis], cast(load(at), I64), *i[axis:]))
    return (kernel("take_at", over, args, results, [store(y, i, element)]),)


OPERATORS: tuple[Operator, ...] = (
    _take("take", "(x, indices) {axis}", "elements of an axis at integer positions; negative ones count from the end", True),
    _take("embedding", "(weight, indices) {padding_idx}", "rows of weight; padding_idx matters to gradients only", False),
    Operator("take_at", "(x, position) {axis}", "one position of an axis, which is removed; 0 <= position < size",
             _take_at_infer, _take_at_evaluate, _take_at_lower),
)  # fmt: skip
