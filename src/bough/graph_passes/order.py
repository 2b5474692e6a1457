"""The order in which kernels run: another one where it needs less memory at once.

    kernel a(x) -> (large)                  kernel a(x) -> (large)
    kernel b(x) -> (other)           ->     kernel c(large) -> (small)
    kernel c(large) -> (small)              kernel b(x) -> (other)

Of a straight run of kernels two orders are tried: one that takes next whatever leaves the least in use, and one that makes what
a kernel reads just before it, first what needs the most. Neither is always best, and neighbours share caches, so the order
of the program stays unless another saves a good part of its peak.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bough.graph_passes.exposed import around, exposures
from bough.graph_passes.plan_memory import byte_size
from bough.ir.evaluate import extent_value
from bough.ir.sequence import Repeat, Sequence, Step, Whilst, bodies, nominal_sizes, phase, private, with_bodies

GOOD_PART = 0.95
"""Of the peak: what another order may need."""


def order(sequence: Sequence, sizes: Mapping[str, int]) -> Sequence:
    """The sequence in an order with a smaller peak. `sizes` are nominal ones of symbolic sizes. Kernels of recursive models stay:
    levels decide what they hold."""
    if sequence.visits is not None:
        return sequence
    known = {**sizes, **nominal_sizes(sequence.steps)}
    arrays = {n: o for n, o in sequence.temporaries.items() if n not in sequence.results}
    held = {n: extent_value(byte_size(o), known) for n, o in arrays.items()}
    return replace(sequence, steps=_ordered(sequence.steps, held, set(sequence.results)))


def _ordered(steps: tuple[Step, ...], sizes: Mapping[str, int], outside: set[str]) -> tuple[Step, ...]:
    """Straight runs of `steps` in a better order; `outside` is read behind them."""
    out: list[Step] = []
    run: list[Step] = []
    exposed = exposures(steps)
    for n, s in enumerate(steps):
        if phase(s):
            run.append(s)
            continue
        behind = outside | exposed[n]
        out += _straight(run, sizes, behind)
        inside = behind | around(s) if isinstance(s, (Repeat, Whilst)) else behind
        out.append(with_bodies(s, tuple(_ordered(body, sizes, inside) for body in bodies(s))))
        run = []
    return (*out, *_straight(run, sizes, outside))


def _straight(steps: list[Step], sizes: Mapping[str, int], outside: set[str]) -> list[Step]:
    """The steps in a better order, if there is one; no order needs less than each step by itself."""
    run = _Run(steps, sizes, outside)
    most = GOOD_PART * run.peak(range(len(steps)))
    if most <= max((run.size(s.uses) for s in run.steps), default=0):
        return steps
    best = min((run.frugal(), run.depth_first()), key=run.peak)
    return [steps[n] for n in best] if run.peak(best) < most else steps


@dataclass(frozen=True, slots=True)
class _Step:
    """`before`: what must run first; `uses`: the arrays that it reads or writes; `makes`: those that it is the first to need."""

    before: set[int]
    uses: set[str]
    makes: set[str]


class _Run:
    def __init__(self, steps: list[Step], sizes: Mapping[str, int], outside: set[str]) -> None:
        self.sizes, self.outside = sizes, outside
        self.steps: list[_Step] = []
        self.given: set[str] = set()
        writer: dict[str, int] = {}
        readers: dict[str, set[int]] = {}
        for n, s in enumerate(steps):
            reads = {i.name for k in phase(s) for i in k.inputs}
            writes = {o.name for k in phase(s) for o in k.outputs}
            before = {writer[a] for a in reads | writes if a in writer}
            before.update(r for a in writes for r in readers.get(a, ()))
            mine = {a for a in (reads | writes) - private(s) if a in sizes}
            self.given |= (reads & mine) - writes - writer.keys()
            self.steps.append(_Step(before, mine, (writes & mine) - writer.keys() - self.given))
            for a in reads:
                readers.setdefault(a, set()).add(n)
            for a in writes:
                writer[a], readers[a] = n, set()
        self.users: dict[str, set[int]] = {}
        for n, step in enumerate(self.steps):
            for a in step.uses:
                self.users.setdefault(a, set()).add(n)

    def size(self, arrays: Iterable[str]) -> int:
        return sum(self.sizes[a] for a in arrays)

    def peak(self, order: Iterable[int]) -> int:
        """The most that is in use at one time."""
        state = _State(self)
        return max(map(state.run, order), default=0)

    def frugal(self) -> list[int]:
        """Next is always what leaves the least in use."""
        state, out = _State(self), list[int]()
        waits = [len(s.before) for s in self.steps]
        behind: list[list[int]] = [[] for _ in self.steps]
        for n, s in enumerate(self.steps):
            for b in s.before:
                behind[b].append(n)
        ready = {n for n, count in enumerate(waits) if not count}
        while ready:
            best = min(ready, key=lambda n: (state.growth(n), n))
            state.run(best)
            out.append(best)
            ready.remove(best)
            for n in behind[best]:
                waits[n] -= 1
                if not waits[n]:
                    ready.add(n)
        return out

    def depth_first(self) -> list[int]:
        """What a step needs comes just before it, first what needs the most above what it leaves."""
        need: list[int] = []
        sources: list[list[int]] = []
        for s in self.steps:
            mine = sorted(s.before, key=lambda n: (self.size(self.steps[n].makes) - need[n], n))
            kept = most = 0
            for n in mine:
                most = max(most, kept + need[n])
                kept += self.size(self.steps[n].makes)
            sources.append(mine)
            need.append(max(most, kept + self.size(s.makes)))
        out: dict[int, None] = {}
        stack = [(n, False) for n in reversed(range(len(self.steps)))]
        while stack:
            n, ready = stack.pop()
            if ready:
                out[n] = None
            elif n not in out:
                stack.append((n, True))
                stack.extend((b, False) for b in reversed(sources[n]))
        return list(out)


class _State:
    """What is in use while steps run."""

    def __init__(self, run: _Run) -> None:
        self.of = run
        self.left = {a: set(users) for a, users in run.users.items()}
        self.used = run.size(run.given)

    def run(self, n: int) -> int:
        """Runs a step; what is in use meanwhile."""
        step = self.of.steps[n]
        most = self.used + self.of.size(step.makes)
        self.used += self.growth(n)
        for a in step.uses:
            self.left[a].discard(n)
        return most

    def growth(self, n: int) -> int:
        """What a step, run now, adds to what is in use."""
        step = self.of.steps[n]
        ends = {a for a in step.uses if a not in self.of.outside and self.left[a] <= {n}}
        return self.of.size(step.makes) - self.of.size(ends)

