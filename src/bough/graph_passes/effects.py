"""What kernels read and write: which may change places, and which may run side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import Union

from bough.ir.expr import Const, Expr, Extent, Load, Var, loads, substitute, variables
from bough.ir.kernel import Kernel, Let, Store
from bough.ir.sequence import expressions
from bough.schedule.access import affine_in


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


Part = Union[tuple[Expr, tuple[Extent, ...]], None]
"""Which places an index names over all points of a kernel: equal where these are the same; None: the whole dimension."""
Region = tuple[tuple[Extent, ...], tuple[Part, ...]]
"""Part of an operand of a shape."""


def region(kernel: Kernel, name: str, index: tuple[Expr, ...]) -> Region:
    """The part of an operand that an index names over all points of a kernel."""
    extents = {a.name: a.extent for a in kernel.axes}
    shape, found = kernel.operands[name].shape, list[Part]()
    for i, size in zip(index, shape, strict=True):
        if size == 1 or (isinstance(i, Var) and extents.get(i.name) == size):
            found.append(None)
            continue
        names = sorted(variables(i) & extents.keys())
        numbered = substitute(i, {name: Var(f"#{n}") for n, name in enumerate(names)})
        found.append((numbered, tuple(extents[name] for name in names)))
    return shape, tuple(found)


def covers(written: Region, read: Region | None) -> bool:
    """Whether what is read, None being any part, is written for sure."""
    shape, parts = written
    if not any(parts):
        return True
    if read is None:
        return False
    seen, wanted = read
    return shape == seen and all(w is None or w == r for w, r in zip(parts, wanted, strict=True))


def fills(written: list[Region]) -> bool:
    """Whether parts of an array, which do not meet, are all of it for sure."""
    boxes = [tuple(map(_span, r[0], r[1])) for r in written if r[0] == written[0][0]]
    known = [tuple(s for s in box if s is not None) for box in boxes if None not in box]
    if len(known) < 2 or not all(_disjoint(a, b) for a, b in combinations(known, 2)):
        return False
    return sum(prod(len(s) for s in box) for box in known) == prod(e for e in written[0][0] if isinstance(e, int))


def _span(size: Extent, part: Part) -> range | None:
    """The places of a part along a dimension; 0 alone for all of one whose size is not known."""
    if part is None:
        return range(size) if isinstance(size, int) else range(1)
    index, extents = part
    names = [f"#{n}" for n in range(len(extents))]
    steps = affine_in(index, set(names))
    start = substitute(index, dict.fromkeys(names, Const(0)))
    if not isinstance(size, int) or len(names) > 1 or steps is None or not isinstance(start, Const):
        return None
    step, count = next(iter(steps.values()), 1), extents[0] if extents else 1
    return range(int(start.value), int(start.value) + step * count, step) if isinstance(count, int) and step > 0 else None


def _disjoint(a: tuple[range, ...], b: tuple[range, ...]) -> bool:
    """Whether two boxes have no element in common for sure."""
    return any(
        not x or not y or x[-1] < y[0] or y[-1] < x[0] or (x.step == y.step and (x.start - y.start) % x.step)
        for x, y in zip(a, b)
    )


def whole(kernel: Kernel, store: Store) -> bool:
    """Whether every element of the operand is stored."""
    return not any(region(kernel, store.target, store.index)[1])


def keeps_points(kernel: Kernel) -> bool:
    """Whether a kernel reads what it writes only where it writes it, and before; or in another slab; promises aside."""
    axes = {a.name for a in kernel.axes} | {s.name for s in kernel.body if isinstance(s, Let)}
    places = {s.target: s.index for s in kernel.stores}
    written: set[str] = set()

    def fits(load: Load) -> bool:
        place = places.get(load.source)
        if place is None or load.source in kernel.apart:
            return True
        slabs = any(i != j and axes.isdisjoint(variables(i) | variables(j)) for i, j in zip(load.index, place, strict=True))
        return slabs or (load.index == place and load.source not in written)

    for s in kernel.body:
        if not all(fits(load) for e in expressions(s) for load in loads(e)):
            return False
        if isinstance(s, Store):
            if s.index != places[s.target]:
                return False
            written.add(s.target)
    return True
