"""Calls of a function as they go: which phase runs on which thread, from when to when, and with which sizes.

The function is compiled again with a team that writes down what its threads do (runtime/record.ll), and with a mark before each
phase of the host part: a parallel loop of one turn, which says what comes now. The calls are those of a user, on the same memory
as ever. Where kernels share a phase, the processor's clock tells what part each has.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np

from bough.ir import loops
from bough.ir.dtypes import I64
from bough.ir.evaluate import extent_value
from bough.ir.expr import Const, Expr, Load, Var, add, apply, as_expr, mod, mul, sub, variables
from bough.ir.sequence import Apart, Phase, outer_scalars, phase, walk
from bough.pipeline.assemble import Assembled, host_part, phase_loop
from bough.pipeline.explain.timeline import Timeline, Turn, read_turns
from bough.pipeline.passes import Options, architecture, object_code
from bough.runtime.arrays import Array, allocate
from bough.runtime.executable import Executable
from bough.runtime.manifest import Manifest
from bough.runtime.structured import StructuredExecutable
from bough.runtime.team import recording_team_text
from bough.schedule.lower import lower_kernel
from bough.targets.notation import instruction

RECORD, LOG, CYCLES = "record#", "log#", "cycles#"
HEAD, EVENT = 4, 5
"""Numbers before the events of a record, and of each event (runtime/record.ll)."""
CAPACITY = 1 << 16
CHUNKS = 64
"""Chunks of a kernel that shares its phase are timed in so many places: threads that add to one at once may lose some cycles."""
CLOCK = instruction(
    "kernel clock() -> (now: i64[1])\n  axes q: 1\n  now[q] = 0", 1, 1, (),
    "%cycles = call i64 @llvm.readcyclecounter()\nstore i64 %cycles, ptr %now, align 8\nret void",
)  # fmt: skip
CALLS, SECONDS = 25, 2.0
"""How many calls are recorded at the most, and for how long."""


@dataclass(frozen=True, slots=True)
class Course:
    """A kernel's part in a call: how often it runs with which sizes, and the seconds of all its runs."""

    runs: tuple[tuple[dict[str, int], int], ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """`seconds` is the length of a call, `sizes` those of the arguments; `courses` are those of all kernels, in order;
    `timeline` is the shortest call."""

    seconds: float
    sizes: dict[str, int]
    courses: dict[str, Course]
    timeline: Timeline


Call = Callable[[Executable], object]
Describe = Callable[[Assembled], Manifest]


def record(assembled: Assembled, options: Options, describe: Describe, call: Call) -> Recorded:
    """Records what `call` does with the function, whose manifest is what `describe` says. Times are the lower quartiles of those
    measured. Raises what `call` raises."""
    recorder = _Recorder(assembled, options, describe)
    phases = recorder.phases
    calls = recorder.calls(call)
    seconds = _seconds([c.turns for c in calls], len(phases))
    courses: dict[str, Course] = {}
    for n, members in enumerate(phases):
        runs = recorder.seen(n)
        for k, share in zip(members, _shares([c.cycles[n, : len(members)] for c in calls]), strict=True):
            courses[k.name] = Course(runs, seconds[n] * share)
    best = min(calls, key=lambda c: c.total)
    names = tuple(tuple(k.name for k in members) for members in phases)
    timeline = Timeline(names, best.turns, options.threads, best.total, best.whole)
    sizes = recorder.seen(len(phases))
    return Recorded(_usual([c.total for c in calls]) / 1e6, sizes[0][0] if sizes else {}, courses, timeline)


def _seconds(calls: list[tuple[Turn, ...]], count: int) -> list[float]:
    """Seconds of each phase in a call."""
    sums = [[0.0] * count for _ in calls]
    for total, turns in zip(sums, calls):
        for t in turns:
            total[t.phase] += (t.end - t.begin) / 1e6
    return [_usual(times) for times in zip(*sums)]


def _shares(calls: list[Array]) -> list[float]:
    """What part of a phase each of its kernels has, by their cycles."""
    cycles = [_usual(times) for times in np.stack(calls, axis=1).tolist()]
    return [c / sum(cycles) for c in cycles] if sum(cycles) > 0 else [1 / len(cycles)] * len(cycles)


def _usual(times: Sequence[float]) -> float:
    """The lower quartile: what disturbs a call makes it longer, never shorter."""
    return sorted(times)[len(times) // 4]


@dataclass(frozen=True, slots=True)
class _Recorded:
    """One call: `total` in microseconds, `cycles` of each phase and each of its kernels."""

    total: float
    turns: tuple[Turn, ...]
    whole: bool
    cycles: Array


class _Recorder:
    """A function whose `phases` are marked, and its end. The log has a line for each mark that the host part passes: its
    number, and sizes: those that the kernels of the phase name, at the end those of the arguments. `cycles` are those of each
    kernel of a phase of several, in some of its chunks each. `samples` go apart in a phase."""

    def __init__(self, assembled: Assembled, options: Options, describe: Describe) -> None:
        sequence = assembled.sequence
        steps = [s for s in walk(sequence.steps) if phase(s)]
        self.phases = [phase(s) for s in steps]
        self.samples = [as_expr(s.count if isinstance(s, Apart) else 1) for s in steps]
        inside = [{s.variable} if isinstance(s, Apart) else set[str]() for s in steps]
        self.numbers = {k.name: n for n, members in enumerate(self.phases) for k in members}
        named = [variables(n).union(*map(outer_scalars, members)) for n, members in zip(self.samples, self.phases, strict=True)]
        self.sizes = [sorted(names - own) for names, own in zip(named, inside, strict=True)]
        self.sizes.append([d.name for d in sequence.dims])
        self.columns = 1 + max(map(len, self.sizes))
        self.most = max(map(len, self.phases), default=1)
        self.record = _numbers(HEAD + EVENT * CAPACITY)
        self.log = _numbers(CAPACITY * self.columns)
        self.cycles = _numbers(len(self.phases) * self.most * CHUNKS)
        self.bodies = {name: lower_kernel(s.kernel, s.schedule) for name, s in assembled.scheduled.items()}
        for members in self.phases:
            if len(members) > 1:
                self.bodies |= {k.name: self._timed(self.bodies[k.name], n) for n, k in enumerate(members)}
        self.clear()
        self.executable = self._compile(self._marked(assembled), options, describe)

    def _compile(self, marked: Assembled, options: Options, describe: Describe) -> Executable:
        target = replace(options.target, instructions=(*options.target.instructions, CLOCK))
        team = recording_team_text(architecture(target), self.record.ctypes.data)
        code = object_code([marked.function], marked, target, team)
        manifest = replace(describe(marked), divides=False)
        kind = Executable if manifest.visits is None else StructuredExecutable
        return kind(manifest, code, marked.sequence.constants, threads=options.threads)

    def _marked(self, assembled: Assembled) -> Assembled:
        """The function with its marks; what is written down is constants to it."""
        sequence = assembled.sequence
        added = {RECORD: self.record, LOG: self.log, CYCLES: self.cycles}

        def emit(s: Phase) -> tuple[loops.Stmt, ...]:
            return self._mark(self.numbers[phase(s)[0].name]), phase_loop(s, self.bodies, sequence.temporaries)

        body = (*host_part(sequence, emit, assembled.failures), self._mark(len(self.phases)))
        params = list(assembled.function.params)
        inside = len(sequence.inputs) + len(sequence.results) + len(sequence.constants)
        params[inside:inside] = [loops.Buffer(n, I64, (a.size,), "memory", 8) for n, a in added.items()]
        constants, types = {**sequence.constants, **added}, {**sequence.constant_types, **dict.fromkeys(added, I64)}
        return replace(
            assembled,
            function=loops.Function("recorded", assembled.function.scalars, tuple(params), body),
            sequence=replace(sequence, constants=constants, constant_types=types),
        )

    def _mark(self, number: int) -> loops.For:
        turn = Var("turn#")
        values: list[Expr] = [Const(number), *map(Var, self.sizes[number])]
        line = [loops.Store(LOG, (add(mul(turn, self.columns), n),), v) for n, v in enumerate(values)]
        says = (
            loops.Let(turn.name, Load(RECORD, (Const(1),), I64)),
            loops.Store(RECORD, (Const(0),), Const(number)),
            loops.Store(RECORD, (Const(1),), add(turn, 1)),
            loops.If(apply("lt", turn, Const(CAPACITY)), tuple(line)),
        )
        return loops.For("mark#", Const(0), Const(1), says, "parallel")

    def _timed(self, chunks: loops.For, member: int) -> loops.For:
        """The loop over the chunks of a kernel that shares its phase, with the clock read before and behind its work. The number
        of the phase is read from the record, so that phases that do the same stay one function."""
        own = tuple(takewhile(lambda s: isinstance(s, loops.Alloc), chunks.body))
        clock = loops.Alloc(loops.Buffer("clock#", I64, (2,), "scratch", 8))
        begin, end = (loops.Invoke(CLOCK.name, (loops.Slice("clock#", (Const(n),), (0,)),)) for n in range(2))
        kernel = add(mul(Load(RECORD, (Const(0),), I64), self.most), member)
        at = (add(mul(kernel, CHUNKS), mod(Var(chunks.var), CHUNKS)),)
        taken = sub(Load("clock#", (Const(1),), I64), Load("clock#", (Const(0),), I64))
        count = loops.Store(CYCLES, at, add(Load(CYCLES, at, I64), taken))
        return replace(chunks, body=(clock, *own, begin, *chunks.body[len(own) :], end, count))

    def clear(self) -> None:
        self.record[:HEAD] = 0, 0, CAPACITY, 0
        self.cycles[:] = 0

    def calls(self, call: Call) -> list[_Recorded]:
        """Some calls, after one that does not count."""
        call(self.executable)
        found: list[_Recorded] = []
        start = time.perf_counter()
        while len(found) < 3 or (len(found) < CALLS and time.perf_counter() - start < SECONDS):
            call(self.executable)  # another before each, since reading the record has filled the caches with other things
            self.clear()
            begin = time.perf_counter_ns()
            call(self.executable)
            end = time.perf_counter_ns()
            count = int(self.record[3])
            events = self.record[HEAD : HEAD + EVENT * min(CAPACITY, count)].reshape(-1, EVENT)
            cycles = self.cycles.reshape(len(self.phases), self.most, CHUNKS).sum(2)
            turns = [t for t in read_turns(events, begin) if t.phase < len(self.phases)]  # others lie between two calls
            found.append(_Recorded((end - begin) / 1e3, tuple(turns), count <= CAPACITY, cycles))
        return found

    def seen(self, number: int) -> tuple[tuple[dict[str, int], int], ...]:
        """The sizes with which a mark was passed in the last call, and how often."""
        lines = self.log.reshape(-1, self.columns)[: min(CAPACITY, int(self.record[1]))]
        found = Counter(map(tuple, lines[lines[:, 0] == number, 1 : 1 + len(self.sizes[number])].tolist()))
        samples = [*self.samples, Const(1)][number]
        named = ((dict(zip(self.sizes[number], sizes)), runs) for sizes, runs in found.items())
        return tuple((sizes, runs * extent_value(samples, sizes)) for sizes, runs in named)


def _numbers(count: int) -> Array:
    return allocate(8 * count).view(np.int64)
