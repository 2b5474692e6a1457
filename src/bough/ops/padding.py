"""Padding: elements added around a tensor, or dropped from its borders."""

from __future__ import annotations

import numpy as np

from bough.base.errors import InternalError
from bough.ir.expr import Expr, as_expr, maximum, minimum, mod, mul, sub
from bough.ir.kernel import Operand
from bough.ops.building import guard, move, number, plus, within
from bough.ops.operator import Array, Attributes
from bough.ops.views import Shape, view


def _shape(x: Shape, a: Attributes) -> Shape:
    return tuple(plus(e, plus(low, high)) for e, low, high in zip(x, a["low"], a["high"], strict=True))


def _meaning(x: Array, a: Attributes, shape: tuple[int, ...]) -> Array:
    low: tuple[int, ...] = a["low"]
    mode = a.get("mode", "constant")
    grids = [np.arange(n) - before for n, before in zip(shape, low, strict=True)]
    if mode == "constant":
        inside = [(g >= 0) & (g < n) for g, n in zip(grids, x.shape, strict=True)]
        result = np.full(shape, a.get("value", 0), x.dtype)
        result[np.ix_(*inside)] = x[np.ix_(*(g[m] for g, m in zip(grids, inside, strict=True)))]
        return result
    ends = [n - 1 for n in x.shape]
    if mode == "reflect":
        grids = [np.where(abs(g) > end, 2 * end - abs(g), abs(g)) for g, end in zip(grids, ends, strict=True)]
    elif mode == "replicate":
        grids = [g.clip(0, end) for g, end in zip(grids, ends, strict=True)]
    elif mode == "circular":
        grids = [g % (end + 1) for g, end in zip(grids, ends, strict=True)]
    else:
        raise InternalError(f"pad: unknown mode {mode}")
    return x[np.ix_(*grids)]


def _value(x: Operand, i: tuple[Expr, ...], a: Attributes) -> Expr:
    mode = a.get("mode", "constant")
    index = list(i)
    conditions: list[Expr] = []
    for d, (low, high) in enumerate(zip(a["low"], a["high"], strict=True)):
        if low == 0 and high == 0:
            continue
        size, at = as_expr(x.shape[d]), sub(i[d], low)
        last = sub(size, 1)
        if mode == "reflect":
            away = maximum(at, sub(0, at))
            at = minimum(away, sub(mul(last, 2), away))
        elif mode == "replicate":
            at = minimum(maximum(at, 0), last)
        elif mode == "circular":
            at = mod(at, size)
        elif mode == "constant":
            conditions += within(i[d], low, x.shape[d], high)
        else:
            raise InternalError(f"pad: unknown mode {mode}")
        index[d] = at
    element = move(x, index)
    return guard(conditions, element, number(a.get("value", 0), element.dtype))


OPERATORS = (
    view("pad", "(x) {low, high, value, mode}",
         "low and high more elements around each dimension (fewer where negative); mode constant, reflect, replicate, circular",
         _shape, _meaning, _value),
)  # fmt: skip
