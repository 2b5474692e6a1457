"""A straight run of kernels that fusion takes apart and puts together, and who in it reads and writes what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bough.graph_passes.effects import Effects
from bough.ir.kernel import Kernel


class Block:
    """Kernels at places in order, some of them empty, so that a change does not move what stands around it."""

    def __init__(self, kernels: Iterable[Kernel]) -> None:
        self.places: list[Kernel | None] = []
        self.effects: list[Effects] = []
        self.readers: dict[str, set[int]] = {}
        self.writers: dict[str, set[int]] = {}
        self.promised: dict[str, int] = {}
        for kernel in kernels:
            self.places.append(None)
            self.effects.append(Effects(set(), set()))
            self.put(len(self.places) - 1, kernel)

    def __iter__(self) -> Iterator[Kernel]:
        return (k for k in self.places if k is not None)

    def kernels(self, places: Iterable[int]) -> list[Kernel]:
        """Those at places that are not empty."""
        return [k for n in places if (k := self.places[n]) is not None]

    def put(self, place: int, kernel: Kernel | None) -> None:
        """Another kernel at a place, or none."""
        before = self.places[place]
        if before is not None:
            self._count(place, before, leaves=True)
        self.places[place] = kernel
        self.effects[place] = Effects(set(), set()) if kernel is None else Effects.of(kernel)
        if kernel is not None:
            self._count(place, kernel, leaves=False)

    def _count(self, place: int, kernel: Kernel, leaves: bool) -> None:
        for table, operands in ((self.readers, kernel.inputs), (self.writers, kernel.outputs)):
            for o in operands:
                places = table.setdefault(o.name, set())
                places.discard(place) if leaves else places.add(place)
        for name in kernel.apart:
            self.promised[name] = self.promised.get(name, 0) + (-1 if leaves else 1)

    def is_state(self, name: str) -> bool:
        """Whether more than one kernel writes an array, or one in parts: none of them tells by itself what is read."""
        return len(self.writers.get(name, ())) > 1 or self.promised.get(name, 0) > 0

    def between(self, table: dict[str, set[int]], names: Iterable[str], start: int, stop: int) -> list[int]:
        """The places from `start` to before `stop` that `readers` or `writers` have for any of the names, in order."""
        return sorted({n for name in names for n in table.get(name, ()) if start <= n < stop})

    def rewrite(self, start: int, stop: int, kernels: list[Kernel]) -> None:
        """Other kernels at the places from `start` to before `stop`, no more than there were."""
        empty: list[Kernel | None] = [None] * (stop - start - len(kernels))
        for place, kernel in enumerate([*empty, *kernels], start):
            if self.places[place] is not kernel:
                self.put(place, kernel)
