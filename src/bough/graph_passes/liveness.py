"""What each kernel of a sequence leaves behind that is still read: going backwards over all paths that control can take."""

from __future__ import annotations

from collections.abc import Iterable

from bough.graph_passes.effects import Region, covers, region
from bough.ir.expr import Expr, Var, as_expr, loads, variables
from bough.ir.kernel import Kernel, Store
from bough.ir.sequence import Branch, Define, Repeat, Sequence, Step, Whilst, expressions, host_expressions, kernels, phase

Live = dict[str, frozenset[Region | None]]
"""The parts of arrays that are read later before they are written; None: any part."""
ALL: frozenset[Region | None] = frozenset({None})


def live_after(sequence: Sequence) -> list[Live]:
    """For each kernel in textual order, what is live right after it. Results are live at the end."""
    walk = _Backwards(len(kernels(sequence.steps)), sequence.partly)
    walk.steps(sequence.steps, 0, dict.fromkeys(sequence.results, ALL))
    return walk.after


class _Backwards:
    def __init__(self, count: int, partly: frozenset[str]) -> None:
        self.partly = partly
        self.after: list[Live] = [{} for _ in range(count)]

    def steps(self, steps: tuple[Step, ...], first: int, live: Live) -> Live:
        """What is live before the steps, of which the first kernel has the number `first`."""
        at = first + len(kernels(steps))
        for s in reversed(steps):
            at -= len(kernels((s,)))
            live = self.step(s, at, live)
        return live

    def step(self, s: Step, first: int, live: Live) -> Live:
        match s:
            case Branch():
                no = self.steps(s.otherwise, first + len(kernels(s.then)), live)
                return join(join(self.steps(s.then, first, live), no), reads(host_expressions(s)))
            case Repeat():
                before = live
                while True:
                    inside = join(live, forget(self.steps(s.body, first, before), s.variable))
                    if inside == before:
                        return inside
                    before = join(inside, before)
            case Whilst():
                middle = first + len(kernels(s.head))
                before = {}
                while True:
                    again = forget(self.steps(s.body, middle, before), s.variable)
                    tested = join(join(live, again), reads(host_expressions(s)))
                    inside = join(before, forget(self.steps(s.head, first, tested), s.variable))
                    if inside == before:
                        return inside
                    before = inside
            case Define(name):
                return join(forget(live, name), reads(host_expressions(s)))
        live = join(live, reads(host_expressions(s)))
        members = phase(s)
        for number, kernel in reversed(list(enumerate(members, first))):
            self.after[number] = live
            live = self.before(kernel, live)
        return live

    def before(self, kernel: Kernel, live: Live) -> Live:
        out = dict(live)
        for s in kernel.stores:
            if s.target in out and s.target not in kernel.apart:
                left = self.left(kernel, s, out[s.target])
                out[s.target] = left
                if not left:
                    del out[s.target]
        return join(out, _reads_of(kernel))

    def left(self, kernel: Kernel, s: Store, parts: frozenset[Region | None]) -> frozenset[Region | None]:
        """The parts of an array that a store does not write."""
        if s.target in self.partly and _from_the_first(kernel, s):
            return frozenset()
        written = region(kernel, s.target, s.index)
        return frozenset(r for r in parts if not covers(written, r))


def _from_the_first(kernel: Kernel, s: Store) -> bool:
    """Whether a store goes along each dimension from its first element on."""
    axes = {a.name for a in kernel.axes}
    shape = kernel.operands[s.target].shape
    return all(e == 1 or (isinstance(i, Var) and i.name in axes) for i, e in zip(s.index, shape, strict=True))


def _reads_of(kernel: Kernel) -> Live:
    read: Live = {}
    for load in {load for s in kernel.body for e in expressions(s) for load in loads(e)}:
        part = None if load.source in kernel.apart else region(kernel, load.source, load.index)
        read[load.source] = read.get(load.source, frozenset()) | {part}
    for load in {load for a in kernel.ragged for load in loads(as_expr(a.extent))}:
        read[load.source] = ALL
    return read


def reads(host: Iterable[Expr]) -> Live:
    return {load.source: ALL for e in host for load in loads(e)}


def join(a: Live, b: Live) -> Live:
    if not b:
        return a
    out = dict(a)
    for name, parts in b.items():
        out[name] = out.get(name, frozenset()) | parts
    return out


def forget(live: Live, number: str) -> Live:
    """The same before a number of the host is defined: parts that depend on it may be any."""
    return {name: frozenset(None if r is None or _names(r, number) else r for r in parts) for name, parts in live.items()}


def _names(r: Region, number: str) -> bool:
    shape, parts = r
    extents = [*shape, *(e for p in parts if p is not None for e in p[1])]
    indices = [p[0] for p in parts if p is not None]
    return any(number in variables(as_expr(e)) for e in (*extents, *indices))
