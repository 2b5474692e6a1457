"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bough.base.errors import InternalError
from bough.ir.expr import Expr, Var, apply
from bough.ir.kernel import Axis, Kernel, Operand
from bough.ir.program import TensorType
from bough.ops.building import ZERO, agree, axes, broadcast, cast, compute_type, kernel, load, point, reduce, store
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types, present

# --- matmul ---


def _matmul_infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    a, b = (present(t, "matmul") for t in types)
    if a.rank < 2 or b.rank < 2:
        raise InternalError(f"matmul: arguments of rank {a.rank} and {b.rank}; both need at least 2")
    agree(a.shape[-1], b.shape[-2], "matmul")
    batch = broadcast((a.shape[:-2], b.shape[:-2]), "matmul")
    return (TensorType(a.dtype, (*batch, a.shape[-2], b.shape[-1])),)


def _matmul_evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    a, b = (present(x, "matmul") for x in arrays)
    return (np.matmul(a, b),)


def _matmul_lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
    a, b = (present(x, "matmul") for x in args)
    (y,) = results
    over = axes("i", y.shape)
    *batch, i, j = point(over)
    k = Axis("k0", agree(a.shape[-1], b.shape[-2], "matmul"))

    def element(x: Operand, row: Expr, column: Expr) -> Expr:
        here = batch[len(batch) - (len(x.shape) - 2) :]
        return load(x, *(ZERO if e == 1 else v for e, v in zip(x.shape[:-2], here, strict=True)), row, column)

    product = apply("mul", element(a, i, Var(k.name)), element(b, Var(k.name), j))
    statement, total = reduce("total", "sum", (k,), product)
    return (kernel("matmul", (*over, k), args, results, [statement, store(y, (*batch, i, j), total)]),)


# --- linear ---


def _linear_infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    x, w = present(types[0], "linear"), present(types[1], "linear")
    if w.rank != 2 or x.rank < 1:
        raise InternalError(f"linear: input of rank {x.rank}, weight of rank {w.rank}")
    agree(x.shape[-1], w.shape[1], "linear")
    return (TensorType(x.dtype, (*x.shape[:-1], w.shape[0])),)


def _linear_evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x, w, b = present(arrays[0], "linear"), present(arrays[1], "linear"), arrays[2] if len(arrays) > 2 else None
    y = np.matmul(x, w.T)
    return (y if b is None else y + b,)


def _linear_lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
    x, w, b = present(args[0], "linear"), present(args[1], "linear"), args[2] if len(args) > 2 else None
    (y,) = results
    over = axes("i", y.shape)
    *rows, j = point(over)
    k = Axis("k0", agree(x.shape[-1], w.shape[1], "linear"))
    product = apply("mul", load(x, *rows, Var(k.name)), load(w, j, Var(k.name)))
    statement, total = reduce("total", "sum", (k,), product)
    value = total if b is None else apply("add", total, cast(load(b, j), compute_type(y.dtype)))
    return (kernel("linear", (*over, k), args, results, [statement, store(y, (*rows, j), value)]),)


OPERATORS: tuple[Operator, ...] = (
    Operator("matmul", "(a, b)", "matrix product over the last two dimensions; the others broadcast",
             _matmul_infer, _matmul_evaluate, _matmul_lower),
    Operator("linear", "(x, w, b | None)", "x times w transposed, plus b", _linear_infer, _linear_evaluate, _linear_lower),
)  # fmt: skip
