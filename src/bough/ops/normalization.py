"""Softmax and the normalizations, in the stages that a row needs: statistics first, then each element."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bough.base.errors import InternalError
from bough.ir.dtypes import DType
from bough.ir.expr import Expr, Var, apply, as_expr, as_extent, floordiv, select
from bough.ir.kernel import Kernel, Operand
from bough.ir.program import TensorType
from bough.ops.building import (
    affine,
    axes,
    cast,
    compute_type,
    kernel,
    load,
    normal_axis,
    number,
    point,
    reduce,
    store,
)
from bough.ops.operator import Array, Arrays, Attributes, Infer, Operands, Operator, Types, present
from bough.ops.reductions import Box, mean_of, variance_terms


def _infer(name: str) -> Infer:
    def infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
        x: TensorType = present(types[0], name)
        return (TensorType(x.dtype, x.shape),)

    return infer


# --- softmax ---


@dataclass(frozen=True)
class Powers:
    """exp(x - max) along an axis and its sums, with the kernels that compute them."""

    kernels: tuple[Kernel, ...]
    powers: Operand
    sums: Operand


def softmax_stages(x: Operand, axis: int, result: str, *, masked: bool = False) -> Powers:
    """The stages of a softmax: the largest element of each row, the powers of the distances from it, and their sums.

    Subtracting the largest element keeps exp in range. `masked` rows may hold nothing but -inf: their sums are 0.
    """
    dtype = compute_type(x.dtype)
    rows = tuple(e for d, e in enumerate(x.shape) if d != axis)
    largest, powers, sums = (
        Operand(f"{result}.{stage}", dtype, shape) for stage, shape in (("max", rows), ("exp", x.shape), ("sum", rows))
    )
    box = Box(x, (axis,), False)
    best_statement, best = reduce("best", "max", box.reduced, load(x, *box.index))
    if masked:
        best = select(apply("eq", best, number(-math.inf, dtype)), number(0, dtype), best)
    over = axes("i", x.shape)
    i = point(over)
    power = apply("exp", apply("sub", load(x, *i), load(largest, *i[:axis], *i[axis + 1 :])))
    sum_statement, total = reduce("total", "sum", box.reduced, load(powers, *box.index))
    stages = (
        kernel("softmax.max", box.axes, (x,), (largest,), [best_statement, store(largest, box.result, best)]),
        kernel("softmax.exp", over, (x, largest), (powers,), [store(powers, i, power)]),
        kernel("softmax.sum", box.axes, (powers,), (sums,), [sum_statement, store(sums, box.result, total)]),
    )
    return Powers(stages, powers, sums)


def _softmax_evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x: Array = present(arrays[0], "softmax")
    if x.size == 0:
        return (x,)
    powers = np.exp(x - x.max(a["axis"], keepdims=True))
    return (powers / powers.sum(a["axis"], keepdims=True),)


def _softmax_lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
    x, (y,) = present(args[0], "softmax"), results
    axis = normal_axis(a["axis"], len(x.shape), "softmax")
    stages = softmax_stages(x, axis, y.name)
    over = axes("i", y.shape)
    i = point(over)
    value = apply("div", load(stages.powers, *i), load(stages.sums, *i[:axis], *i[axis + 1 :]))
    last = kernel("softmax", over, (stages.powers, stages.sums), results, [store(y, i, value)])
    return (*stages.kernels, last)


def _log_softmax_evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x: Array = present(arrays[0], "log_softmax")
    if x.size == 0:
        return (x,)
    away = x - x.max(a["axis"], keepdims=True)
    return (away - np.log(np.exp(away).sum(a["axis"], keepdims=True)),)


def _log_softmax_lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
    x, (y,) = present(args[0], "log_softmax"), results
    axis = normal_axis(a["axis"], len(x.shape), "log_softmax")
    box = Box(x, (axis,), False)
    rows = tuple(e for d, e in enumerate(x.shape) if d != axis)
    dtype = compute_type(x.dtype)
    largest, logs = Operand(f"{y.name}.max", dtype, rows), Operand(f"{y.name}.log", dtype, rows)
    element = load(x, *box.index)
    best_statement, best = reduce("best", "max", box.reduced, element)
    power = apply("exp", apply("sub", element, load(largest, *box.result)))
    sum_statement, total = reduce("total", "sum", box.reduced, power)
    over = axes("i", y.shape)
    i = point(over)
    row = (*i[:axis], *i[axis + 1 :])
    value = apply("sub", apply("sub", load(x, *i), load(largest, *row)), load(logs, *row))
    return (
        kernel("log_softmax.max", box.axes, (x,), (largest,), [best_statement, store(largest, box.result, best)]),
        kernel(
            "log_softmax.log", box.axes, (x, largest), (logs,),
            [sum_statement, store(logs, box.result, apply("log", total))],
        ),
        kernel("log_softmax", over, (x, largest, logs), results, [store(y, i, value)]),
    )  # fmt: skip


# --- layer_norm, rms_norm ---


def _trailing(a: Attributes, rank: int, name: str) -> int:
    """The first of the trailing dimensions that are normalized together; `axes` is their number or names them."""
    given = a.get("axes", 1)
    count = given if isinstance(given, int) else len(given)
    if not 0 < count <= rank or (
        not isinstance(given, int) and sorted(d % rank for d in given) != [*range(rank - count, rank)]
    ):
        raise InternalError(f"{name}: {given} are not trailing dimensions of a tensor of rank {rank}")
    return rank - count


def _scaled(value: Expr, w: Operand | None, b: Operand | None, index: Sequence[Expr]) -> Expr:
    if w is not None:
        value = apply("mul", value, cast(load(w, *index), value.dtype))
    return value if b is None else apply("add", value, cast(load(b, *index), value.dtype))


def _epsilon(a: Attributes, dtype: DType) -> float:
    eps: float | None = a.get("eps", 1e-5)
    return float(np.finfo(dtype.numpy if dtype.name != "bf16" else np.float32).eps) if eps is None else eps


def _inverse_root(value: Expr, eps: float) -> Expr:
    return apply("rsqrt", apply("add", value, number(eps, value.dtype)))


def _layer_norm_evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x: Array = present(arrays[0], "layer_norm")
    over = tuple(range(_trailing(a, x.ndim, "layer_norm"), x.ndim))
    away = x - x.mean(over, keepdims=True)
    y = away / np.sqrt((away * away).mean(over, keepdims=True) + x.dtype.type(a.get("eps", 1e-5)))
    return (_affine_meaning(y, arrays),)


def _affine_meaning(y: Array, arrays: Arrays) -> Array:
    w, b = (arrays[n] if len(arrays) > n else None for n in (1, 2))
    y = y if w is None else y * w
    return y if b is None else y + b


def _layer_norm_lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
    x, (y,) = present(args[0], "layer_norm"), results
    w, b = (args[n] if len(args) > n else None for n in (1, 2))
    first = _trailing(a, len(x.shape), "layer_norm")
    box = Box(x, range(first, len(x.shape)), False)
    dtype = compute_type(x.dtype)
    mean, rstd = (Operand(f"{y.name}.{stage}", dtype, x.shape[:first]) for stage in ("mean", "rstd"))
    body, center, squares = variance_terms(load(x, *box.index), box)
    spread = _inverse_root(mean_of(squares, box.count), a.get("eps", 1e-5))
    body += [store(mean, box.result, center), store(rstd, box.result, spread)]
    over = axes("i", y.shape)
    i = point(over)
    value = apply("mul", apply("sub", load(x, *i), load(mean, *i[:first])), load(rstd, *i[:first]))
    value = _scaled(value, w, b, i[first:])
    return (
        kernel("layer_norm.statistics", box.axes, (x,), (mean, rstd), body),
        kernel("layer_norm", over, (x, mean, rstd, w, b), results, [store(y, i, value)]),
    )


def _rms_norm_evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x: Array = present(arrays[0], "rms_norm")
    over = tuple(range(_trailing(a, x.ndim, "rms_norm"), x.ndim))
    eps = _epsilon(a, results[0].dtype)
    y = x / np.sqrt((x * x).mean(over, keepdims=True) + x.dtype.type(eps))
    return (_affine_meaning(y, arrays),)


def _rms_norm_lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
    x, (y,) = present(args[0], "rms_norm"), results
    w = args[1] if len(args) > 1 else None
    first = _trailing(a, len(x.shape), "rms_norm")
    box = Box(x, range(first, len(x.shape)), False)
    rstd = Operand(f"{y.name}.rstd", compute_type(x.dtype), x.shape[:first])
    element = load(x, *box.index)
    statement, squares = reduce("squares", "sum", box.reduced, apply("mul", element, element))
    spread = _inverse_root(mean_of(squares, box.count), _epsilon(a, x.dtype))
    over = axes("i", y.shape)
    i = point(over)
    value = _scaled(apply("mul", load(x, *i), load(rstd, *i[:first])), w, None, i[first:])
    return (
        kernel("rms_norm.statistics", box.axes, (x,), (rstd,), [statement, store(rstd, box.result, spread)]),
        kernel("rms_norm", over, (x, rstd, w), results, [store(y, i, value)]),
    )


# --- group_norm ---


def _group_norm_evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x: Array = present(arrays[0], "group_norm")
    size = x.shape[1] // a["groups"]
    grouped = x.reshape(x.shape[0], a["groups"], size, *x.shape[2:])
    over = tuple(range(2, grouped.ndim))
    away = grouped - grouped.mean(over, keepdims=True)
    y = away / np.sqrt((away * away).mean(over, keepdims=True) + x.dtype.type(a.get("eps", 1e-5)))
    per_channel = [None if p is None else p.reshape(-1, *(1,) * (x.ndim - 2)) for p in arrays[1:]]
    return (_affine_meaning(y.reshape(x.shape), (x, *per_channel)),)


def _group_norm_lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
    x, (y,) = present(args[0], "group_norm"), results
    w, b = (args[n] if len(args) > n else None for n in (1, 2))
    groups: int = a["groups"]
    size = as_extent(floordiv(as_expr(x.shape[1]), groups))
    grouped = Operand(x.name, x.dtype, (x.shape[0], groups, size, *x.shape[2:]))
    box = Box(grouped, range(2, len(grouped.shape)), False)

    def element(index: Sequence[Expr]) -> tuple[Expr, ...]:
        return (index[0], affine((index[1], size), (index[2], 1)), *index[3:])

    dtype = compute_type(x.dtype)
    mean, rstd = (Operand(f"{y.name}.{stage}", dtype, (x.shape[0], groups)) for stage in ("mean", "rstd"))
    body, center, squares = variance_terms(load(x, *element(box.index)), box)
    spread = _inverse_root(mean_of(squares, box.count), a.get("eps", 1e-5))
    body += [store(mean, box.result, center), store(rstd, box.result, spread)]
    over = axes("i", grouped.shape)
    i = point(over)
    place = element(i)
    value = apply("mul", apply("sub", load(x, *place), load(mean, *i[:2])), load(rstd, *i[:2]))
    value = _scaled(value, w, b, place[1:2])
    return (
        kernel("group_norm.statistics", box.axes, (x,), (mean, rstd), body),
        kernel("group_norm", over, (x, mean, rstd, w, b), results, [store(y, place, value)]),
    )


# --- batch_norm ---


def _batch_norm_evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x, mean, var = (present(v, "batch_norm") for v in arrays[:3])
    across = (-1, *(1,) * (x.ndim - 2))
    scale = 1 / np.sqrt(var + var.dtype.type(a.get("eps", 1e-5)))
    y = (x - mean.reshape(across)) * scale.reshape(across)
    return (_affine_meaning(y, (x, *(None if p is None else p.reshape(across) for p in arrays[3:]))),)


def _batch_norm_lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
    x, mean, var = (present(v, "batch_norm") for v in args[:3])
    w, b = (args[n] if len(args) > n else None for n in (3, 4))
    (y,) = results
    dtype = compute_type(x.dtype)
    scale, shift = (Operand(f"{y.name}.{stage}", dtype, (x.shape[1],)) for stage in ("scale", "shift"))
    (c,) = over_channels = axes("c", (x.shape[1],))
    channel = Var(c.name)
    factor = _inverse_root(cast(load(var, channel), dtype), a.get("eps", 1e-5))
    factor = _scaled(factor, w, None, (channel,))
    moved = apply("neg", apply("mul", cast(load(mean, channel), dtype), factor))
    moved = moved if b is None else apply("add", cast(load(b, channel), dtype), moved)
    over = axes("i", y.shape)
    i = point(over)
    value = apply("add", apply("mul", load(x, *i), load(scale, i[1])), load(shift, i[1]))
    return (
        kernel(
            "batch_norm.scale", over_channels, (mean, var, w, b), (scale, shift),
            [store(scale, (channel,), factor), store(shift, (channel,), moved)],
        ),
        kernel("batch_norm", over, (x, scale, shift), results, [store(y, i, value)]),
    )  # fmt: skip


OPERATORS: tuple[Operator, ...] = (
    Operator("softmax", "(x) {axis}", "exp(x) over its sum along an axis", _infer("softmax"), _softmax_evaluate, _softmax_lower),
    Operator("log_softmax", "(x) {axis}", "logarithm of softmax",
             _infer("log_softmax"), _log_softmax_evaluate, _log_softmax_lower),
    Operator("layer_norm", "(x, w | None, b | None) {axes, eps}", "(x - mean) / sqrt(var + eps) over trailing axes, * w + b",
             _infer("layer_norm"), _layer_norm_evaluate, _layer_norm_lower),
    Operator("rms_norm", "(x, w | None) {axes, eps}", "x / sqrt(mean(x * x) + eps) over trailing axes, times w",
             _infer("rms_norm"), _rms_norm_evaluate, _rms_norm_lower),
    Operator("group_norm", "(x, w | None, b | None) {groups, eps}", "layer_norm over each group of channels and all positions",
             _infer("group_norm"), _group_norm_evaluate, _group_norm_lower),
    Operator("batch_norm", "(x, mean, var, w | None, b | None) {eps}", "each channel with the statistics given",
             _infer("batch_norm"), _batch_norm_evaluate, _batch_norm_lower),
)  # fmt: skip
