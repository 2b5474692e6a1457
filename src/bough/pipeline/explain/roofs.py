"""What a machine can do at the most: arithmetic, and reading from each of its memories."""

from __future__ import annotations

from dataclasses import dataclass

from bough.search.cost import machine_of
from bough.targets import Target

SLOWEST = 4.0
"""Bytes per cycle of a memory of which nothing is known."""
STREAMS = 4
"""Cores after which more do not read faster from a shared memory."""


@dataclass(frozen=True, slots=True)
class Roof:
    """A memory that all threads together read with so many bytes per second; `capacity` None: it holds everything."""

    name: str
    capacity: int | None
    bandwidth: float


@dataclass(frozen=True, slots=True)
class Roofs:
    """FLOP/s in f32 and the memories, the fastest first, of all threads together."""

    peak: float
    memories: tuple[Roof, ...]
    measured: bool = False

    def memory(self, working_set: float) -> Roof:
        """Where so many bytes that every call uses anew come from: the fastest memory that holds them."""
        return next(m for m in self.memories if m.capacity is None or working_set <= m.capacity)


def described_roofs(target: Target, threads: int) -> Roofs:
    """By the target's description."""
    machine = machine_of(target)
    found: list[Roof] = []
    for m in target.memories:
        if m.kind in ("cache", "memory") and m.name != "l1":
            cores = min(threads, STREAMS) if m.shared else threads
            capacity = m.bytes * (1 if m.shared else threads) if m.bytes else None
            found.append(Roof(m.name, capacity, (m.bandwidth or SLOWEST) * machine.frequency * cores))
    if not found or found[-1].capacity is not None:
        found.append(Roof("memory", None, SLOWEST * machine.frequency * min(threads, STREAMS)))
    return Roofs(2.0 * machine.lanes * machine.fma_issue * machine.frequency * threads, tuple(found))
