"""Operators that combine the elements along axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bough.ir.dtypes import BOOL, I64, DType
from bough.ir.expr import Const, Expr, Extent, Var, apply, as_expr, select
from bough.ir.kernel import Axis, Kernel, Operand, Reduction, Statement
from bough.ir.program import TensorType
from bough.ops.building import (
    affine,
    axes,
    cast,
    compute_type,
    kernel,
    load,
    normal_axes,
    normal_axis,
    number,
    point,
    reduce,
    scalar,
    store,
    times,
)
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types, present

Shape = tuple[Extent, ...]

_OF_BOOLS: dict[Reduction, Reduction] = {"max": "any", "min": "all"}


def reduced_shape(shape: Sequence[Extent], over: Sequence[int], keep: bool) -> Shape:
    """The shape after a reduction over some axes, which stay with size 1 if `keep`."""
    return tuple(1 if d in over else e for d, e in enumerate(shape) if keep or d not in over)


class Box:
    """The axes of a reduction kernel over an operand: free ones `i`, reduced ones `k`, and the index of each side."""

    def __init__(self, x: Operand, over: Sequence[int], keep: bool) -> None:
        free = iter(axes("i", (e for d, e in enumerate(x.shape) if d not in over)))
        reduced = iter(axes("k", (x.shape[d] for d in over)))
        by_dimension = [next(reduced) if d in over else next(free) for d in range(len(x.shape))]
        self.free: tuple[Axis, ...] = tuple(a for d, a in enumerate(by_dimension) if d not in over)
        self.reduced: tuple[Axis, ...] = tuple(by_dimension[d] for d in over)
        self.axes: tuple[Axis, ...] = (*self.free, *self.reduced)
        self.index: tuple[Expr, ...] = point(by_dimension)
        self.result: tuple[Expr, ...] = tuple(
            Const(0) if d in over else Var(a.name) for d, a in enumerate(by_dimension) if keep or d not in over
        )
        self.count: Extent = times(a.extent for a in self.reduced)


def wider(dtype: DType) -> DType:
    """Sums and products of integers and bools are i64, as in PyTorch."""
    return dtype if dtype.is_float else I64


def _options(attributes: Attributes, rank: int, op: str) -> tuple[tuple[int, ...], bool]:
    return normal_axes(attributes.get("axes"), rank, op), bool(attributes.get("keep", False))


def _reduction(
    name: str,
    summary: str,
    op: Reduction,
    result_type: Callable[[DType], DType],
    meaning: Callable[..., Any],
    finish: Callable[[Expr, Extent], Expr] | None = None,
    unit: float | bool | None = None,
) -> Operator:
    """The operator that reduces by `op` in `result_type` and then applies `finish(value, count)`."""

    def infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
        x: TensorType = present(types[0], name)
        over, keep = _options(attributes, x.rank, name)
        return (TensorType(result_type(x.dtype), reduced_shape(x.shape, over, keep)),)

    def evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
        x: Array = present(arrays[0], name)
        over, keep = _options(attributes, x.ndim, name)
        if not over:
            x, over = x[..., None], (x.ndim,)
            keep = False
        options: dict[str, Any] = {"axis": over, "keepdims": keep}
        if unit is not None and x.dtype.kind == "f":
            options["initial"] = unit
        if op in ("sum", "prod") and x.dtype.kind != "f":
            options["dtype"] = np.int64
        return (np.asarray(meaning(x, **options)),)

    def lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
        x, (y,) = present(args[0], name), results
        over, keep = _options(attributes, len(x.shape), name)
        box = Box(x, over, keep)
        element = cast(load(x, *box.index), compute_type(result_type(x.dtype)))
        body: list[Statement] = []
        value = element
        if over:
            statement, value = reduce("total", _OF_BOOLS.get(op, op) if element.dtype == BOOL else op, box.reduced, element)
            body.append(statement)
        if finish is not None:
            value = finish(value, box.count)
        body.append(store(y, box.result, value))
        return (kernel(name, box.axes, args, results, body),)

    return Operator(name, "(x) {axes, keep}", summary, infer, evaluate, lower)


def _average(x: Array, axis: tuple[int, ...], keepdims: bool) -> Any:
    count = x.dtype.type(np.prod([x.shape[d] for d in axis], dtype=np.int64))
    return np.true_divide(np.sum(x, axis, keepdims=keepdims), count)


def mean_of(total: Expr, count: Extent) -> Expr:
    """A total divided by the number of its elements."""
    return apply("div", total, scalar(count if isinstance(count, int) else as_expr(count), total.dtype))


# --- variance ---


def _variance_infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    x: TensorType = present(types[0], "reduce_var")
    over, keep = _options(attributes, x.rank, "reduce_var")
    return (TensorType(x.dtype, reduced_shape(x.shape, over, keep)),)


def _variance_evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x: Array = present(arrays[0], "reduce_var")
    over, keep = _options(attributes, x.ndim, "reduce_var")
    count = int(np.prod([x.shape[d] for d in over], dtype=np.int64))
    away = x - _average(x, over, True)
    total = np.sum(away * away, over, keepdims=keep)
    return (total / x.dtype.type(max(count - attributes.get("correction", 1), 0)),)


def variance_terms(element: Expr, box: Box) -> tuple[list[Statement], Expr, Expr]:
    """Statements for the mean and the sum of squared distances from it, in two passes, and both as locals."""
    sum_statement, total = reduce("total", "sum", box.reduced, element)
    mean = mean_of(total, box.count)
    away = apply("sub", element, mean)
    square_statement, squares = reduce("squares", "sum", box.reduced, apply("mul", away, away))
    return [sum_statement, square_statement], mean, squares


def _variance_lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
    x, (y,) = present(args[0], "reduce_var"), results
    over, keep = _options(attributes, len(x.shape), "reduce_var")
    box = Box(x, over, keep)
    body, _, squares = variance_terms(load(x, *box.index), box)
    correction: float | int = attributes.get("correction", 1)
    dtype = squares.dtype
    count = scalar(box.count if isinstance(box.count, int) else as_expr(box.count), dtype)
    freedom = apply("max", apply("sub", count, number(correction, dtype)), number(0, dtype))
    if isinstance(box.count, int):
        freedom = number(max(box.count - correction, 0), dtype)
    return (
        kernel("reduce_var", box.axes, args, results, [*body, store(y, box.result, apply("div", squares, freedom))]),
    )


# --- positions ---


def _position(name: str, summary: str, op: Reduction, meaning: Callable[..., Any]) -> Operator:
    """argmax and argmin: the first position of the extreme value; the first NaN where there is one."""

    def options(attributes: Attributes, rank: int) -> tuple[tuple[int, ...], bool]:
        axis = attributes.get("axis")
        over = tuple(range(rank)) if axis is None else (normal_axis(axis, rank, name),)
        return over, bool(attributes.get("keep", False))

    def infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
        x: TensorType = present(types[0], name)
        return (TensorType(I64, reduced_shape(x.shape, *options(attributes, x.rank))),)

    def evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
        x: Array = present(arrays[0], name)
        return (meaning(x, axis=attributes.get("axis"), keepdims=bool(attributes.get("keep", False))),)

    def lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
        x, (y,) = present(args[0], name), results
        box = Box(x, *options(attributes, len(x.shape)))
        element = load(x, *box.index)
        position: Expr = Const(0)
        for a in box.reduced:
            position = affine((position, a.extent), (Var(a.name), 1))
        if not box.reduced:
            return (kernel(name, box.axes, args, results, [store(y, box.result, Const(0))]),)
        best_statement, best = reduce("best", op, box.reduced, element)
        hit = apply("eq", element, best)
        if element.dtype.is_float:
            hit = apply("or", hit, apply("isnan", element))
        where_statement, where = reduce("where", "min", box.reduced, select(hit, position, as_expr(box.count)))
        return (kernel(name, box.axes, args, results, [best_statement, where_statement, store(y, box.result, where)]),)

    return Operator(name, "(x) {axis, keep}", summary, infer, evaluate, lower)


def _same(dtype: DType) -> DType:
    return dtype


def _truth(_: DType) -> DType:
    return BOOL


OPERATORS: tuple[Operator, ...] = (
    _reduction("reduce_sum", "sum; of integers and bools in i64", "sum", wider, np.sum),
    _reduction("reduce_mean", "sum divided by the number of elements", "sum", _same, _average, mean_of),
    _reduction("reduce_max", "largest element, NaN if there is one", "max", _same, np.max, unit=-np.inf),
    _reduction("reduce_min", "smallest element, NaN if there is one", "min", _same, np.min, unit=np.inf),
    _reduction("reduce_prod", "product; of integers and bools in i64", "prod", wider, np.prod),
    _reduction("reduce_any", "whether any element is not zero", "any", _truth, np.any),
    _reduction("reduce_all", "whether no element is zero", "all", _truth, np.all),
    Operator("reduce_var", "(x) {axes, keep, correction}", "squared distance from the mean, over count - correction",
             _variance_infer, _variance_evaluate, _variance_lower),
    _position("argmax", "first position of the largest element, or of NaN", "max", np.argmax),
    _position("argmin", "first position of the smallest element, or of NaN", "min", np.argmin),
)  # fmt: skip
