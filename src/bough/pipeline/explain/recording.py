"""Calls of a function as they go: which phase runs on which thread, from when to when, and with which sizes.

The function is compiled again with a team that writes down what its threads do (runtime/record.ll), and with a mark before each
phase of the host part: a parallel loop of one turn, which says what comes now. The calls are those of a user, on the same memory
as ever. Where kernels share a phase, another function runs each in a phase of its own, and tells what part each has.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bough.frontends.staging import Staged
from bough.frontends.torch_export import Imported
from bough.ir import loops
from bough.ir.dtypes import I64
from bough.ir.expr import Const, Expr, Load, Var, add, apply, mul
from bough.ir.kernel import Kernel
from bough.ir.sequence import Phase, outer_scalars, phase, walk
from bough.pipeline.assemble import Assembled, host_part, phase_loop
from bough.pipeline.explain.timeline import Timeline, Turn, read_turns
from bough.pipeline.manifest import make_manifest
from bough.pipeline.passes import Options, architecture, object_code
from bough.runtime.arrays import Array, allocate
from bough.runtime.executable import Executable
from bough.runtime.structured import StructuredExecutable
from bough.runtime.team import recording_team_text
from bough.schedule.lower import lower_kernel

RECORD, LOG = "record#", "log#"
HEAD, EVENT = 4, 5
"""Numbers before the events of a record, and of each event (runtime/record.ll)."""
CAPACITY = 1 << 16
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


def record(imported: Imported | Staged, assembled: Assembled, options: Options, call: Call) -> Recorded:
    """Records calls of the function. Times are the lower quartiles of those measured. Raises what a call raises."""
    phases = [members for s in walk(assembled.sequence.steps) if (members := phase(s))]
    together = _Recorder(imported, assembled, options, phases)
    calls = together.calls(call)
    seconds = _seconds([c.turns for c in calls], len(phases))
    parts = [dict.fromkeys((k.name for k in members), 1.0) for members in phases]
    if any(len(members) > 1 for members in phases):
        each = [(k,) for members in phases for k in members]
        alone = _Recorder(imported, assembled, options, each)
        taken = iter(_seconds([c.turns for c in alone.calls(call)], len(each)))
        parts = [{k.name: next(taken) for k in members} for members in phases]
    names = tuple(tuple(k.name for k in members) for members in phases)
    best = min(calls, key=lambda c: c.total)
    timeline = Timeline(names, best.turns, options.threads, best.total, best.whole)
    courses: dict[str, Course] = {}
    for n, members in enumerate(phases):
        runs = together.seen(n)
        whole = sum(parts[n].values())
        for k in members:
            share = parts[n][k.name] / whole if whole else 1 / len(members)
            courses[k.name] = Course(runs, seconds[n] * share)
    sizes = together.seen(len(phases))
    return Recorded(_usual([c.total for c in calls]) / 1e6, sizes[0][0] if sizes else {}, courses, timeline)


def _seconds(calls: list[tuple[Turn, ...]], count: int) -> list[float]:
    """Seconds of each phase in a call."""
    sums = [[0.0] * count for _ in calls]
    for total, turns in zip(sums, calls):
        for t in turns:
            total[t.phase] += (t.end - t.begin) / 1e6
    return [_usual(times) for times in zip(*sums)]


def _usual(times: Sequence[float]) -> float:
    """The lower quartile: what disturbs a call makes it longer, never shorter."""
    return sorted(times)[len(times) // 4]


@dataclass(frozen=True, slots=True)
class _Recorded:
    """One call: `total` in microseconds."""

    total: float
    turns: tuple[Turn, ...]
    whole: bool


class _Recorder:
    """A function whose `phases` are marked, and its end. The log has a line for each mark that the host part passes: its
    number, and sizes: those that the kernels of the phase name, at the end those of the arguments."""

    def __init__(
        self, imported: Imported | Staged, assembled: Assembled, options: Options, phases: Sequence[tuple[Kernel, ...]]
    ) -> None:
        self.phases = phases
        self.numbers = {k.name: n for n, members in enumerate(phases) for k in members}
        self.bodies = {name: lower_kernel(s.kernel, s.schedule) for name, s in assembled.scheduled.items()}
        self.sizes = [sorted({name for k in members for name in outer_scalars(k)}) for members in phases]
        self.sizes.append([d.name for d in assembled.sequence.dims])
        self.columns = 1 + max(map(len, self.sizes))
        self.record = allocate(8 * (HEAD + EVENT * CAPACITY)).view(np.int64)
        self.log = allocate(8 * CAPACITY * self.columns).view(np.int64).reshape(CAPACITY, self.columns)
        self.clear()
        marked = self._marked(assembled)
        team = recording_team_text(architecture(options.target), self.record.ctypes.data)
        code = object_code([marked.function], marked, options.target, team)
        manifest = replace(make_manifest(imported, marked, options.target), divides=False)
        kind = Executable if manifest.visits is None else StructuredExecutable
        self.executable = kind(manifest, code, marked.sequence.constants, threads=options.threads)

    def _marked(self, assembled: Assembled) -> Assembled:
        """The function with its marks; record and log are constants to it."""
        sequence = assembled.sequence
        added: dict[str, Array] = {RECORD: self.record, LOG: self.log.reshape(-1)}
        body = (*host_part(sequence, lambda s: tuple(self._emit(s)), assembled.failures), self._mark(len(self.phases)))
        params = list(assembled.function.params)
        inside = len(sequence.inputs) + len(sequence.results) + len(sequence.constants)
        params[inside:inside] = [loops.Buffer(n, I64, (a.size,), "memory", 8) for n, a in added.items()]
        constants, types = {**sequence.constants, **added}, {**sequence.constant_types, **dict.fromkeys(added, I64)}
        return replace(
            assembled,
            function=loops.Function("recorded", assembled.function.scalars, tuple(params), body),
            sequence=replace(sequence, constants=constants, constant_types=types),
        )

    def _emit(self, step: Phase) -> Iterator[loops.Stmt]:
        members = phase(step)
        if len(self.phases[self.numbers[members[0].name]]) == len(members):
            yield self._mark(self.numbers[members[0].name])
            yield phase_loop(step, self.bodies)
        else:
            for k in members:
                yield self._mark(self.numbers[k.name])
                yield self.bodies[k.name]

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

    def clear(self) -> None:
        self.record[:HEAD] = 0, 0, CAPACITY, 0

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
            found.append(_Recorded((end - begin) / 1e3, read_turns(events, begin), count <= CAPACITY))
        return found

    def seen(self, number: int) -> tuple[tuple[dict[str, int], int], ...]:
        """The sizes with which a mark was passed in the last call, and how often."""
        lines = self.log[: min(CAPACITY, int(self.record[1]))]
        found = Counter(map(tuple, lines[lines[:, 0] == number, 1 : 1 + len(self.sizes[number])].tolist()))
        return tuple((dict(zip(self.sizes[number], sizes)), runs) for sizes, runs in found.items())
