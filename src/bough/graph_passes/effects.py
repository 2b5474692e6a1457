"""What kernels read and write: which may change places, and which may run side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Union

from bough.ir.expr import Expr, Extent, Load, Var, as_expr, loads, substitute, variables
from bough.ir.kernel import Kernel, Let, Store
from bough.ir.sequence import Branch, Repeat, Step, Whilst, expressions, host_expressions, phase


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


def exposed(steps: tuple[Step, ...], more: Iterable[Expr] = ()) -> set[str]:
    """What the steps, and the host's expressions `more` behind them, read that a kernel earlier in the same steps has not
    written."""
    found: set[str] = set()
    written: Written = {}
    _expose(steps, written, found)
    _host_reads(more, written, found)
    return found


def around(loop: Repeat | Whilst) -> set[str]:
    """What a turn of a loop reads that an earlier turn, or what stands before the loop, has written."""
    if isinstance(loop, Repeat):
        return exposed(loop.body)
    return exposed((*loop.head, Branch(loop.condition, loop.body)))


def _expose(steps: tuple[Step, ...], written: Written, found: set[str]) -> None:
    for s in steps:
        if isinstance(s, Whilst):
            _expose(s.head, written, found)
        _host_reads(host_expressions(s), written, found)
        match s:
            case Repeat() | Whilst():
                _expose(s.body, _copy(written), found)  # it may run no time
            case Branch():
                yes, no = _copy(written), _copy(written)
                _expose(s.then, yes, found)
                _expose(s.otherwise, no, found)
                for n in yes.keys() & no.keys():
                    written[n] = [r for r in yes[n] if r in no[n]]
            case _:
                for k in phase(s):
                    _expose_kernel(k, written, found)


def _expose_kernel(k: Kernel, written: Written, found: set[str]) -> None:
    for load in {load for s in k.body for e in expressions(s) for load in loads(e)}:
        here = region(k, load.source, load.index)
        if load.source in k.apart or not any(covers(w, here) for w in written.get(load.source, ())):
            found.add(load.source)
    found.update(load.source for a in k.ragged for load in loads(as_expr(a.extent)))
    for store in k.stores:
        written.setdefault(store.target, []).append(region(k, store.target, store.index))


def _host_reads(expressions: Iterable[Expr], written: Written, found: set[str]) -> None:
    """An element counts as written where all of its array is."""
    for load in (load for e in expressions for load in loads(e)):
        if not any(not any(parts) for _, parts in written.get(load.source, ())):
            found.add(load.source)


def _copy(written: Written) -> Written:
    return {n: list(regions) for n, regions in written.items()}


Part = Union[tuple[Expr, tuple[Extent, ...]], None]
"""Which places an index names over all points of a kernel: equal where these are the same; None: the whole dimension."""
Region = tuple[tuple[Extent, ...], tuple[Part, ...]]
"""Part of an operand of a shape."""
Written = dict[str, list[Region]]
"""What has been written for sure of each array."""


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
