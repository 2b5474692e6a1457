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
    """Whether parts of an array, which do not meet, are all of it for sure. Kernels may see it in several shapes."""
    boxes = [box for r in written if (box := _box(r)) is not None]
    sizes = {prod(size for size, _ in box) for box in boxes}
    if len(boxes) < 2 or len(sizes) > 1:
        return False
    steps = sorted({prod(size for size, _ in box[n:]) for box in boxes for n in range(len(box) + 1)})
    if any(b % a for a, b in zip(steps, steps[1:])):
        return False
    fine = [finer for box in boxes if (finer := _refined(box, steps)) is not None]
    return sum(prod(map(len, box)) for box in fine) == steps[-1] and all(_disjoint(a, b) for a, b in combinations(fine, 2))


Box = list[tuple[int, range]]
"""The dimensions of a part, each with its size and the places in it."""


def _box(part: Region) -> Box | None:
    """A part of an array, all of each dimension whose size is not a number."""
    found: Box = []
    for size, where in zip(*part, strict=True):
        if isinstance(size, int):
            span = _span(size, where)
            if span is None:
                return None
            found += [(size, span)] if size != 1 else []
        elif where is not None:
            return None
    return found


def _refined(box: Box, steps: list[int]) -> tuple[range, ...] | None:
    """The box in finer dimensions: those between the `steps`, from element to element and on to the whole array."""
    out: list[range] = []
    step = steps[-1]
    for size, span in box:
        inner = [s for s in steps if step // size <= s <= step]
        if len(inner) == 2:
            out.append(span)
        elif span == range(size):
            out += [range(b // a) for a, b in reversed(list(zip(inner, inner[1:])))]
        else:
            return None
        step //= size
    return tuple(out)


def _span(size: int, part: Part) -> range | None:
    """The places of a part along a dimension, if they are known."""
    if part is None:
        return range(size)
    index, extents = part
    names = [f"#{n}" for n in range(len(extents))]
    steps = affine_in(index, set(names))
    start = substitute(index, dict.fromkeys(names, Const(0)))
    if len(names) > 1 or steps is None or not isinstance(start, Const):
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
