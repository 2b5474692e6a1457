"""Running totals. The kernel level knows no order, so a total is a sum over all elements that are not behind it.

Written so for a whole axis the work grows with the square of its length. Longer axes are cut into blocks: totals inside each
block, the total of all blocks before each, and the sum of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bough.ir.expr import Const, Expr, Var, add, apply, as_expr, as_extent, ceildiv, floordiv, mod, mul, select
from bough.ir.functions import REDUCTION_FUNCTIONS
from bough.ir.kernel import Axis, Kernel, Operand, Reduction
from bough.ir.program import TensorType
from bough.ops.building import axes, cast, compute_type, kernel, load, normal_axis, number, point, reduce, store
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types, present
from bough.ops.reductions import wider

BLOCK = 32


def _scan(name: str, summary: str, op: Reduction, meaning: Callable[..., Any], unit: int) -> Operator:
    def infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
        x: TensorType = present(types[0], name)
        return (TensorType(wider(x.dtype), x.shape),)

    def evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
        x: Array = present(arrays[0], name)
        return (meaning(x if x.dtype.kind == "f" else x.astype(np.int64), axis=attributes["axis"]),)

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
        body = select(apply("le", at, i[axis]), element, number(unit, element.dtype))
        statement, total = reduce("total", op, (k,), body)
        return (kernel(name, (*over, k), (x,), (y,), [statement, store(y, i, total)]),)

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
        statement, total = reduce("total", op, (k,), select(meant, element, number(unit, dtype)))
        first = kernel(f"{name}.inside", (*over, k), (x,), (inside,), [statement, store(inside, (*r, block, place), total)])

        over = axes("i", before.shape)
        *r, block = point(over)
        k = Axis("k0", count)
        whole_block = load(inside, *r, Var(k.name), Const(BLOCK - 1))
        body = select(apply("lt", Var(k.name), block), whole_block, number(unit, dtype))
        statement, total = reduce("total", op, (k,), body)
        second = kernel(f"{name}.before", (*over, k), (inside,), (before,), [statement, store(before, (*r, block), total)])

        over = axes("i", y.shape)
        i = point(over)
        here: list[Expr] = [*i[:axis], *i[axis + 1 :], floordiv(i[axis], BLOCK)]
        value = apply(REDUCTION_FUNCTIONS[op], load(before, *here), load(inside, *here, mod(i[axis], BLOCK)))
        return first, second, kernel(name, over, (before, inside), (y,), [store(y, i, value)])

    return Operator(name, "(x) {axis}", summary, infer, evaluate, lower)


OPERATORS: tuple[Operator, ...] = (
    _scan("cumsum", "running sum along an axis; of integers and bools in i64", "sum", np.cumsum, 0),
    _scan("cumprod", "running product along an axis; of integers and bools in i64", "prod", np.cumprod, 1),
)
