"""Operators whose indices are data. A position outside its dimension reads some element of the tensor, never beyond it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bough.base.errors import InternalError
from bough.ir.dtypes import BOOL, I64
from bough.ir.expr import Expr, Extent, add, apply, as_expr, maximum, minimum, select, sub
from bough.ir.kernel import Axis, Kernel, Operand, Statement
from bough.ir.program import TensorType
from bough.ops.building import (
    ZERO,
    axes,
    broadcast,
    cast,
    kernel,
    load,
    load_broadcast,
    move,
    normal_axis,
    point,
    reduce,
    store,
    times,
)
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types, present

MANY = 1 << 14
"""Elements from which on several threads share the question whether they are in range."""


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
        at = position(load(indices, *i[axis:end]), x.shape[axis], wrap=wrap and attributes.get("wrap", True))
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


# --- gather ---


def _gather_infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    x, indices = (present(t, "gather") for t in types)
    if x.rank != indices.rank:
        raise InternalError(f"gather: a tensor of rank {x.rank} and indices of rank {indices.rank}")
    return (TensorType(x.dtype, indices.shape),)


def _gather_evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x, indices = (present(a, "gather") for a in arrays)
    axis = attributes["axis"] % max(x.ndim, 1)
    if x.ndim == 0:
        return (x,)
    part = x[tuple(slice(None) if d == axis else slice(n) for d, n in enumerate(indices.shape))]
    return (np.take_along_axis(part, indices, axis),)


def _gather_lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
    x, indices = (present(a, "gather") for a in args)
    (y,) = results
    over = axes("i", y.shape)
    i = point(over)
    index = list(i)
    if i:
        axis = normal_axis(attributes["axis"], len(x.shape), "gather")
        index[axis] = position(load(indices, *i), x.shape[axis], wrap=False)
    return (kernel("gather", over, args, results, [store(y, i, move(x, index))]),)


# --- index ---


@dataclass(frozen=True)
class Layout:
    """Where indices of several axes put the dimensions that they have in common: in place of these axes where they stand
    side by side, else in front of all (as NumPy's advanced indexing does)."""

    axes: tuple[int, ...]
    common: tuple[Extent, ...]
    front: int
    shape: tuple[Extent, ...]

    @staticmethod
    def of(x: Sequence[Extent], indices: Sequence[TensorType | Operand | None], op: str) -> Layout:
        used = tuple(d for d, i in enumerate(indices) if i is not None)
        if not used or len(indices) > len(x):
            raise InternalError(f"{op}: {len(indices)} indices of a tensor of rank {len(x)}")
        common = broadcast([i.shape for i in indices if i is not None], op)
        adjacent = used == tuple(range(used[0], used[-1] + 1))
        front = used[0] if adjacent else 0
        rest = [e for d, e in enumerate(x) if d not in used]
        return Layout(used, common, front, (*rest[:front], *common, *rest[front:]))

    def split(self, i: Sequence[Expr]) -> tuple[tuple[Expr, ...], list[Expr]]:
        """An index of the result as its common part and the rest."""
        end = self.front + len(self.common)
        return tuple(i[self.front : end]), [*i[: self.front], *i[end:]]

    def join(self, common: Sequence[Expr], rest: Sequence[Expr]) -> tuple[Expr, ...]:
        """The opposite of `split`."""
        return (*rest[: self.front], *common, *rest[self.front :])


def _index_infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    x: TensorType = present(types[0], "index")
    return (TensorType(x.dtype, Layout.of(x.shape, types[1:], "index").shape),)


def _index_evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x: Array = present(arrays[0], "index")
    return (x[tuple(slice(None) if i is None else i for i in arrays[1:])],)


def _index_lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
    x, (y,) = present(args[0], "index"), results
    layout = Layout.of(x.shape, args[1:], "index")
    over = axes("i", y.shape)
    i = point(over)
    common, rest = layout.split(i)
    remaining = iter(rest)
    source = [
        position(load_broadcast(indices, common), x.shape[d], wrap=True) if indices is not None else next(remaining)
        for d, indices in enumerate((*args[1:], *(None,) * (len(x.shape) - len(args) + 1)))
    ]
    return (kernel("index", over, args, results, [store(y, i, move(x, source))]),)


# --- in_range ---


def _in_range_infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    return (TensorType(BOOL, ()),)


def _in_range_evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x: Array = present(arrays[0], "in_range")
    return (np.asarray(np.all((x >= attributes["low"]) & (x < attributes["high"]))),)


def _all(over: Sequence[Axis], holds: Expr) -> tuple[list[Statement], Expr]:
    """Statements for, and the value of, whether something holds along axes."""
    if not over:
        return [], holds
    statement, value = reduce("every", "all", over, holds)
    return [statement], value


def _in_range_lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
    """Row by row where there are many elements, so that all threads have some."""
    x, (y,) = present(args[0], "in_range"), results
    over = axes("k", x.shape)
    at = cast(load(x, *point(over)), I64)
    holds = apply("and", apply("ge", at, as_expr(attributes["low"])), apply("lt", at, as_expr(attributes["high"])))
    count = times(x.shape)
    if len(over) < 2 or (isinstance(count, int) and count < MANY):
        statements, value = _all(over, holds)
        return (kernel("in_range", over, args, results, [*statements, store(y, (), value)]),)
    rows = Operand(f"{y.name}.rows", BOOL, (over[0].extent,))
    statements, value = _all(over[1:], holds)
    first = kernel("in_range", over, args, [rows], [*statements, store(rows, point(over[:1]), value)])
    statements, value = _all(over[:1], load(rows, *point(over[:1])))
    return (first, kernel("in_range", over[:1], [rows], results, [*statements, store(y, (), value)]))


OPERATORS: tuple[Operator, ...] = (
    _take("take", "(x, indices) {axis, wrap}", "positions of an axis; negative ones count from the end if wrap", True),
    _take("embedding", "(weight, indices) {padding_idx}", "rows of weight; padding_idx matters to gradients only", False),
    Operator("take_at", "(x, position) {axis}", "one position of an axis, which is removed; 0 <= position < size",
             _take_at_infer, _take_at_evaluate, _take_at_lower),
    Operator("gather", "(x, indices) {axis}", "for each element of indices, the element of x at that position of the axis",
             _gather_infer, _gather_evaluate, _gather_lower),
    Operator("in_range", "(x) {low, high}", "whether all elements are at least low and less than high",
             _in_range_infer, _in_range_evaluate, _in_range_lower),
    Operator("index", "(x, indices | None, ...)", "elements at positions of several axes at once; negative ones wrap",
             _index_infer, _index_evaluate, _index_lower),
)  # fmt: skip
