"""The sum over the channels of a group and the windows of a convolution, whichever way its windows lie.

Channels are indexed by two axes (`group * size + member`), so grouped and depthwise convolutions need no division. What has one
element needs no axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bough.ir.expr import Expr, Var, apply, as_expr, as_extent, floordiv
from bough.ir.kernel import Axis, Kernel, Operand, Statement
from bough.ops.building import ZERO, affine, kernel, load, reduce, store


def index_of(axis: Axis) -> Expr:
    """Where on the axis a point is."""
    return ZERO if axis.extent == 1 else Var(axis.name)


@dataclass(frozen=True, slots=True)
class Channels:
    """The axes over samples and channels: `member` and `channel` are those of a result and of the input within their group."""

    batch: Axis
    group: Axis
    member: Axis
    channel: Axis

    @staticmethod
    def of(x: Operand, y: Operand, groups: int) -> Channels:
        inputs, outputs = (as_extent(floordiv(as_expr(o.shape[1]), groups)) for o in (x, y))
        return Channels(Axis("n0", y.shape[0]), Axis("g0", groups), Axis("o0", outputs), Axis("c0", inputs))

    @property
    def result(self) -> Expr:
        """The channel of the result, among those of all groups."""
        return affine((index_of(self.group), self.member.extent), (index_of(self.member), 1))

    @property
    def source(self) -> Expr:
        """The channel of the input, among those of all groups."""
        return affine((index_of(self.group), self.channel.extent), (index_of(self.channel), 1))


@dataclass(frozen=True, slots=True)
class Windows:
    """The axes over results and over the elements of a window. At each point, where the result and where the input lie along each
    dimension, and the whole index of the weight."""

    over: Sequence[Axis]
    taps: Sequence[Axis]
    result: Sequence[Expr]
    source: Sequence[Expr]
    weight: Sequence[Expr]


def sum_windows(x: Operand, w: Operand, b: Operand | None, y: Operand, channels: Channels, windows: Windows) -> Kernel:
    """The kernel that stores the sums of inputs times weights, plus `b`, to `y`."""
    sample = index_of(channels.batch)
    value: Expr = apply("mul", load(x, sample, channels.source, *windows.source), load(w, *windows.weight))
    reduced = [a for a in (*windows.taps, channels.channel) if a.extent != 1]
    body: list[Statement] = []
    if reduced:
        statement, value = reduce("total", "sum", reduced, value)
        body.append(statement)
    if b is not None:
        value = apply("add", value, load(b, channels.result))
    body.append(store(y, (sample, channels.result, *windows.result), value))
    free = [a for a in (channels.batch, channels.group, channels.member, *windows.over) if a.extent != 1]
    return kernel("convolution", (*free, *reduced), (x, w, b), (y,), body)
