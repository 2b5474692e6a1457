"""What kernels read and write: which may change places, and which may run side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bough.ir.kernel import Kernel


@dataclass(slots=True)
class Effects:
    """What kernels read, apart from what is promised to be `apart`, and what they write."""

    reads: set[str]
    writes: set[str]

    @staticmethod
    def of(kernel: Kernel) -> Effects:
        return Effects({i.name for i in kernel.inputs if i.name not in kernel.apart}, {o.name for o in kernel.outputs})

    @staticmethod
    def all(kernels: Iterable[Kernel]) -> Effects:
        total = Effects(set(), set())
        for k in kernels:
            total.add(Effects.of(k))
        return total

    def add(self, other: Effects) -> None:
        self.reads |= other.reads
        self.writes |= other.writes

    def after(self, other: Effects, states: frozenset[str] = frozenset()) -> bool:
        """Whether it must run after the other, which stands before it. Of `states` each kernel writes elements of its own."""
        return not (
            self.reads.isdisjoint(other.writes)
            and self.writes.isdisjoint(other.reads)
            and (self.writes & other.writes).issubset(states)
        )


def depths(effects: Iterable[Effects], states: frozenset[str]) -> list[int]:
    """For each in a straight run, how many must run one after the other before it: those of equal depth need nothing of each
    other, and any order by depth is right."""
    seen: list[tuple[Effects, int]] = []
    for e in effects:
        seen.append((e, 1 + max((depth for before, depth in seen if e.after(before, states)), default=-1)))
    return [depth for _, depth in seen]
