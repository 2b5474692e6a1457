"""How often the kernels of a function run whose course depends on what it computes, with which sizes, and how long they take.

The function runs once on the example arguments, with a tally before each phase. Then each kernel runs by itself, on the arrays
as that run left them, with the mean of the numbers that it saw. Every array has memory of its own here, so that nothing of
what a kernel reads has been overwritten.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bough.base.clock import interleaved_medians
from bough.ir import loops
from bough.ir.dtypes import I64
from bough.ir.evaluate import extent_value
from bough.ir.expr import Const, Expr, Load, Var, add
from bough.ir.program import CAPACITY
from bough.ir.sequence import Define, Phase, Repeat, Sequence, Whilst, kernels, outer_scalars, phase, walk
from bough.pipeline.assemble import Assembled, host_part, phase_loop
from bough.pipeline.passes import Options, object_code
from bough.runtime.arrays import aligned
from bough.runtime.failures import FIRST_CAPACITY, MOST_CAPACITY
from bough.runtime.loader import LoadedObject
from bough.runtime.team import team_of
from bough.schedule.lower import lower_kernel

Array = np.ndarray[Any, Any]
TALLY, REPEATS = "tally#", 16
_POINTER = ctypes.c_void_p


@dataclass(frozen=True, slots=True)
class Course:
    """A kernel's part in a call: how often it ran, the mean of each size, and the seconds of all its runs."""

    runs: int
    sizes: dict[str, int]
    seconds: float


def profile(assembled: Assembled, options: Options, arrays: Mapping[str, Array], sizes: Mapping[str, int]) -> dict[str, Course]:
    """For each kernel in order; `arrays` and `sizes` are the inputs and dims by the names of the assembled sequence.

    Raises InternalError where the call ends early."""
    work = _Tally(assembled)
    functions = [work.counting(), *work.alone()]
    native = _Native(object_code(functions, assembled, options.target), work, options.threads)
    capacity = next((d.name for d in assembled.sequence.dims if d.name.rstrip("_") == CAPACITY), None)
    known = dict(sizes)
    if capacity is not None:
        known[capacity] = FIRST_CAPACITY
    buffers = native.buffers(arrays, known)
    while native.run("counting", buffers, known) and capacity is not None and known[capacity] < MOST_CAPACITY:
        known[capacity] *= 2
        buffers = native.buffers(arrays, known)
    seen = work.seen(buffers[TALLY])
    ran = {name: course for name, course in seen.items() if course.runs}
    calls = {
        name: partial(native.run, work.entries[name], buffers, {**known, **dict.fromkeys(work.numbers, 0), **course.sizes})
        for name, course in ran.items()
    }
    empty = partial(native.run, "nothing", buffers, {**known, **dict.fromkeys(work.numbers, 0)})
    medians = interleaved_medians({**calls, "": empty}, rounds=20, budget=3.0)
    return {
        name: Course(c.runs, {**known, **c.sizes}, max(0.0, medians[name] - medians[""]) / REPEATS * c.runs if c.runs else 0.0)
        for name, c in seen.items()
    }


class _Tally:
    """The functions that are run. `slots` says where the tally of each phase begins: runs, then the sums of its numbers."""

    def __init__(self, assembled: Assembled) -> None:
        self.assembled, self.sequence = assembled, assembled.sequence
        self.bodies = {name: lower_kernel(s.kernel, s.schedule) for name, s in assembled.scheduled.items()}
        self.numbers = _numbers(self.sequence)
        self.slots: dict[str, int] = {}
        self.used: dict[str, list[str]] = {}
        end = 0
        for s in walk(self.sequence.steps):
            for k in phase(s):
                self.slots[k.name] = end
                self.used[k.name] = [n for n in self.numbers if n in outer_scalars(k)]
                end += 1 + len(self.used[k.name])
        self.size = end
        self.entries = {name: f"alone_{n}" for n, name in enumerate(self.slots)}
        params = assembled.function.params
        self.params = (*params, loops.Buffer(TALLY, I64, (max(1, end),), "memory", 8))

    def counting(self) -> loops.Function:
        def emit(s: Phase) -> tuple[loops.Stmt, ...]:
            lines: list[loops.Stmt] = []
            for k in phase(s):
                values: list[Expr] = [Const(1), *map(Var, self.used[k.name])]
                for n, value in enumerate(values, self.slots[k.name]):
                    before = Load(TALLY, (Const(n),), I64)
                    lines.append(loops.Store(TALLY, (Const(n),), add(before, value)))
            return (*lines, phase_loop(s, self.bodies))

        body = host_part(self.sequence, emit, self.assembled.failures)
        return loops.Function("counting", self.assembled.function.scalars, self.params, body)

    def alone(self) -> list[loops.Function]:
        scalars = (*self.assembled.function.scalars, *self.numbers)
        found = [loops.Function("nothing", scalars, self.params, ())]
        for k in kernels(self.sequence.steps):
            again = loops.For("again#", Const(0), Const(REPEATS), (self.bodies[k.name],))
            found.append(loops.Function(self.entries[k.name], scalars, self.params, (again,)))
        return found

    def seen(self, tally: Array) -> dict[str, Course]:
        found: dict[str, Course] = {}
        for name, at in self.slots.items():
            runs = int(tally[at])
            sums = tally[at + 1 : at + 1 + len(self.used[name])]
            found[name] = Course(runs, {n: int(s) // max(1, runs) for n, s in zip(self.used[name], sums)}, 0.0)
        return found


def _numbers(sequence: Sequence) -> tuple[str, ...]:
    """What the host defines as it goes."""
    found: dict[str, None] = {}
    for s in walk(sequence.steps):
        if isinstance(s, Define):
            found[s.name] = None
        elif isinstance(s, (Repeat, Whilst)):
            found[s.variable] = None
    return tuple(found)


class _Native:
    """The functions as native code."""

    def __init__(self, code: bytes, work: _Tally, threads: int) -> None:
        self.work = work
        self.program = LoadedObject(code)
        self.team = team_of(self.program, None, threads)
        self.team_run = self.program.function("bough_team_run", ctypes.c_int32, *[_POINTER] * 4)

    def buffers(self, arrays: Mapping[str, Array], sizes: Mapping[str, int]) -> dict[str, Array]:
        held = {**self.work.sequence.constants, **arrays}
        found: dict[str, Array] = {}
        for b in self.work.params:
            array = held.get(b.name)
            if array is None:
                array = np.zeros(extent_value(b.shape[0], sizes), b.dtype.numpy)
            found[b.name] = aligned(array)
        return found

    def run(self, name: str, buffers: Mapping[str, Array], sizes: Mapping[str, int]) -> int:
        pointers = (ctypes.c_uint64 * len(buffers))(*(b.ctypes.data for b in buffers.values()))
        names = (*self.work.assembled.function.scalars, *(self.work.numbers if name != "counting" else ()))
        scalars = (ctypes.c_int64 * max(1, len(names)))(*(sizes[n] for n in names))
        entry = self.program.symbols[f"bough_{name}"]
        team = self.team.pointer or self.team.start(self.program)
        return int(self.team_run(team, entry, ctypes.addressof(pointers), ctypes.addressof(scalars)))
