"""Convolution in any number of spatial dimensions, as a product with affine indices.

Padding is written by a kernel of its own, so that the product never asks whether it is inside; so are the zeros between the
elements of a transposed convolution's input where it is dilated as well, which else runs in phases (transposed.py). Windows that
lie in the padding are left out: their sums are zero, even where a weight is not finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase as letters

import numpy as np

from bough.base.errors import InternalError
from bough.ir.expr import Const, Expr, Extent, add, apply, as_expr, as_extent, floordiv, mod, mul, sub
from bough.ir.kernel import Kernel, Operand
from bough.ir.program import TensorType
from bough.ops.building import (
    ZERO,
    agree,
    axes,
    compute_type,
    guard,
    kernel,
    load,
    minus,
    move,
    number,
    per_dimension,
    plus,
    point,
    store,
    times,
    within,
)
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types, present
from bough.ops.transposed import Phases, lower_in_phases
from bough.ops.window_sums import Channels, Windows, index_of, sum_windows
from bough.ops.windows import sliding_windows

Border = tuple[tuple[int, ...], tuple[int, ...]]
"""Elements to add before and after each spatial dimension; negative: to drop."""


@dataclass(frozen=True)
class Geometry:
    """The attributes of a convolution, one number per spatial dimension."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    groups: int
    transposed: bool

    @staticmethod
    def of(a: Attributes, rank: int) -> Geometry:
        return Geometry(
            per_dimension(a.get("stride", 1), rank),
            per_dimension(a.get("padding", 0), rank),
            per_dimension(a.get("dilation", 1), rank),
            per_dimension(a.get("output_padding", 0), rank),
            a.get("groups", 1),
            a.get("transposed", False),
        )

    def border(self, window: Sequence[int]) -> Border:
        """Elements to add before and after each spatial dimension of the (zero-stuffed) input; negative: to drop."""
        if not self.transposed:
            return self.padding, self.padding
        low = tuple(d * (r - 1) - p for d, r, p in zip(self.dilation, window, self.padding))
        return low, tuple(a + b for a, b in zip(low, self.output_padding))

    @property
    def spread(self) -> tuple[int, ...]:
        """Distance between elements of the input in the padded one."""
        return self.stride if self.transposed else (1,) * len(self.stride)

    @property
    def steps(self) -> tuple[int, ...]:
        """Distance between windows over the padded input."""
        return (1,) * len(self.stride) if self.transposed else self.stride


def _window(w: Sequence[Extent]) -> tuple[int, ...]:
    if not all(isinstance(e, int) for e in w):
        raise InternalError("convolution: the size of the window must be known")
    return tuple(e for e in w if isinstance(e, int))


def _padded_shape(x: Sequence[Extent], g: Geometry, border: Border) -> tuple[Extent, ...]:
    spatial = (
        plus(e if s == 1 else plus(times((minus(e, 1), s)), 1), a + b)
        for e, s, a, b in zip(x[2:], g.spread, *border, strict=True)
    )
    return (*x[:2], *spatial)


def _infer(types: Types, a: Attributes) -> tuple[TensorType, ...]:
    x, w = present(types[0], "convolution"), present(types[1], "convolution")
    rank = x.rank - 2
    if rank < 1 or w.rank != x.rank:
        raise InternalError(f"convolution: input of rank {x.rank}, weight of rank {w.rank}")
    g, window = Geometry.of(a, rank), _window(w.shape[2:])
    channels = w.shape[0] if g.transposed else times((w.shape[1], g.groups))
    agree(x.shape[1], channels, "convolution")
    padded = _padded_shape(x.shape, g, g.border(window))
    spatial = (
        plus(as_extent(floordiv(as_expr(minus(e, d * (r - 1) + 1)), s)), 1)
        for e, d, r, s in zip(padded[2:], g.dilation, window, g.steps)
    )
    return (TensorType(x.dtype, (x.shape[0], times((w.shape[1], g.groups)) if g.transposed else w.shape[0], *spatial)),)


def _evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x, w = present(arrays[0], "convolution"), present(arrays[1], "convolution")
    b = arrays[2] if len(arrays) > 2 else None
    rank = x.ndim - 2
    g = Geometry.of(a, rank)
    window = w.shape[2:]
    padded = _stuffed(x, g, window)
    grouped = w.reshape(g.groups, w.shape[0] // g.groups, *w.shape[1:])
    if g.transposed:
        grouped = np.flip(np.swapaxes(grouped, 1, 2), tuple(range(3, 3 + rank)))
    windows = sliding_windows(padded, window, g.steps, g.dilation)
    windows = windows.reshape(x.shape[0], g.groups, x.shape[1] // g.groups, *windows.shape[2:])
    out, inner = letters[10 : 10 + rank], letters[20 : 20 + rank]
    y = np.einsum(f"abc{out}{inner},bdc{inner}->abd{out}", windows, grouped, optimize=True)
    y = y.reshape(y.shape[0], y.shape[1] * y.shape[2], *y.shape[3:])
    return (y if b is None else y + b.reshape(b.size, *(1,) * rank),)


def _stuffed(x: Array, g: Geometry, window: Sequence[int]) -> Array:
    """The input with zeros between its elements and around it."""
    low, high = g.border(window)
    sizes = [(n - 1) * s + 1 + p + q for n, s, p, q in zip(x.shape[2:], g.spread, low, high)]
    result = np.zeros((*x.shape[:2], *sizes), x.dtype)
    places = [np.arange(n) * s + p for n, s, p in zip(x.shape[2:], g.spread, low)]
    inside = [(at >= 0) & (at < size) for at, size in zip(places, sizes)]
    targets = [at[m] for at, m in zip(places, inside)]
    every = [np.arange(n) for n in x.shape[:2]]
    result[np.ix_(*every, *targets)] = x[np.ix_(*every, *(np.flatnonzero(m) for m in inside))]
    return result


def _pad(x: Operand, padded: Operand, g: Geometry, border: Border) -> Kernel:
    low, high = border
    over = axes("i", padded.shape)
    i = point(over)
    index = list(i)
    conditions: list[Expr] = []
    for d, (before, after, spread) in enumerate(zip(low, high, g.spread), 2):
        at = sub(i[d], before)
        index[d] = floordiv(at, spread)
        if spread == 1:
            conditions += within(i[d], before, x.shape[d], after)
            continue
        conditions += within(i[d], before, plus(times((minus(x.shape[d], 1), spread)), 1), after)
        conditions.append(apply("eq", mod(at, spread), ZERO))
    value = guard(conditions, move(x, index), number(0, x.dtype))
    return kernel("convolution.padded", over, (x,), (padded,), [store(padded, i, value)])


def _lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
    x, w = present(args[0], "convolution"), present(args[1], "convolution")
    b = args[2] if len(args) > 2 else None
    (y,) = results
    rank = len(x.shape) - 2
    g, window = Geometry.of(a, rank), _window(w.shape[2:])
    if g.transposed and all(s == 1 or d == 1 for s, d in zip(g.stride, g.dilation)):
        each = zip(window, g.stride, g.padding, g.dilation, g.output_padding)
        return lower_in_phases(x, w, b, y, [Phases.of(*dimension) for dimension in each], g.groups)
    border = g.border(window)
    inside = None if g.transposed else _inside(x.shape[2:], y.shape[2:], g, window)
    if inside is None:
        return _windows(x, w, b, y, g, window, border)
    spatial = (e if span is None else len(span) for e, span in zip(y.shape[2:], inside))
    part = Operand(f"{y.name}.inside", compute_type(y.dtype), (*y.shape[:2], *spatial))
    border = _border_of(inside, border, x.shape[2:], g, window)
    return (*_windows(x, w, None, part, g, window, border), _around(part, b, y, inside))


def _inside(
    x: Sequence[Extent], y: Sequence[Extent], g: Geometry, window: Sequence[int]
) -> tuple[range | None, ...] | None:
    """The results along each dimension whose windows reach the input, None for all of them; None where that is so for each."""
    spans: list[range | None] = []
    for e, results, s, p, d, r in zip(x, y, g.stride, g.padding, g.dilation, window, strict=True):
        span = None
        if isinstance(e, int) and isinstance(results, int) and e > 0:
            first, stop = max(0, -((d * (r - 1) - p) // s)), min(results, (e - 1 + p) // s + 1)
            span = range(first, stop) if 0 < stop - first < results else None
        spans.append(span)
    return tuple(spans) if any(spans) else None


def _border_of(
    inside: Sequence[range | None], border: Border, x: Sequence[Extent], g: Geometry, window: Sequence[int]
) -> Border:
    """The border that the windows inside need."""
    low, high = list(border[0]), list(border[1])
    for n, (span, e, s, p, d, r) in enumerate(zip(inside, x, g.stride, g.padding, g.dilation, window)):
        if span is not None and isinstance(e, int):
            low[n], high[n] = p - span[0] * s, span[-1] * s - p + d * (r - 1) + 1 - e
    return tuple(low), tuple(high)


def _around(part: Operand, b: Operand | None, y: Operand, inside: Sequence[range | None]) -> Kernel:
    """The result: what windows inside give, and zero around it; plus `b`."""
    over = axes("i", y.shape)
    i = point(over)
    index, conditions = list(i), []
    for d, span in enumerate(inside, 2):
        if span is not None:
            index[d] = sub(i[d], span[0])
            conditions += [apply("ge", i[d], Const(span[0])), apply("lt", i[d], Const(span[-1] + 1))]
    value = guard(conditions, load(part, *index), number(0, part.dtype))
    if b is not None:
        value = apply("add", value, load(b, i[1]))
    return kernel("convolution.around", over, (part, b), (y,), [store(y, i, value)])


def _windows(
    x: Operand, w: Operand, b: Operand | None, y: Operand, g: Geometry, window: Sequence[int], border: Border
) -> tuple[Kernel, ...]:
    """The sums over all windows of the input with its border."""
    rank = len(window)
    before: tuple[Kernel, ...] = ()
    first = [max(0, -a) for a in border[0]]
    if any(n > 0 for part in border for n in part) or any(s != 1 for s in g.spread):
        padded = Operand(f"{y.name}.padded", x.dtype, _padded_shape(x.shape, g, border))
        before, x, first = (_pad(x, padded, g, border),), padded, [0] * rank

    channels, spatial, taps = Channels.of(x, y, g.groups), axes("p", y.shape[2:]), axes("r", window)
    places = zip(map(index_of, spatial), map(index_of, taps), g.steps, g.dilation, first, strict=True)
    if g.transposed:
        weight = (channels.source, index_of(channels.member), *(sub(n - 1, index_of(r)) for n, r in zip(window, taps)))
    else:
        weight = (channels.result, index_of(channels.channel), *map(index_of, taps))
    windows = Windows(
        over=spatial,
        taps=taps,
        result=[*map(index_of, spatial)],
        source=[add(add(mul(p, s), mul(r, d)), n) for p, r, s, d, n in places],
        weight=weight,
    )
    return (*before, sum_windows(x, w, b, y, channels, windows))


OPERATORS: tuple[Operator, ...] = (
    Operator(
        "convolution",
        "(x, w, b | None) {stride, padding, dilation, groups, transposed, output_padding}",
        "windows of x times w, plus b; x is [batch, channel, ...], w [out, in / groups, ...], transposed [in, out / groups, ...]",
        _infer,
        _evaluate,
        _lower,
    ),
)
