"""Changing the size of the trailing spatial dimensions: nearest and linear interpolation, pixel shuffles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bough.ir.dtypes import I64, DType, from_numpy
from bough.ir.evaluate import evaluate as evaluate_expression
from bough.ir.expr import Cast, Expr, Extent, Var, add, apply, as_expr, as_extent, floordiv, minimum, mod, mul, sub
from bough.ir.kernel import Kernel, Operand, Statement
from bough.ir.program import TensorType
from bough.ops.building import affine, axes, compute_type, concrete, kernel, let, load, number, point, scalar, store, times
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types, present
from bough.ops.views import Shape, reindexed


def _resized(x: Shape, a: Attributes) -> Shape:
    lead = len(x) - len(a["size"])
    return (*x[:lead], *a["size"])


# --- nearest ---


def _nearest_source(x: Shape, i: tuple[Expr, ...], a: Attributes) -> list[Expr]:
    lead = len(x) - len(a["size"])
    index = list(i)
    for d, o in enumerate(a["size"], lead):
        n = x[d]
        if isinstance(n, int) and isinstance(o, int) and n and o % n == 0:
            index[d] = floordiv(i[d], o // n)
        else:
            index[d] = floordiv(mul(i[d], as_expr(n)), as_expr(o))
    return index


def _nearest_meaning(x: Array, a: Attributes, shape: tuple[int, ...]) -> Array:
    for d in range(x.ndim - len(a["size"]), x.ndim):
        x = np.take(x, np.arange(shape[d]) * x.shape[d] // shape[d], d)
    return x


# --- linear ---


def _linear_weights(i: Expr, n: Extent, o: Extent, dtype: DType, corners: bool) -> tuple[Expr, Expr, Expr]:
    """Position before the sampled point, position after it, and how far it is from the first, for result position `i`."""
    size, out = scalar(as_expr(n), dtype), scalar(as_expr(o), dtype)
    at, one, half = Cast(i, dtype), number(1, dtype), number(0.5, dtype)
    if corners:
        steps = apply("max", apply("sub", out, one), one)
        place = apply("mul", at, apply("div", apply("sub", size, one), steps))
    else:
        scale = apply("div", size, out)
        place = apply("sub", apply("mul", apply("add", at, half), scale), half)
        place = apply("max", place, number(0, dtype))
    last = sub(as_expr(n), 1)
    before = minimum(Cast(place, I64), last)
    return before, minimum(add(before, 1), last), apply("sub", place, Cast(before, dtype))


def _linear_infer(types: Types, a: Attributes) -> tuple[TensorType, ...]:
    x: TensorType = present(types[0], "upsample_linear")
    return (TensorType(x.dtype, tuple(as_extent(e) for e in _resized(x.shape, a))),)


def _linear_evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x: Array = present(arrays[0], "upsample_linear")
    dtype, shape = from_numpy(x.dtype), concrete(results[0])
    for d in range(x.ndim - len(a["size"]), x.ndim):
        terms = _linear_weights(Var("i"), x.shape[d], shape[d], dtype, bool(a.get("align_corners", False)))
        before, after, share = (evaluate_expression(e, {"i": np.arange(shape[d])}) for e in terms)
        share = share.reshape(-1, *(1,) * (x.ndim - 1 - d))
        x = np.take(x, before, d) * (1 - share) + np.take(x, after, d) * share
    return (x,)


def _linear_lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
    x, (y,) = present(args[0], "upsample_linear"), results
    lead = len(x.shape) - len(a["size"])
    over = axes("i", y.shape)
    i = point(over)
    dtype = compute_type(x.dtype)
    body: list[Statement] = []
    samples: list[tuple[Expr, Expr, Expr]] = []
    for d in range(lead, len(y.shape)):
        terms = _linear_weights(i[d], x.shape[d], y.shape[d], dtype, bool(a.get("align_corners", False)))
        named = [let(f"{part}{d - lead}", e) for part, e in zip(("before", "after", "share"), terms, strict=True)]
        body += [statement for statement, _ in named]
        before, after, share = (v for _, v in named)
        samples.append((before, after, share))

    def interpolate(index: tuple[Expr, ...]) -> Expr:
        if len(index) == len(y.shape):
            return load(x, *index)
        before, after, share = samples[len(index) - lead]
        rest = apply("sub", number(1, dtype), share)
        low, high = interpolate((*index, before)), interpolate((*index, after))
        return apply("add", apply("mul", low, rest), apply("mul", high, share))

    return (kernel("upsample_linear", over, args, results, [*body, store(y, i, interpolate(i[:lead]))]),)


# --- pixel shuffles ---


def _shuffled(x: Shape, a: Attributes) -> Shape:
    r: int = a["factor"]
    channels = as_extent(floordiv(as_expr(x[-3]), r * r))
    return (*x[:-3], channels, times((x[-2], r)), times((x[-1], r)))


def _shuffle_meaning(x: Array, a: Attributes, shape: tuple[int, ...]) -> Array:
    r: int = a["factor"]
    *lead, height, width = x.shape[:-3] + x.shape[-2:]
    apart = x.reshape(*lead, shape[-3], r, r, height, width)
    n = len(lead)
    return apart.transpose(*range(n + 1), n + 3, n + 1, n + 4, n + 2).reshape(shape)


def _shuffle_source(x: Shape, i: tuple[Expr, ...], a: Attributes) -> list[Expr]:
    r: int = a["factor"]
    *lead, c, h, w = i
    channel = affine((c, r * r), (mod(h, r), r), (mod(w, r), 1))
    return [*lead, channel, floordiv(h, r), floordiv(w, r)]


OPERATORS: tuple[Operator, ...] = (
    reindexed("upsample_nearest", "(x) {size}", "spatial element i of o is the one at floor(i * n / o)",
              _resized, _nearest_meaning, _nearest_source),
    Operator("upsample_linear", "(x) {size, align_corners}", "linear interpolation between neighbours in each dimension",
             _linear_infer, _linear_evaluate, _linear_lower),
    reindexed("pixel_shuffle", "(x) {factor}", "factor * factor channels laid out as a square of pixels",
              _shuffled, _shuffle_meaning, _shuffle_source),
)  # fmt: skip
