"""Transposed convolutions with a stride, without multiplying by the zeros that the stride puts between elements.

Output `o` of a dimension takes input `i` times weight `k` where `o + padding = i * stride + k`. With `o = v * stride + r` all
outputs of one *phase* `r` take every stride-th weight, so a phase is a plain convolution, and the phases are one more axis:

    y[v * stride + r] = sum(t) x[v + first(r) - t] * w[t * stride + weight(r)]

Where first and weight are not affine in r, outputs are counted from the padding, and the first ones dropped afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bough.ir.expr import Expr, Extent, add, mul, sub
from bough.ir.kernel import Kernel, Operand
from bough.ops.building import affine, axes, guard, kernel, move, number, plus, point, store, times, within
from bough.ops.window_sums import Channels, Windows, index_of, sum_windows


@dataclass(frozen=True)
class Phases:
    """A dimension of the output in phases. `excess` is by how much more than the input there are of each phase, `dropped` how
    many outputs come before the first one that is wanted; `first` and `weight` are (at 0, per phase)."""

    stride: int
    dilation: int
    taps: int
    excess: int
    dropped: int
    first: tuple[int, int]
    weight: tuple[int, int]

    @staticmethod
    def of(window: int, stride: int, padding: int, dilation: int, output_padding: int) -> Phases:
        """The dilation is 1 where the stride is not."""
        whole, rest = divmod(padding, stride)
        dropped, first, weight = 0, (whole, 0), (0, 1)
        if rest and stride == 2:
            first, weight = (whole, 1), (1, -1)
        elif rest:
            dropped = rest
        length = dilation * (window - 1) + 1 + output_padding - 2 * padding  # of the outputs, beyond (inputs - 1) * stride
        excess = -(-(length + dropped) // stride) - 1
        return Phases(stride, dilation, -(-window // stride), excess, dropped, first, weight)

    @property
    def low(self) -> int:
        """Zeros that are read before the input."""
        return max(0, (self.taps - 1) * self.dilation - self.first[0])

    @property
    def high(self) -> int:
        """Zeros that are read behind it."""
        return max(0, self.excess + self.first[0] + self.first[1] * (self.stride - 1))

    def source(self, v: Expr, r: Expr, t: Expr) -> Expr:
        """The place in the padded input, for tap `t` counted from the last."""
        begin = self.low + self.first[0] - (self.taps - 1) * self.dilation
        return add(affine((v, 1), (r, self.first[1]), (t, self.dilation)), begin)

    def tap(self, r: Expr, t: Expr) -> Expr:
        """The place among the weights."""
        return add(affine((r, self.weight[1]), (t, -self.stride)), (self.taps - 1) * self.stride + self.weight[0])


def lower_in_phases(
    x: Operand, w: Operand, b: Operand | None, y: Operand, dimensions: Sequence[Phases], groups: int
) -> tuple[Kernel, ...]:
    """Pads input and weights where that is needed, multiplies, and drops outputs that are too many."""
    before: list[Kernel] = []
    low, high = [p.low for p in dimensions], [p.high for p in dimensions]
    if any((*low, *high)):
        x = _widened(x, f"{y.name}.padded", low, high, before)
    more = [p.taps * p.stride - e if isinstance(e, int) else 0 for p, e in zip(dimensions, w.shape[2:])]
    if any(more):
        w = _widened(w, f"{y.name}.weights", [0] * len(more), more, before)
    inner = [plus(e, p.excess - p.low - p.high) for e, p in zip(x.shape[2:], dimensions)]
    full = (*y.shape[:2], *(times((e, p.stride)) for e, p in zip(inner, dimensions)))
    is_whole = full == y.shape and not any(p.dropped for p in dimensions)
    z = y if is_whole else Operand(f"{y.name}.phases", y.dtype, full)
    before.append(_product(x, w, b, z, dimensions, groups, inner))
    if not is_whole:
        i = point(over := axes("i", y.shape))
        index = [*i[:2], *(add(at, p.dropped) for at, p in zip(i[2:], dimensions))]
        before.append(kernel("convolution.dropped", over, (z,), (y,), [store(y, i, move(z, index))]))
    return tuple(before)


def _widened(x: Operand, name: str, low: Sequence[int], high: Sequence[int], kernels: list[Kernel]) -> Operand:
    """The operand with zeros around its last dimensions."""
    padded = Operand(name, x.dtype, (*x.shape[:2], *(plus(e, a + b) for e, a, b in zip(x.shape[2:], low, high))))
    i = point(over := axes("i", padded.shape))
    inside = [c for at, a, e, b in zip(i[2:], low, x.shape[2:], high) for c in within(at, a, e, b)]
    index = (*i[:2], *(sub(at, a) for at, a in zip(i[2:], low)))
    value = guard(inside, move(x, index), number(0, x.dtype))
    kernels.append(kernel("convolution.padded", over, (x,), (padded,), [store(padded, i, value)]))
    return padded


def _product(
    x: Operand, w: Operand, b: Operand | None, z: Operand, dimensions: Sequence[Phases], groups: int, inner: Sequence[Extent]
) -> Kernel:
    channels = Channels.of(x, z, groups)
    steps, phases = axes("p", inner), axes("f", (p.stride for p in dimensions))
    taps = axes("r", (p.taps for p in dimensions))
    each = list(zip(dimensions, map(index_of, steps), map(index_of, phases), map(index_of, taps), strict=True))
    windows = Windows(
        over=[a for pair in zip(steps, phases) for a in pair],
        taps=taps,
        result=[add(mul(v, p.stride), r) for p, v, r, _ in each],
        source=[p.source(v, r, t) for p, v, r, t in each],
        weight=[channels.source, index_of(channels.member), *(p.tap(r, t) for p, _, r, t in each)],
    )
    return sum_windows(x, w, b, z, channels, windows)
