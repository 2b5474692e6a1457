"""Operators that write at positions that are data. Each element of the result asks which updates are meant for it, so the
work is the number of elements times the number of updates along the axis; where updates meet, the last one wins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bough.base.errors import InternalError
from bough.ir.dtypes import I64
from bough.ir.expr import Const, Expr, Var, add, apply, as_expr, floordiv, mod, select
from bough.ir.functions import REDUCTION_FUNCTIONS, reduction_unit
from bough.ir.kernel import Axis, Kernel, Operand, Reduction, Statement
from bough.ir.program import TensorType
from bough.ops.building import (
    ZERO,
    affine,
    axes,
    cast,
    guard,
    kernel,
    load,
    load_broadcast,
    normal_axis,
    number,
    point,
    reduce,
    store,
)
from bough.ops.indexing import Layout
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types, present

NOWHERE = Const(-1)

_COMBINE: dict[str, tuple[Reduction, np.ufunc]] = {
    "add": ("sum", np.add), "prod": ("prod", np.multiply), "max": ("max", np.maximum), "min": ("min", np.minimum),
}  # fmt: skip


def _first_type(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    x: TensorType = present(types[0], "scatter")
    return (TensorType(x.dtype, x.shape),)


def _mode(attributes: Attributes) -> str:
    mode: str = attributes.get("mode", "set")
    if mode != "set" and mode not in _COMBINE:
        raise InternalError(f"scatter: unknown mode {mode}")
    return mode


Index = Sequence[Expr]


def _updated(
    mode: str, old: Expr, over: Sequence[Axis], hit: Callable[[Index, Expr, Expr], Expr], update: Callable[[Index], Expr]
) -> tuple[list[Statement], Expr]:
    """Statements for, and the value of, an element that is `old` before the updates along `over`.

    `update(k)` is update k; `hit(k, value, otherwise)` is `value` where update k is meant for this element.
    """
    k = point(over)
    if mode != "set":
        op, _ = _COMBINE[mode]
        unit = number(reduction_unit(op, old.dtype), old.dtype)
        statement, total = reduce("total", op, over, hit(k, update(k), unit))
        return [statement], apply(REDUCTION_FUNCTIONS[op], old, total)
    flat: Expr = ZERO
    for axis in over:
        flat = affine((flat, axis.extent), (Var(axis.name), 1))
    statement, last = reduce("last", "max", over, hit(k, flat, NOWHERE))
    unravelled: list[Expr] = []
    rest = last
    for axis in reversed(over[1:]):
        unravelled.insert(0, mod(rest, as_expr(axis.extent)))
        rest = floordiv(rest, as_expr(axis.extent))
    return [statement], select(apply("ge", last, ZERO), update([rest, *unravelled]), old)


# --- scatter ---


def _scatter_evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x, indices, updates = (present(a, "scatter") for a in arrays)
    axis, y = attributes["axis"] % x.ndim, x.copy()
    grids: list[Array] = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    grids[axis] = indices
    values = updates[tuple(slice(n) for n in indices.shape)]
    mode = _mode(attributes)
    if mode == "set":
        y[tuple(grids)] = values
    else:
        _COMBINE[mode][1].at(y, tuple(grids), values)
    return (y,)


def _scatter_lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
    x, indices, updates = (present(a, "scatter") for a in args)
    (y,) = results
    axis = normal_axis(attributes["axis"], len(x.shape), "scatter")
    free = axes("i", y.shape)
    i = point(free)
    over = axes("k", indices.shape[axis : axis + 1])
    inside = [
        apply("lt", v, as_expr(n))
        for d, (v, n, m) in enumerate(zip(i, indices.shape, x.shape, strict=True))
        if d != axis and n != m
    ]

    def at(k: Index) -> list[Expr]:
        return [*i[:axis], *k, *i[axis + 1 :]]

    def hit(k: Index, value: Expr, otherwise: Expr) -> Expr:
        meant = apply("eq", cast(load(indices, *at(k)), I64), i[axis])
        return guard(inside, select(meant, value, otherwise), otherwise)

    body, value = _updated(_mode(attributes), load(x, *i), over, hit, lambda k: load(updates, *at(k)))
    return (kernel("scatter", (*free, *over), args, results, [*body, store(y, i, value)]),)


# --- index_put ---


def _index_put_evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x, updates = (present(a, "index_put") for a in arrays[:2])
    places: Any = tuple(slice(None) if i is None else i for i in arrays[2:])
    y = x.copy()
    mode = _mode(attributes)
    if mode == "set":
        y[places] = updates
    else:
        _COMBINE[mode][1].at(y, places, updates)
    return (y,)


def _index_put_lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
    x, updates = (present(a, "index_put") for a in args[:2])
    (y,) = results
    layout = Layout.of(x.shape, args[2:], "index_put")
    free = axes("i", y.shape)
    i = point(free)
    over = axes("k", layout.common)
    rest = [v for d, v in enumerate(i) if d not in layout.axes]

    def hit(k: Index, value: Expr, otherwise: Expr) -> Expr:
        for d in reversed(layout.axes):
            place = cast(load_broadcast(present(args[2 + d], "index_put"), k), I64)
            if attributes.get("wrap", True):
                place = select(apply("lt", place, ZERO), add(place, as_expr(x.shape[d])), place)
            value = select(apply("eq", place, i[d]), value, otherwise)
        return value

    def update(k: Index) -> Expr:
        return load_broadcast(updates, layout.join(k, rest))

    body, value = _updated(_mode(attributes), load(x, *i), over, hit, update)
    return (kernel("index_put", (*free, *over), args, results, [*body, store(y, i, value)]),)


OPERATORS: tuple[Operator, ...] = (
    Operator("scatter", "(x, indices, updates) {axis, mode}",
             "x with updates set, add, prod, max or min at the positions of an axis that indices give",
             _first_type, _scatter_evaluate, _scatter_lower),
    Operator("index_put", "(x, updates, indices | None, ...) {mode, wrap}",
             "x with updates set, add, prod, max or min at positions of several axes; negative ones count from the end if wrap",
             _first_type, _index_put_evaluate, _index_put_lower),
)  # fmt: skip
