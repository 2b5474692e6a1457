"""Lists of rows of a table, each list summed, averaged, or taken the largest elements of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bough.base.errors import InternalError
from bough.ir.dtypes import F32, I64
from bough.ir.expr import Expr, Load, Var, add, apply, as_expr, as_extent, select, sub
from bough.ir.kernel import Axis, Kernel, Operand, Statement
from bough.ir.program import TensorType
from bough.ops.building import axes, cast, compute_type, kernel, load, minus, number, point, reduce, store
from bough.ops.indexing import position
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types, present

MODES = ("sum", "mean", "max")


def _infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    weight, indices, bounds = (present(t, "embedding_bag") for t in types[:3])
    if (weight.rank, indices.rank, bounds.rank) != (2, 1, 1) or attributes["mode"] not in MODES:
        raise InternalError("embedding_bag: a table of rank 2, indices and bounds of rank 1, and a known mode")
    return (TensorType(weight.dtype, (minus(bounds.shape[0], 1), weight.shape[1])),)


def _evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    weight, indices, bounds = (present(a, "embedding_bag") for a in arrays[:3])
    factors, mode, padding = arrays[3], attributes["mode"], attributes.get("padding")
    y = np.zeros((len(bounds) - 1, weight.shape[1]), weight.dtype)
    for n, (begin, end) in enumerate(zip(bounds, bounds[1:])):
        counted = [k for k in range(begin, end) if indices[k] != padding]
        rows = weight[indices[counted]] if factors is None else weight[indices[counted]] * factors[counted, None]
        if counted:
            y[n] = rows.max(0) if mode == "max" else rows.sum(0) / (len(counted) if mode == "mean" else 1)
    return (y,)


def _lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
    """One axis runs over the rows of a list, from its bound to the next."""
    weight, indices, bounds = (present(a, "embedding_bag") for a in args[:3])
    factors, (y,) = args[3], results
    n, j = point(free := axes("i", y.shape))
    begin, end = (Load(bounds.name, (at,), I64) for at in (n, add(n, 1)))
    k = Axis("k0", as_extent(sub(end, begin)))
    at = position(add(begin, Var(k.name)), indices.shape[0], wrap=False)
    index = cast(load(indices, at), I64)
    row = load(weight, position(index, weight.shape[0], wrap=False), j)
    if factors is not None:
        row = apply("mul", row, cast(load(factors, at), row.dtype))
    body, result = _combine(k, index, row, attributes)
    whole = (*free, k)
    return (kernel("embedding_bag", whole, args, results, [*body, store(y, (n, j), cast(result, compute_type(y.dtype)))]),)


def _combine(over: Axis, index: Expr, row: Expr, attributes: Attributes) -> tuple[list[Statement], Expr]:
    """Of the rows that are no padding; 0 where there are none."""
    mode, padding = attributes["mode"], attributes.get("padding")
    is_max = mode == "max"
    counts: Expr = number(1, F32)
    if padding is not None:
        is_padding = apply("eq", index, as_expr(padding))
        row = select(is_padding, number(-np.inf if is_max else 0, row.dtype), row)
        counts = select(is_padding, number(0, F32), counts)
    combined, value = reduce("s", "max" if is_max else "sum", (over,), row)
    if mode == "sum":
        return [combined], value
    counted, count = reduce("count", "sum", (over,), counts)
    none = apply("eq", count, number(0, F32))
    result = value if is_max else apply("div", value, cast(count, row.dtype))
    return [combined, counted], select(none, number(0, row.dtype), result)


OPERATORS: tuple[Operator, ...] = (
    Operator(
        "embedding_bag", "(weight, indices, bounds, factors | None) {mode, padding}",
        "rows of weight, from indices[bounds[n]] to indices[bounds[n + 1]], by mode sum, mean or max; those at padding left out",
        _infer, _evaluate, _lower,
    ),
)  # fmt: skip
