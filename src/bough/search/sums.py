"""Sums that a kernel takes one after the other: fewer at a time leave registers for more rows, which share what is loaded.

    z[i, j] = f(sum(k) x[i, k] * w[j, k], sum(k) h[i, k] * u[j, k])

With four of each, for the gates of an LSTM, two rows have room for eight sums, and six for four: each weight is then loaded a
third as often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bough.base.names import fresh
from bough.ir.expr import Expr, Var, loads, substitute
from bough.ir.kernel import Axis, Kernel, Let, Reduce, Statement
from bough.search.cost import Machine, work_of
from bough.search.heuristic import Context, partial_sums

FEW_ROWS = 3
"""Tiles of so few rows wait for weights. Measured on four cores of a Zen 4: an LSTM's cell of 1024 inputs and units takes 2.1
times as long with two rows as with six, for 64 texts, and of 256 units, for 16, 1.15 times. A GRU's, of six sums for which four
rows have room, gains nothing from three for eight."""


def sums_in_turn(kernel: Kernel, machine: Machine, context: Context) -> Kernel:
    """The kernel with an axis of its own for all sums that read the same, where those over one axis have room for few rows. The
    order of each sum stays."""
    if len(kernel.free) < 2 or all(n <= FEW_ROWS for n in _others(kernel, context)):
        return kernel
    order = kernel.order or partial_sums(kernel, work_of(kernel, context.sizes), machine, context)
    if order[0]:
        return kernel
    axes = list(kernel.axes)
    new: dict[str, Reduce] = {}
    taken = {a.name for a in axes} | {s.name for s in kernel.body if isinstance(s, Let)}
    for over in dict.fromkeys(r.axes for _, r in kernel.reductions):
        together = [(name, r) for name, r in kernel.reductions if r.axes == over]
        if _rows(len(together), machine) > FEW_ROWS:
            continue
        _, *others = _that_share(together)
        for number, part in enumerate(others):
            own = {a: fresh(f"{a}.{number}", taken) for a in over}
            axes += [Axis(own[a], kernel.axis(a).extent) for a in over]
            to: dict[str, Expr] = {a: Var(b) for a, b in own.items()}
            new |= {name: Reduce(r.op, tuple(own.values()), substitute(r.body, to)) for name, r in part}
    if not new:
        return kernel
    body: list[Statement] = [Let(s.name, new.get(s.name, s.value)) if isinstance(s, Let) else s for s in kernel.body]
    return replace(kernel, axes=tuple(axes), body=tuple(body), order=order)


def _others(kernel: Kernel, context: Context) -> Iterator[int]:
    """The extents of all free axes but the longest."""
    extents = work_of(kernel, context.sizes).extents
    yield from sorted(extents[a.name] for a in kernel.free)[:-1]


def _rows(sums: int, machine: Machine) -> int:
    """For how many rows of one vector so many sums leave registers."""
    return (machine.registers - 1 - sums) // sums


def _that_share(sums: list[tuple[str, Reduce]]) -> list[list[tuple[str, Reduce]]]:
    """The sums in parts that read nothing in common."""
    parts: list[tuple[set[object], list[tuple[str, Reduce]]]] = []
    for name, r in sums:
        read: set[object] = {(load.source, load.index) for load in loads(r.body)}
        related = [p for p in parts if p[0] & read]
        parts = [p for p in parts if not p[0] & read]
        parts.append((read.union(*(p[0] for p in related)), [s for p in related for s in p[1]] + [(name, r)]))
    return [members for _, members in parts]
