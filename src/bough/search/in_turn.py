"""Which kernels take their samples in turn or apart: those whose arrays leave the caches with all samples, and do not with one.

What a step costs is its arithmetic and the moving of what it reads and writes, from the cache that still has it: an array comes
from as far as all that was touched since. Samples one by one bring arrays nearer, but read weights once for each. Where all
threads share a sample, in turn, they have fewer rows to share out and more ends of phases to wait for; where each has samples of
its own, apart, nobody waits but at the end, for the one that has the most. An array that is needed on both sides of where a loop
over samples begins or ends has all samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Set
from dataclasses import replace
from itertools import accumulate, groupby
from math import ceil, inf, prod
from typing import Literal

from bough.graph_passes.in_turn import Batch, Member, apart, batches, in_turn, kernel_of_one, of_one
from bough.graph_passes.normalize import normalize
from bough.graph_passes.substitution import nameless
from bough.ir.kernel import Kernel, Let, Operand
from bough.ir.sequence import Branch, Group, Run, Sequence, Step, host_loads, kernels, map_bodies, outer_scalars, phase
from bough.schedule.decisions import Tile
from bough.search.chunks import CLAIM_CYCLES
from bough.search.cost import TileShape, machine_of, nominal, tile_cycles, work_of
from bough.search.heuristic import Context, Strategy, copy_cycles, partial_sums, tile_count
from bough.targets import Target

PHASE_END_CYCLES = 1000.0
"""What the end of a phase costs among phases that follow each other closely: less than where threads come from elsewhere."""
USED = 0.5
"""The part of a cache that holds what is expected there: others use it too."""
ROUNDS = 2
"""How often the loops are chosen: from the second time on, it is known which weights each of them reads."""
FILLED = 2.0
"""What writing costs where reading costs 1: a line is read before its first element is written."""

CHANGE_CYCLES = 20_000.0
"""What it costs besides to change the way: all threads wait for the one with the last sample."""
HELPED = 1.25
"""How much longer the last samples take, where they are fewer than the threads, than if their work were shared out evenly."""
UNEVEN = 1.1
"""Samples take turns only where on threads of their own they took so much longer because of those that have none left: every end
of a short phase costs more than the model says."""
WAITING = 1.03
"""How much longer phases take than their share of the arithmetic, because threads are not done at the same time."""

Way = Literal["together", "turns", "apart"]
WAYS: tuple[Way, ...] = ("together", "turns", "apart")
"""How a batch goes through steps: all samples at once, one after the other on all threads, or each on a thread of its own."""
Costs = tuple[float, ...]
"""Cycles by the ways in their order, on the busiest thread."""


def take_in_turn(sequence: Sequence, strategy: Strategy, context: Context) -> Sequence:
    """The sequence with loops over samples where they are worth it. Recursive models, and arrays of computed sizes, stay."""
    if sequence.visits is not None or sequence.partly:
        return sequence
    choice = _Choice(sequence, strategy, context)
    steps = choice.walk(sequence.steps)
    return replace(sequence, steps=steps, temporaries=choice.temporaries)


class _Choice:
    """`everywhere`: how many kernels touch an array."""

    def __init__(self, sequence: Sequence, strategy: Strategy, context: Context) -> None:
        self.constants = sequence.constants.keys()
        self.weights = {n: a.nbytes for n, a in sequence.constants.items()}
        self.temporaries = dict(sequence.temporaries)
        self.everywhere = Counter(n for k in kernels(sequence.steps) for n in k.operands)
        self.fixed = {*sequence.results, *host_loads(sequence.steps)}
        self.prices = _Prices(strategy, context)
        self.names = _names(sequence)

    def walk(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """Straight runs with loops over samples. Within loops of the host arrays may be kept from turn to turn: they stay."""
        out: list[Step] = []
        for straight, some in groupby(steps, lambda s: isinstance(s, (Run, Group))):
            if straight:
                for batch in batches((s for s in some if isinstance(s, (Run, Group))), self.constants):
                    out += self.looped(batch) if len(batch.steps) > 1 else batch.steps
            else:
                out += [map_bodies(s, self.walk) if isinstance(s, Branch) else s for s in some]
        return tuple(out)

    def looped(self, batch: Batch) -> Iterator[Step]:
        here = Counter(n for s in batch.steps for k in phase(s) for n in k.operands)
        own = {n for n in batch.places if here[n] == self.everywhere[n] and n in self.temporaries and n not in self.fixed}
        model = _Model(batch, own, self.prices, self.weights)
        for start, stop, way in model.spans():
            part = replace(batch, steps=batch.steps[start:stop], axes=batch.axes[start:stop])
            if way == "together":
                yield from part.steps
                continue
            mine = {n for n in own if start <= model.touches[n][0] and model.touches[n][-1] < stop}
            self.temporaries.update({n: of_one(self.temporaries[n], batch.places[n]) for n in mine})
            yield in_turn(part, next(self.names), mine) if way == "turns" else apart(part, next(self.names), mine, model.rooms)


def _names(sequence: Sequence) -> Iterator[str]:
    """Names that nothing else has."""
    taken = {d.name for d in sequence.dims}
    for k in kernels(sequence.steps):
        taken |= {a.name for a in k.axes} | {s.name for s in k.body if isinstance(s, Let)} | outer_scalars(k)
    n = 0
    while True:
        if f"turn{n}" not in taken:
            yield f"turn{n}"
        n += 1


class _Prices:
    """Cycles of arithmetic, by the schedules that a strategy chooses; kernels that differ in names only are priced once."""

    def __init__(self, strategy: Strategy, context: Context) -> None:
        self.strategy, self.context = strategy, context
        self.machine = machine_of(context.target)
        self.known: dict[Hashable, float] = {}

    def cycles(self, kernel: Kernel, threads: int) -> float:
        """Of the busiest of so many threads."""
        key = nameless(kernel), tuple(n in self.context.constants for n in kernel.operands), threads
        if key not in self.known:
            self.known[key] = self._cycles(kernel, replace(self.context, threads=threads))
        return self.known[key]

    def _cycles(self, kernel: Kernel, context: Context) -> float:
        work = work_of(kernel, context.sizes)
        schedule = self.strategy.choose(kernel, context)
        v, row = schedule.vector, next((d for d in schedule.decisions if isinstance(d, Tile)), None)
        shape = TileShape(v.axis if v else None, v.count if v else 1, row.axis if row else None, row.size if row else 1)
        packed = frozenset(p.load for p in schedule.packs)
        threads = 1 if schedule.serial else context.threads
        tiles = tile_count(kernel, work, shape, self.machine.lanes, context)
        tile = tile_cycles(kernel, work, shape, packed, self.machine)
        return ceil(tiles / threads) * tile + copy_cycles(kernel, work, packed, context) / threads

    def sums(self, kernel: Kernel) -> tuple[str, int]:
        """How the sums of a kernel are formed if nothing says so."""
        return partial_sums(kernel, work_of(kernel, self.context.sizes), self.machine, self.context)

    def bytes(self, o: Operand) -> int:
        return o.dtype.bytes * prod(nominal(e, self.context.sizes) for e in o.shape)


class _Caches:
    """What all threads together move, from where it still is."""

    def __init__(self, target: Target, threads: int) -> None:
        self.levels: list[tuple[float, float, bool]] = []
        for m in target.memories:
            if m.kind in ("cache", "memory") and m.bandwidth:
                size = inf if m.bytes is None else USED * m.bytes * (1 if m.shared else threads)
                self.levels.append((size, m.bandwidth * threads, m.shared))
        private = (m.bytes or 0 for m in target.memories if m.kind == "cache" and not m.shared)
        self.own = max((threads * size for size in private), default=inf)
        """What the threads' private caches hold."""

    def cycles(self, amount: float, since: float, together: float | None = None) -> float:
        """For so many bytes, after so many others have been touched: of those, a cache still has as many as it holds. Shared
        caches have seen fewer, those touched `together`, where threads read the same."""
        total = held = 0.0
        for size, rate, shared in self.levels:
            passed = since if together is None or not shared else together
            here = min(1.0, size / max(passed, 1.0)) if passed < inf else float(size == inf)
            here = max(held, here)
            total, held = total + (here - held) / rate, here
        return amount * total


Passed = tuple[list[float], list[float]]
"""What all threads have touched up to the end of each step, and the same where what they all read counts once."""


class _Model:
    """The steps of a batch, all samples at once, one after the other, or on threads of their own. Arrays of its `own` are touched
    by nothing else."""

    def __init__(self, batch: Batch, own: Set[str], prices: _Prices, weights: Mapping[str, int]) -> None:
        self.batch, self.own, self.prices = batch, own, prices
        self.threads = prices.context.threads
        self.caches = _Caches(prices.context.target, self.threads)
        self.samples = nominal(batch.samples, prices.context.sizes)
        self.end = CLAIM_CYCLES if self.threads == 1 else PHASE_END_CYCLES
        self.touches: dict[str, list[int]] = {}
        self.sizes: dict[str, int] = {}
        self.weights = [sum(weights[n] for n in {n for k in phase(s) for n in k.operands} & weights.keys()) for s in batch.steps]
        self.every_weight = sum(weights.values())
        for n, s in enumerate(batch.steps):
            for o in {o.name: o for k in phase(s) for o in k.operands.values() if o.name not in weights}.values():
                self.sizes[o.name] = 0 if isinstance(s, Group) and o.name in s.private else prices.bytes(o)
                self.touches.setdefault(o.name, []).append(n)
        self.rooms = min(self.samples, self.threads)
        self.uneven = _rounds(self.samples, self.threads) * self.threads / self.samples if self.samples else 1.0
        """How much longer samples on threads of their own take because the last threads have none left."""
        known = all(_fixed(k, axis) for s, axis in zip(batch.steps, batch.axes, strict=True) for k in phase(s))
        self.may_go_apart = self.threads > 1 and known

    def spans(self) -> list[tuple[int, int, Way]]:
        """The steps in pieces, in order: from which on, up to which, and how."""
        count = len(self.batch.steps)
        if self.samples < 2 or count < 2 or self.passed(1)[0][-1] <= self.caches.own:
            return [(0, count, "together")]
        arithmetic = [self.arithmetic(s, axis) for s, axis in zip(self.batch.steps, self.batch.axes, strict=True)]
        moves, crossing = self.moving()
        span = [(0, count)] * count
        found: list[tuple[int, int, Way]] = []
        for _ in range(ROUNDS):
            costs = [
                tuple(m + c for m, c in zip(moves[n], self.computing(n, arithmetic[n], *span[n]), strict=True))
                for n in range(count)
            ]
            found = [(start, stop, WAYS[way]) for start, stop, way in _pieces(_cheapest(costs, crossing))]
            for start, stop, _ in found:
                span[start:stop] = [(start, stop)] * (stop - start)
        return [(start, stop, way if stop - start > 1 else "together") for start, stop, way in found]

    def computing(self, n: int, arithmetic: Costs, start: int, stop: int) -> Costs:
        """What a step takes to compute and to read its weights, if samples go one by one through the steps from `start` up to
        `stop`. Threads that share a phase wait for each other and then for their weights; those that go apart read on."""
        together, turns, apart = arithmetic
        w, reach = self.weights[n], float(sum(self.weights[start:stop]))
        waiting = 1.0 if self.threads == 1 else WAITING
        once = self.caches.cycles(w, self.every_weight) + self.end
        each = self.caches.cycles(w, reach) + self.end
        arrays = self.threads * sum(s for name, s in self.sizes.items() if start <= self.touches[name][0] < stop) / self.samples
        alone = self.samples * self.uneven * self.caches.cycles(w, self.threads * reach + arrays, reach + arrays)
        return waiting * together + once, waiting * turns + self.samples * each, max(apart, alone) + CLAIM_CYCLES

    def moving(self) -> tuple[list[Costs], list[float]]:
        """What each step takes for its arrays, and what it costs to change the way in front of each: arrays then have all
        samples."""
        count = len(self.batch.steps)
        moves = [[0.0] * count for _ in WAYS]
        crossing = [CHANGE_CYCLES] * count
        far, near, alone = self.passed(1), self.passed(self.samples), self.passed(self.samples, self.threads)
        for name, places in self.touches.items():
            apart = list(self.moves(name, far))
            close = list(self.moves(name, near)) if name in self.own else apart
            own = [self.uneven * c for c in self.moves(name, alone)] if name in self.own else apart
            for way, each in zip(moves, (apart, close, own), strict=True):
                for n, cycles in zip(places, each, strict=True):
                    way[n] += cycles
            for n in range(places[0] + 1, places[-1] + 1):
                crossing[n] += max(0.0, sum(apart) - min(sum(close), sum(own)))
        return [(a, b, c) for a, b, c in zip(*moves, strict=True)], crossing

    def arithmetic(self, step: Member, axis: str) -> Costs:
        """Cycles of the busiest thread; a step that would form its sums in another order has to have all samples."""
        whole = one = alone = 0.0
        for k in phase(step):
            rows = step.rows if isinstance(step, Group) else ()
            every = normalize(k, rows)
            whole += (cycles := self.prices.cycles(every, self.threads))
            if not k.reductions:
                one += cycles / self.samples
                alone += cycles * self.threads / self.samples
                continue
            single = normalize(kernel_of_one(k, axis, "#turn", {}), rows)
            if self.prices.sums(every) != self.prices.sums(single):
                return whole, inf, inf
            one += self.prices.cycles(single, self.threads)
            alone += self.prices.cycles(single, 1) if self.may_go_apart else inf
        if not self.may_go_apart:
            return whole, self.samples * one, inf
        return whole, self.samples * one if self.uneven > UNEVEN else inf, self.samples * self.uneven / self.threads * alone

    def passed(self, parts: int, threads: int = 1) -> Passed:
        """For one of so many parts of the samples, on one thread for all or on so many at the same time."""
        shared = [float(w) for w in self.weights]
        each = [threads * w for w in shared]
        for name, places in self.touches.items():
            for n in places:
                size = threads * self.sizes[name] / (parts if name in self.batch.places else 1)
                each[n] += size
                shared[n] += size
        return list(accumulate(each)), list(accumulate(shared))

    def moves(self, name: str, passed: Passed) -> Iterator[float]:
        """Cycles for each touch of an array."""
        places, size = self.touches[name], self.sizes[name]

        def cycles(before: int, after: int) -> float:
            return self.caches.cycles(size, *(p[after] - p[before] for p in passed))

        for n, after in zip((None, *places), places):
            if n is not None:
                yield cycles(n, after)
            elif any(i.name == name for k in phase(self.batch.steps[after]) for i in k.inputs):
                yield self.caches.cycles(size, inf)
            else:
                yield FILLED * (cycles(after, places[1]) if len(places) > 1 else self.caches.cycles(size, inf))


def _rounds(samples: int, threads: int) -> float:
    """How many samples one after the other the busiest thread takes; those without one help in the last round."""
    whole, rest = divmod(samples, threads)
    return whole + min(1.0, HELPED * rest / threads)


def _fixed(kernel: Kernel, samples: str) -> bool:
    """Whether all sizes of a kernel are known but for the number of samples: arrays in rooms need that."""
    return all(isinstance(a.extent, int) for a in kernel.axes if a.name != samples)


def _cheapest(costs: list[Costs], crossing: list[float]) -> list[int]:
    """Which way each step takes, where changing between two costs something too."""
    every = range(len(WAYS))
    totals = [0.0] * len(WAYS)
    came: list[list[int]] = []
    for cost, change in zip(costs, crossing, strict=True):
        found = [min((totals[b] + (change if b != way else 0.0), b) for b in every) for way in every]
        came.append([before for _, before in found])
        totals = [total + cost[way] for way, (total, _) in enumerate(found)]
    way = min(every, key=lambda w: totals[w])
    ways: list[int] = []
    for before in reversed(came):
        ways.append(way)
        way = before[way]
    return ways[::-1]


def _pieces(ways: list[int]) -> Iterator[tuple[int, int, int]]:
    start = 0
    for way, some in groupby(ways):
        stop = start + len(list(some))
        yield start, stop, way
        start = stop
