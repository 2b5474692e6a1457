"""Which arrays live in one region: written and read by the same members alone, so that rows may lie in the members' order."""

from __future__ import annotations

from collections.abc import Callable

from bough.graph_passes.exposed import exposed
from bough.ir.expr import Expr, loads
from bough.ir.sequence import Branch, Repeat, Sequence, Step, Whilst, host_expressions, phase

Path = tuple[int | str, ...]
"""Positions of steps from the outside in, and which body of each: the name of a region."""


def residents(sequence: Sequence, splits: Callable[[Expr], bool]) -> set[str]:
    """The arrays that steps of one region alone name, where that is not the region of all samples, and whose elements are
    written anew in each turn of the loops around it: in the next turn, other samples stand at their places. `splits` tells
    the conditions that differ between samples."""
    found = _Residence(splits)
    found.walk(sequence.steps, (), (), ())
    return {name for name, where in found.touched.items() if len(where) == 1 and found.stays(name, *where)} - set(
        sequence.results
    )


class _Residence:
    def __init__(self, splits: Callable[[Expr], bool]) -> None:
        self.splits = splits
        self.touched: dict[str, set[Path]] = {}
        self.loops: dict[Path, tuple[Step, ...]] = {(): ()}
        self.carried: dict[int, set[str]] = {}

    def walk(self, steps: tuple[Step, ...], region: Path, path: Path, loops: tuple[Step, ...]) -> None:
        for n, s in enumerate(steps):
            here = (*path, n)
            names = {o.name for k in phase(s) for o in (*k.inputs, *k.outputs)}
            names |= {load.source for e in host_expressions(s) for load in loads(e)}
            if not isinstance(s, Whilst):  # whose condition is its head's
                self.touch(names, region)
            divides = any(map(self.splits, host_expressions(s)))
            match s:
                case Branch():
                    for which, body in (("then", s.then), ("otherwise", s.otherwise)):
                        self.walk(body, self.enter(divides, region, (*here, which), loops), (*here, which), loops)
                case Repeat():
                    self.walk(s.body, self.enter(divides, region, (*here, "body"), (*loops, s)), (*here, "body"), (*loops, s))
                case Whilst():
                    around = (*loops, s)
                    head = self.enter(divides, region, (*here, "head"), around)
                    self.walk(s.head, head, (*here, "head"), around)
                    self.touch(names, head)
                    self.walk(s.body, self.enter(divides, region, (*here, "body"), around), (*here, "body"), around)
                case _:
                    pass

    def enter(self, divides: bool, region: Path, path: Path, loops: tuple[Step, ...]) -> Path:
        """The region inside: a new one where the samples part."""
        if not divides:
            return region
        self.loops[path] = loops
        return path

    def touch(self, names: set[str], region: Path) -> None:
        for name in names:
            self.touched.setdefault(name, set()).add(region)

    def stays(self, name: str, region: Path) -> bool:
        return region != () and not any(name in self.carried_around(loop) for loop in self.loops[region])

    def carried_around(self, loop: Step) -> set[str]:
        """What a turn of the loop reads of what the turns before have written."""
        if id(loop) not in self.carried:
            body = (*loop.head, *loop.body) if isinstance(loop, Whilst) else loop.body if isinstance(loop, Repeat) else ()
            self.carried[id(loop)] = exposed(body)
        return self.carried[id(loop)]
