"""What steps read that they have not written themselves: gone through backwards once, for all places in them.

A *reader* waits for what writes its elements for sure; what stands before it may.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bough.graph_passes.effects import Region, covers, fills, region
from bough.ir.expr import Expr, as_expr, loads
from bough.ir.kernel import Kernel
from bough.ir.sequence import Branch, Repeat, Step, Whilst, expressions, host_expressions, phase


def exposed(steps: tuple[Step, ...], more: Iterable[Expr] = ()) -> set[str]:
    """What the steps, and the host's expressions `more` behind them, read that a kernel earlier in the same steps has not
    written."""
    behind = _Behind()
    behind.host(more)
    behind.through(steps)
    return set(behind.waiting)


def exposures(steps: tuple[Step, ...]) -> list[set[str]]:
    """For each step what it and all behind it read so, and at the end an empty set."""
    behind = _Behind()
    found: list[set[str]] = [set()]
    for s in reversed(steps):
        behind.through((s,))
        found.append(set(behind.waiting))
    return found[::-1]


def around(loop: Repeat | Whilst) -> set[str]:
    """What a turn of a loop reads that an earlier turn, or what stands before the loop, has written."""
    if isinstance(loop, Repeat):
        return exposed(loop.body)
    return exposed((*loop.head, Branch(loop.condition, loop.body)))


@dataclass(slots=True)
class _Reader:
    """`part`: what is read; None: an element, as which only all of the array counts. `always`: no write that stands before it is
    for it."""

    part: Region | None = None
    always: bool = False
    written: list[Region] = field(default_factory=list)
    """What has been written for sure before it."""

    def is_served(self, by: list[Region]) -> bool:
        """Whether what it reads is written for sure, with what these are, too."""
        if self.always or any(not any(parts) for _, parts in by):
            return not self.always
        if self.part is None:
            return False
        self.written[:0] = by
        return any(covers(w, self.part) for w in by) or (len(self.written) > 1 and fills(self.written))


Written = dict[str, list[Region]]


class _Behind:
    """The readers of arrays behind a place that moves towards the begin."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[_Reader]] = {}

    def through(self, steps: tuple[Step, ...]) -> Written:
        """Moves in front of steps. What they write for sure."""
        total: Written = {}
        for s in reversed(steps):
            for name, regions in self.step(s).items():
                total.setdefault(name, []).extend(regions)
        return total

    def step(self, s: Step) -> Written:
        match s:
            case Repeat() | Whilst():
                self.beside(s.body)  # it may run no time
                self.host(host_expressions(s))
                return self.through(s.head) if isinstance(s, Whilst) else {}
            case Branch():
                yes, no = _Behind(), _Behind()
                first, second = yes.through(s.then), no.through(s.otherwise)
                both = {n: [r for r in first[n] if r in second[n]] for n in first.keys() & second.keys()}
                for name, regions in both.items():
                    self.write(name, regions)
                self.join(yes)
                self.join(no)
                self.host(host_expressions(s))
                return both
            case _:
                written: Written = {}
                for k in reversed(phase(s)):
                    self.kernel(k, written)
                self.host(host_expressions(s))
                return written

    def kernel(self, k: Kernel, written: Written) -> None:
        stored: Written = {}
        for store in k.stores:
            stored.setdefault(store.target, []).append(region(k, store.target, store.index))
        for name, regions in stored.items():
            written.setdefault(name, []).extend(regions)
            self.write(name, regions)
        for load in {load for s in k.body for e in expressions(s) for load in loads(e)}:
            seen = len(load.index) == len(k.operands[load.source].shape)  # else in another shape: no part is known
            part = region(k, load.source, load.index) if seen else None
            self.read(load.source, _Reader(part, load.source in k.apart))
        for name in {load.source for a in k.ragged for load in loads(as_expr(a.extent))}:
            self.read(name, _Reader(always=True))

    def beside(self, steps: tuple[Step, ...]) -> None:
        inner = _Behind()
        inner.through(steps)
        self.join(inner)

    def join(self, other: _Behind) -> None:
        for name, readers in other.waiting.items():
            self.waiting.setdefault(name, []).extend(readers)

    def host(self, expressions: Iterable[Expr]) -> None:
        """An element counts as written where all of its array is."""
        for load in (load for e in expressions for load in loads(e)):
            self.read(load.source, _Reader())

    def read(self, name: str, reader: _Reader) -> None:
        self.waiting.setdefault(name, []).append(reader)

    def write(self, name: str, regions: list[Region]) -> None:
        readers = self.waiting.get(name)
        if readers is None:
            return
        left = [r for r in readers if not r.is_served(regions)]
        if left:
            self.waiting[name] = left
        else:
            del self.waiting[name]
