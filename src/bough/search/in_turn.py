"""Which kernels take their samples in turn: those whose arrays leave the caches with all samples, and do not with one.

What a step costs is the larger of its arithmetic and of moving what it reads and writes, from the cache that still has it: an
array comes from as far as all that was touched since. Samples in turn bring arrays nearer, but read weights once for each, have
fewer rows to share out and more ends of phases to wait for. An array that is needed on both sides of where a loop over samples
begins or ends has all samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from math import ceil, inf, prod

from bough.graph_passes.in_turn import Batch, Member, batches, in_turn, kernel_of_one, of_one
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
        for start, stop, turns in model.spans():
            part = replace(batch, steps=batch.steps[start:stop], axes=batch.axes[start:stop])
            if not turns:
                yield from part.steps
                continue
            mine = {n for n in own if start <= model.touches[n][0] and model.touches[n][-1] < stop}
            self.temporaries.update({n: of_one(self.temporaries[n], batch.places[n]) for n in mine})
            yield in_turn(part, next(self.names), mine)


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

    def cycles(self, kernel: Kernel) -> float:
        """Of the busiest thread."""
        key = nameless(kernel), tuple(n in self.context.constants for n in kernel.operands)
        if key not in self.known:
            self.known[key] = self._cycles(kernel)
        return self.known[key]

    def _cycles(self, kernel: Kernel) -> float:
        context, work = self.context, work_of(kernel, self.context.sizes)
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
        self.levels: list[tuple[float, float]] = []
        for m in target.memories:
            if m.kind in ("cache", "memory") and m.bandwidth:
                size = inf if m.bytes is None else USED * m.bytes * (1 if m.shared else threads)
                self.levels.append((size, m.bandwidth * threads))
        private = (m.bytes or 0 for m in target.memories if m.kind == "cache" and not m.shared)
        self.own = max((threads * size for size in private), default=inf)
        """What the threads' private caches hold."""

    def cycles(self, amount: float, since: float) -> float:
        """For so many bytes, after so many others have been touched: of those, a cache still has as many as it holds."""
        total = held = 0.0
        for size, rate in self.levels:
            here = min(1.0, size / max(since, 1.0)) if since < inf else float(size == inf)
            total, held = total + (here - held) / rate, here
        return amount * total


@dataclass(slots=True)
class _Way:
    """One way to run the steps of a batch. What a step costs: arithmetic, arrays, its weights' bytes, the end of its phase."""

    arithmetic: list[float]
    moves: list[float]
    times: int

    def cost(self, n: int, weights: float, end: float) -> float:
        return self.arithmetic[n] + self.moves[n] + self.times * (weights + end)


class _Model:
    """The steps of a batch, all samples at once or one after the other. Arrays of its `own` are touched by nothing else."""

    def __init__(self, batch: Batch, own: Set[str], prices: _Prices, weights: Mapping[str, int]) -> None:
        self.batch, self.own, self.prices = batch, own, prices
        self.caches = _Caches(prices.context.target, prices.context.threads)
        self.samples = nominal(batch.samples, prices.context.sizes)
        self.end = CLAIM_CYCLES if prices.context.threads == 1 else PHASE_END_CYCLES
        self.touches: dict[str, list[int]] = {}
        self.sizes: dict[str, int] = {}
        self.weights = [sum(weights[n] for n in {n for k in phase(s) for n in k.operands} & weights.keys()) for s in batch.steps]
        self.every_weight = sum(weights.values())
        for n, s in enumerate(batch.steps):
            for o in {o.name: o for k in phase(s) for o in k.operands.values() if o.name not in weights}.values():
                self.sizes[o.name] = 0 if isinstance(s, Group) and o.name in s.private else prices.bytes(o)
                self.touches.setdefault(o.name, []).append(n)

    def spans(self) -> list[tuple[int, int, bool]]:
        """The steps in pieces, in order: from which on, up to which, and whether it is a loop over samples."""
        count = len(self.batch.steps)
        if self.samples < 2 or self.passed(1)[-1] <= self.caches.own:
            return [(0, count, False)]
        whole, turns, crossing = self.ways()
        reach = [float(sum(self.weights))] * count
        found: list[tuple[int, int, bool]] = []
        for _ in range(ROUNDS):
            costs = [(whole.cost(n, self.caches.cycles(w, self.every_weight), self.end),
                      turns.cost(n, self.caches.cycles(w, reach[n]), self.end)) for n, w in enumerate(self.weights)]  # fmt: skip
            found = list(_pieces(_cheapest(costs, crossing)))
            for start, stop, _ in found:
                reach[start:stop] = [float(sum(self.weights[start:stop]))] * (stop - start)
        return [(start, stop, loop and stop - start > 1) for start, stop, loop in found]

    def ways(self) -> tuple[_Way, _Way, list[float]]:
        """Both ways, and what it costs to change between them in front of each step: arrays then have all samples."""
        arithmetic = [self.arithmetic(s, axis) for s, axis in zip(self.batch.steps, self.batch.axes, strict=True)]
        count = len(arithmetic)
        whole = _Way([a for a, _ in arithmetic], [0.0] * count, 1)
        turns = _Way([self.samples * a for _, a in arithmetic], [0.0] * count, self.samples)
        crossing = [0.0] * count
        far, near = self.passed(1), self.passed(self.samples)
        for name, places in self.touches.items():
            apart = list(self.moves(name, far))
            close = list(self.moves(name, near)) if name in self.own else apart
            for n, a, c in zip(places, apart, close, strict=True):
                whole.moves[n] += a
                turns.moves[n] += c
            for n in range(places[0] + 1, places[-1] + 1):
                crossing[n] += max(0.0, sum(apart) - sum(close))
        return whole, turns, crossing

    def arithmetic(self, step: Member, axis: str) -> tuple[float, float]:
        """Cycles for all samples, and for one; a step that would form its sums in another order has no second way."""
        whole = one = 0.0
        for k in phase(step):
            rows = step.rows if isinstance(step, Group) else ()
            every = normalize(k, rows)
            whole += (cycles := self.prices.cycles(every))
            if not k.reductions:
                one += cycles / self.samples
                continue
            single = normalize(kernel_of_one(k, axis, "#turn", {}), rows)
            one += self.prices.cycles(single) if self.prices.sums(every) == self.prices.sums(single) else inf
        return whole, one

    def passed(self, parts: int) -> list[float]:
        """What has been touched up to the end of each step, by one of so many parts of the samples."""
        each = list(self.weights)
        for name, places in self.touches.items():
            for n in places:
                each[n] += self.sizes[name] // (parts if name in self.batch.places else 1)
        return list(accumulate(each, initial=0.0))[1:]

    def moves(self, name: str, passed: list[float]) -> Iterator[float]:
        """Cycles for each touch of an array."""
        places, size = self.touches[name], self.sizes[name]
        for n, after in zip((None, *places), places):
            if n is not None:
                yield self.caches.cycles(size, passed[after] - passed[n])
            elif any(i.name == name for k in phase(self.batch.steps[after]) for i in k.inputs):
                yield self.caches.cycles(size, inf)
            else:
                next_one = places[1] if len(places) > 1 else None
                yield FILLED * self.caches.cycles(size, inf if next_one is None else passed[next_one] - passed[after])


def _cheapest(costs: list[tuple[float, float]], crossing: list[float]) -> list[int]:
    """Which of two ways each step takes, where changing between them costs something too."""
    totals: tuple[float, float] = (0.0, 0.0)
    came: list[tuple[int, int]] = []
    for cost, change in zip(costs, crossing, strict=True):
        before = (0 if totals[0] <= totals[1] + change else 1), (1 if totals[1] <= totals[0] + change else 0)
        came.append(before)
        totals = (min(totals[0], totals[1] + change) + cost[0], min(totals[1], totals[0] + change) + cost[1])
    way = 0 if totals[0] <= totals[1] else 1
    ways: list[int] = []
    for before in reversed(came):
        ways.append(way)
        way = before[way]
    return ways[::-1]


def _pieces(ways: list[int]) -> Iterator[tuple[int, int, bool]]:
    start = 0
    for way, some in groupby(ways):
        stop = start + len(list(some))
        yield start, stop, way == 1
        start = stop
