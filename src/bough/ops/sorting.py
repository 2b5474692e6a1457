"""Order along an axis, by counting for each element how many come before it: no order of execution is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bough.ir.dtypes import BOOL, I64
from bough.ir.expr import Cast, Const, Expr, Extent, Var, apply, as_expr, select
from bough.ir.functions import reduction_unit
from bough.ir.kernel import Axis, Kernel, Operand, Statement
from bough.ir.program import TensorType
from bough.ops.building import axes, kernel, load, move, normal_axis, number, point, reduce, store
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types, present

FEW, MANY = 16, 128
"""Up to how many wanted elements, and from how many elements on, `topk` takes them one after the other."""


def _before(a: Expr, b: Expr, first: Expr, largest: bool) -> Expr:
    """Whether a stands before b, where `first` says whether it stood before b already; NaN is the largest."""
    strict = apply("gt" if largest else "lt", a, b)
    tie = apply("eq", a, b)
    if a.dtype.is_float:
        a_nan, b_nan = apply("isnan", a), apply("isnan", b)
        alone = apply("and", a_nan, apply("not", b_nan)) if largest else apply("and", b_nan, apply("not", a_nan))
        strict = apply("or", strict, alone)
        tie = apply("or", tie, apply("and", a_nan, b_nan))
    return apply("or", strict, apply("and", tie, first))


def _order(x: Array, axis: int, largest: bool) -> Array:
    """Positions in sorted order, ties as they stood."""
    order: Array = np.argsort(np.flip(x, axis) if largest else x, axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(order, axis) if largest else order


def _takes_rounds(elements: Extent, wanted: int) -> bool:
    """Whether a few are wanted of many: each after the other costs less than comparing each with each."""
    return 0 < wanted <= FEW and not (isinstance(elements, int) and elements < MANY)


def _rounds(name: str, x: Operand, values: Operand, places: Operand, axis: int, wanted: int) -> tuple[Kernel, ...]:
    """The largest, then the largest of those behind it, and so on."""
    free = axes("i", [*x.shape[:axis], *x.shape[axis + 1 :]])
    at, k = point(free), Axis("k0", x.shape[axis])

    def element(place: Expr) -> Expr:
        return load(x, *at[:axis], place, *at[axis:])

    here = element(Var(k.name))
    found: list[Operand] = []
    kernels: list[Kernel] = []
    for round_ in range(wanted):
        left: Expr = number(True, BOOL)
        if found:
            last = load(found[-1], *at)
            left = _before(element(last), here, apply("lt", last, Var(k.name)), True)
        lowest = number(reduction_unit("max", here.dtype), here.dtype)
        most, best = reduce("best", "max", (k,), select(left, here, lowest))
        hit = apply("eq", here, best)
        if here.dtype.is_float:
            hit = apply("or", hit, apply("isnan", here))
        first, place = reduce("place", "min", (k,), select(apply("and", left, hit), Var(k.name), as_expr(x.shape[axis])))
        found.append(Operand(f"{values.name}.place{round_}", I64, tuple(a.extent for a in free)))
        read = (x, *found[-2:-1])
        kernels.append(kernel(f"{name}.round", (*free, k), read, found[-1:], [most, first, store(found[-1], at, place)]))
    out = axes("i", values.shape)
    i = point(out)
    at = (*i[:axis], *i[axis + 1 :])
    chosen = load(found[-1], *at)
    for rank, operand in reversed(list(enumerate(found[:-1]))):
        chosen = select(apply("eq", i[axis], Const(rank)), load(operand, *at), chosen)
    body = [store(values, i, move(x, [*i[:axis], chosen, *i[axis + 1 :]])), store(places, i, chosen)]
    return (*kernels, kernel(name, out, (x, *found), (values, places), body))


def _sorting(
    name: str,
    signature: str,
    summary: str,
    count: Callable[[Extent, Attributes], Extent],
    is_largest: Callable[[Attributes], bool],
) -> Operator:
    def infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
        x: TensorType = present(types[0], name)
        axis = normal_axis(attributes["axis"], x.rank, name)
        shape = (*x.shape[:axis], count(x.shape[axis], attributes), *x.shape[axis + 1 :])
        return TensorType(x.dtype, shape), TensorType(I64, shape)

    def evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
        x: Array = present(arrays[0], name)
        axis = attributes["axis"] % x.ndim
        kept = np.take(_order(x, axis, is_largest(attributes)), np.arange(results[0].shape[axis]), axis)
        return np.take_along_axis(x, kept, axis), kept

    def lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
        x: Operand = present(args[0], name)
        values, places = results
        axis = normal_axis(attributes["axis"], len(x.shape), name)
        ranks = Operand(f"{values.name}.rank", I64, x.shape)
        k = Axis("k0", x.shape[axis])

        def at(i: Sequence[Expr], place: Expr) -> list[Expr]:
            return [*i[:axis], place, *i[axis + 1 :]]

        wanted = values.shape[axis]
        if is_largest(attributes) and isinstance(wanted, int) and _takes_rounds(x.shape[axis], wanted):
            return _rounds(name, x, values, places, axis, wanted)
        over = axes("i", x.shape)
        i = point(over)
        other = Var(k.name)
        earlier = _before(load(x, *at(i, other)), load(x, *i), apply("lt", other, i[axis]), is_largest(attributes))
        statement, rank = reduce("rank", "sum", (k,), Cast(earlier, I64))
        counting = kernel(f"{name}.rank", (*over, k), (x,), (ranks,), [statement, store(ranks, i, rank)])
        out = axes("i", values.shape)
        i = point(out)
        here = apply("eq", load(ranks, *at(i, other)), i[axis])
        found, place = reduce("place", "max", (k,), select(here, other, Const(0)))
        body: list[Statement] = [found, store(values, i, move(x, at(i, place))), store(places, i, place)]
        return counting, kernel(name, (*out, k), (x, ranks), results, body)

    return Operator(name, signature, summary, infer, evaluate, lower)


OPERATORS: tuple[Operator, ...] = (
    _sorting("sort", "(x) {axis, descending}", "sorted values and where they stood; stable, NaN is the largest",
             lambda n, a: n, lambda a: bool(a.get("descending", False))),
    _sorting("topk", "(x) {k, axis, largest}", "the first k of the sorted values and where they stood; NaN is the largest",
             lambda n, a: a["k"], lambda a: bool(a.get("largest", True))),
)  # fmt: skip
