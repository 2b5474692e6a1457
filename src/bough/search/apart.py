"""Whether many calls of a function are computed sooner side by side, one on each thread, than together.

Together, weights are read once for all, and every kernel has more rows; but what a call has computed leaves the caches before the
next kernel reads it. Side by side, nobody waits for anybody, and what a call computes stays near.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

from bough.ir.expr import Load, loads, variables
from bough.ir.kernel import Kernel
from bough.ir.sequence import Repeat, Sequence, Step, bodies, nominal_sizes, phase
from bough.search.cost import machine_of, nominal
from bough.targets import Target

GAIN = 1.3
"""Reading weights once for all must promise so much: in theory, for arrays of all calls leave the caches."""
SHORT = 3e5
"""Cycles of arithmetic below which a call is too short to be handed to a thread."""


def apart(sequence: Sequence, target: Target) -> bool:
    """Whether calls at their smallest sizes are long, and bound by arithmetic more than by reading weights."""
    machine = machine_of(target)
    sizes = {d.name: max(1, d.low) for d in sequence.dims} | dict.fromkeys(nominal_sizes(sequence.steps), 1)
    work = [(runs, *_work(kernel, frozenset(sequence.constants), sizes)) for kernel, runs in _runs(sequence.steps, sizes)]
    rate = _bytes_per_cycle(sum(read for _, _, read in work), target)
    arithmetic = [points / (machine.lanes * machine.fma_issue) for _, points, _ in work]
    together = sum(runs * cycles for (runs, _, _), cycles in zip(work, arithmetic, strict=True))
    alone = sum(runs * max(cycles, read / rate) for (runs, _, read), cycles in zip(work, arithmetic, strict=True))
    return together >= SHORT and alone < GAIN * together


def _runs(steps: tuple[Step, ...], sizes: Mapping[str, int], runs: int = 1) -> Iterator[tuple[Kernel, int]]:
    """Each kernel, and how often it runs where every way is taken and every loop without a known count has one turn."""
    for s in steps:
        inside = runs * nominal(s.count, sizes) if isinstance(s, Repeat) else runs
        for k in phase(s):
            yield k, runs
        for body in bodies(s):
            yield from _runs(body, sizes, inside)


def _work(kernel: Kernel, constants: frozenset[str], sizes: Mapping[str, int]) -> tuple[float, float]:
    """The steps of its sums, and the bytes of constants that they read."""
    extents = {a.name: nominal(a.extent, sizes) for a in kernel.axes}
    points = read = 0.0
    free = prod(extents[a.name] for a in kernel.free)
    for _, reduce in kernel.reductions:
        points += free * prod(extents[a] for a in reduce.axes)
        weights = {load for load in loads(reduce.body) if load.source in constants}
        read += sum(prod(extents[a] for a in _axes(w) if a in extents) * w.dtype.bytes for w in weights)
    return points, read


def _axes(load: Load) -> set[str]:
    return {v for i in load.index for v in variables(i)}


def _bytes_per_cycle(size: float, target: Target) -> float:
    """How fast a core reads so many bytes that it reads again in each call: from the first memory that holds them."""
    held = [m for m in target.memories if m.kind in ("cache", "memory") and m.bandwidth and (m.bytes is None or m.bytes >= size)]
    return held[0].bandwidth if held else 8.0
