"""Running totals. The kernel level knows no order, so a total is a sum over all elements that are not behind it.

Written so for a whole axis the work grows with the square of its length. Longer axes are cut into blocks: totals inside each
block, the total of all blocks before each, and the sum of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bough.ir.dtypes import DType
from bough.ir.expr import Const, Expr, Var, add, apply, as_expr, as_extent, ceildiv, floordiv, mod, mul, select
from bough.ir.functions import REDUCTION_FUNCTIONS, reduction_unit
from bough.ir.kernel import Axis, Kernel, Operand, Reduction, Statement
from bough.ir.program import TensorType
from bough.ops.building import axes, cast, compute_type, kernel, load, normal_axis, number, point, reduce, store
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types, present
from bough.ops.reductions import wider

BLOCK = 32

Total = Callable[[Axis, Expr, Expr], tuple[list[Statement], Expr]]
"""`total(axis, meant, element)`: the statements and the value of the total of those elements along an axis that are meant."""


def _reduction(op: Reduction) -> Total:
    def total(k: Axis, meant: Expr, element: Expr) -> tuple[list[Statement], Expr]:
        unit = number(reduction_unit(op, element.dtype), element.dtype)
        statement, value = reduce("total", op, (k,), select(meant, element, unit))
        return [statement], value

    return total


def _log_sum_exp(k: Axis, meant: Expr, element: Expr) -> tuple[list[Statement], Expr]:
    """Relative to the largest element, so that no exponential overflows."""
    lowest, zero = number(float("-inf"), element.dtype), number(0, element.dtype)
    highest, most = reduce("highest", "max", (k,), select(meant, element, lowest))
    shift = select(apply("isinf", most), zero, most)
    terms, value = reduce("terms", "sum", (k,), select(meant, apply("exp", apply("sub", element, shift)), zero))
    return [highest, terms], apply("add", apply("log", value), shift)


def _log_add_exp(a: Expr, b: Expr) -> Expr:
    """Infinities that are equal have no difference."""
    more, less = apply("max", a, b), apply("min", a, b)
    rest = apply("log1p", apply("exp", apply("sub", less, more)))
    return select(apply("and", apply("eq", a, b), apply("isinf", a)), a, apply("add", more, rest))


def _same(dtype: DType) -> DType:
    return dtype


def _scan(
    name: str,
    summary: str,
    meaning: Callable[..., Any],
    total: Total,
    join: Callable[[Expr, Expr], Expr],
    result_type: Callable[[DType], DType],
) -> Operator:
    """`join` makes the total of two parts from the totals of each."""

    def infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
        x: TensorType = present(types[0], name)
        return (TensorType(result_type(x.dtype), x.shape),)

    def evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
        x: Array = present(arrays[0], name)
        with np.errstate(all="ignore"):
            return (meaning(x, axis=attributes["axis"]),)

    def lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
        x, (y,) = present(args[0], name), results
        axis = normal_axis(attributes["axis"], len(x.shape), name)
        length = x.shape[axis]
        return whole(x, y, axis) if isinstance(length, int) and length <= 2 * BLOCK else blocked(x, y, axis)

    def whole(x: Operand, y: Operand, axis: int) -> tuple[Kernel, ...]:
        over = axes("i", y.shape)
        i = point(over)
        k = Axis("k0", x.shape[axis])
        at = Var(k.name)
        element = cast(load(x, *i[:axis], at, *i[axis + 1 :]), compute_type(y.dtype))
        statements, value = total(k, apply("le", at, i[axis]), element)
        return (kernel(name, (*over, k), (x,), (y,), [*statements, store(y, i, value)]),)

    def blocked(x: Operand, y: Operand, axis: int) -> tuple[Kernel, ...]:
        dtype = compute_type(y.dtype)
        length = as_expr(x.shape[axis])
        count = as_extent(ceildiv(length, BLOCK))
        rest = (*x.shape[:axis], *x.shape[axis + 1 :])
        inside = Operand(f"{y.name}.inside", dtype, (*rest, count, BLOCK))
        before = Operand(f"{y.name}.before", dtype, (*rest, count))

        over = axes("i", inside.shape)
        *r, block, place = point(over)
        k = Axis("k0", BLOCK)
        at = add(mul(block, BLOCK), Var(k.name))
        element = cast(load(x, *r[:axis], at, *r[axis:]), dtype)
        meant = apply("and", apply("le", Var(k.name), place), apply("lt", at, length))
        statements, value = total(k, meant, element)
        first = kernel(f"{name}.inside", (*over, k), (x,), (inside,), [*statements, store(inside, (*r, block, place), value)])

        over = axes("i", before.shape)
        *r, block = point(over)
        k = Axis("k0", count)
        whole_block = load(inside, *r, Var(k.name), Const(BLOCK - 1))
        statements, value = total(k, apply("lt", Var(k.name), block), whole_block)
        second = kernel(f"{name}.before", (*over, k), (inside,), (before,), [*statements, store(before, (*r, block), value)])

        over = axes("i", y.shape)
        i = point(over)
        here: list[Expr] = [*i[:axis], *i[axis + 1 :], floordiv(i[axis], BLOCK)]
        both = join(load(before, *here), load(inside, *here, mod(i[axis], BLOCK)))
        return first, second, kernel(name, over, (before, inside), (y,), [store(y, i, both)])

    return Operator(name, "(x) {axis}", summary, infer, evaluate, lower)


def _reducing(name: str, summary: str, op: Reduction, meaning: Callable[..., Any], result: Callable[[DType], DType]) -> Operator:
    return _scan(name, summary, meaning, _reduction(op), lambda a, b: apply(REDUCTION_FUNCTIONS[op], a, b), result)


def _widened(meaning: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axis: meaning(x if x.dtype.kind == "f" else x.astype(np.int64), axis=axis)


OPERATORS: tuple[Operator, ...] = (
    _reducing("cumsum", "running sum along an axis; of integers and bools in i64", "sum", _widened(np.cumsum), wider),
    _reducing("cumprod", "running product along an axis; of integers and bools in i64", "prod", _widened(np.cumprod), wider),
    _reducing("cummax", "largest element so far along an axis, NaN from the first one on", "max", np.maximum.accumulate, _same),
    _reducing("cummin", "smallest element so far along an axis, NaN from the first one on", "min", np.minimum.accumulate, _same),
    _scan("logcumsumexp", "logarithm of the running sum of exponentials along an axis", np.logaddexp.accumulate,
          _log_sum_exp, _log_add_exp, _same),
)  # fmt: skip
