"""A schedule for each kernel of a sequence, and what follows from it: operands that are packed, kernels that share a phase."""

from __future__ import annotations

import os
from collections.abc import Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bough.graph_passes.effects import Effects, depths
from bough.graph_passes.normalize import normalize
from bough.graph_passes.substitution import nameless, nameless_together, renamed
from bough.ir.dtypes import DType
from bough.ir.expr import as_expr, variables
from bough.ir.kernel import Kernel, Operand
from bough.ir.sequence import (
    Apart,
    Beside,
    Group,
    Repeat,
    Run,
    Sequence,
    Step,
    Whilst,
    host_loads,
    kernels,
    map_bodies,
    nominal_sizes,
    phase,
    private,
    straight,
)
from bough.runtime.arrays import Room
from bough.schedule.access import load_accesses
from bough.schedule.decisions import Schedule
from bough.schedule.pack import ConstantPack, Packed, pack_operands
from bough.search.chunks import nominal_chunks
from bough.search.cost import machine_of
from bough.search.heuristic import Context, Strategy
from bough.search.nests import choose_rows, finer, keeping
from bough.search.rows import Planned, group_rows
from bough.search.sums import sums_in_turn


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A kernel as it runs, and the decisions that it came from (`schedule` names operands as `before` packing)."""

    kernel: Kernel
    before: Kernel
    schedule: Schedule


def schedule_kernels(
    sequence: Sequence, strategy: Strategy, context: Context, grouping: bool = True
) -> tuple[Sequence, dict[str, Scheduled]]:
    """Chooses a schedule for each kernel and applies its packing: copies of constants now, others as kernels. With `grouping`,
    kernels share barriers where they can."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        scheduling = _Scheduling(sequence, strategy, context, grouping, threads)
        steps = scheduling.steps(sequence.steps, None)
        for copy in scheduling.copies:
            copy.result()
    used = {o.name for k in kernels(steps) for o in (*k.inputs, *k.outputs)} | host_loads(steps)
    result = replace(
        sequence,
        temporaries=scheduling.temporaries,
        constants={n: a for n, a in scheduling.constants.items() if n in used},
        constant_types=scheduling.types,
        steps=steps,
    )
    return result, scheduling.scheduled


class _Scheduling:
    """What has been decided so far, and the arrays with the packed ones among them, which `threads` fill meanwhile. `loop` is the
    innermost loop of the host around a step."""

    def __init__(
        self, sequence: Sequence, strategy: Strategy, context: Context, grouping: bool, threads: ThreadPoolExecutor
    ) -> None:
        defined = nominal_sizes(sequence.steps)
        self.strategy, self.grouping = strategy, grouping
        self.constants: dict[str, np.ndarray[Any, Any]] = dict(sequence.constants)
        sizes, weights = {**context.sizes, **defined}, self.weights(sequence.steps)
        self.context = replace(context, sizes=sizes, defined=frozenset(defined), weights=weights)
        self.room = Room()
        self.types: dict[str, DType] = dict(sequence.constant_types)
        self.temporaries: dict[str, Operand] = dict(sequence.temporaries)
        self.scheduled: dict[str, Scheduled] = {}
        self.chosen: dict[Hashable, Schedule] = {}
        self.threads, self.copies = threads, list[Future[None]]()
        self.packs: dict[ConstantPack, str] = {}
        self.nests: dict[Hashable, tuple[tuple[str, ...], list[Schedule]] | None] = {}

    def steps(self, steps: tuple[Step, ...], loop: str | None) -> tuple[Step, ...]:
        """The steps with kernels as they run."""
        out: list[Step] = []
        run: list[Kernel] = []
        for s in steps:
            if isinstance(s, Group) and s.rows:
                own = self.nested(s, loop)
                if own is not None:
                    out += [*self.phases(run), *own]
                    run = []
                    continue
                s = replace(s, kernels=tuple(map(normalize, s.kernels)))
            if isinstance(s, Apart):
                out += [*self.phases(run), self.apart(s)]
                run = []
                continue
            if isinstance(s, (Run, Group, Beside)):
                run += [k for member in phase(s) for k in self.place(member, loop)]
                continue
            inside = s.variable if isinstance(s, (Repeat, Whilst)) else loop
            out += self.phases(run)
            out.append(map_bodies(s, lambda body: self.within(body, inside, loop)))  # noqa: B023
            run = []
        return (*out, *self.phases(run))

    def within(self, body: tuple[Step, ...], loop: str | None, around: str | None) -> tuple[Step, ...]:
        """The steps of a body, in a loop of its own or the one around."""
        context = self.context
        if loop != around:
            self.context = replace(context, weights=self.weights(body))
        steps = self.steps(body, loop)
        self.context = context
        return steps

    def weights(self, steps: tuple[Step, ...]) -> int:
        """Bytes of constants that the products of some steps read."""
        read = {a.operand for k in kernels(steps) for a in load_accesses(k) if a.reduction is not None}
        return sum(self.constants[name].nbytes for name in read if name in self.constants)

    def apart(self, s: Apart) -> Apart:
        """The samples on one thread each, most of the time; what is copied for them is theirs, too."""
        context, before = self.context, set(self.temporaries)
        self.context = replace(context, threads=1)
        steps = self.steps(s.steps, None)
        self.context = context
        members = straight(p for step in steps for p in (step.parts if isinstance(step, Beside) else (step,)))
        within_groups = set[str]().union(*map(private, members))
        own = {*s.private, *(n for n in self.temporaries if n not in before)} - within_groups
        return replace(s, steps=members, private=tuple(sorted(own)))

    def nested(self, s: Group, loop: str | None) -> list[Step] | None:
        """The group as one phase, and copies before it that its kernels need; None where a thread cannot take its rows through
        all of them."""
        chosen = self.nest(s, loop)
        if chosen is None:
            return None
        rows, schedules = chosen
        s = replace(s, rows=rows)
        before: list[Kernel] = []
        members: list[Kernel] = []
        for kernel, schedule in zip(s.kernels, schedules, strict=True):
            copies, after = self.packed(kernel, schedule, loop)
            before += copies
            members.append(after)
        return [*self.phases(before), replace(s, kernels=tuple(members))]

    def nest(self, s: Group, loop: str | None) -> tuple[tuple[str, ...], list[Schedule]] | None:
        """Rows and schedules of a group; one choice for all groups that differ in names only."""
        alike, numbers = nameless_together(s.kernels)
        constant = tuple(n in self.context.constants for n in numbers)
        key = alike, s.rows, tuple(numbers.get(n, n) for n in s.private), constant, loop, self.context.threads
        if key not in self.nests:
            context = replace(self.context, loop=loop)
            every = ((g.rows, choose_rows(g, self.strategy, context)) for g in finer(s))
            self.nests[key] = next(((rows, schedules) for rows, schedules in every if schedules is not None), None)
        found = self.nests[key]
        return None if found is None else (found[0], [keeping(schedule, s.private) for schedule in found[1]])

    def place(self, kernel: Kernel, loop: str | None) -> list[Kernel]:
        kernel = sums_in_turn(kernel, machine_of(self.context.target), self.context)
        before, after = self.packed(kernel, self.choose(kernel, loop), loop)
        return [*before, after]

    def choose(self, kernel: Kernel, loop: str | None) -> Schedule:
        """One schedule for all kernels that differ in names only."""
        key = nameless(kernel), tuple(n in self.context.constants for n in kernel.operands), loop, self.context.threads
        if key not in self.chosen:
            self.chosen[key] = self.strategy.choose(kernel, replace(self.context, loop=loop))
        return self.chosen[key]

    def packed(self, kernel: Kernel, schedule: Schedule, loop: str | None) -> tuple[list[Kernel], Kernel]:
        """Kernels that pack what is not constant, and the kernel on packed operands."""
        name = self.unique(kernel.name)
        packed, after = pack_operands(kernel, schedule, name)
        constant = {p.operand.name: self.constant(p, kernel) for p in packed if p.source.name in self.constants}
        after = replace(renamed(after, {own: kept for own, kept in constant.items() if own != kept}), name=name)
        self.scheduled[name] = Scheduled(after, kernel, schedule)
        before: list[Kernel] = []
        for p in packed:
            if p.operand.name not in constant:
                self.temporaries[p.operand.name] = p.operand
                before.extend(self.place(normalize(p.copy), loop))
        return before, after

    def constant(self, p: Packed, kernel: Kernel) -> str:
        """The name of a packed constant, which all kernels have that read it alike."""
        pack = ConstantPack.of(p, kernel)
        if pack not in self.packs:
            name = self.packs[pack] = p.operand.name
            source = self.constants[p.source.name]
            self.constants[name] = pack.room(source.dtype, self.room)
            self.copies.append(self.threads.submit(pack.fill, self.constants[name], source))
            self.types[name] = p.operand.dtype
        return self.packs[pack]

    def unique(self, name: str) -> str:
        base, n = name, 1
        while name in self.scheduled:
            n += 1
            name = f"{base}#{n}"
        return name

    def phases(self, run: list[Kernel]) -> list[Step]:
        """Phases of a straight run of kernels; those that share rows share one."""
        if not self.grouping:
            return [Run(k) for k in run]
        out: list[Run | Group] = []
        planned = [Planned(k, self.scheduled[k.name].schedule) for k in run]
        for members in group_rows(planned, self.context):
            for m in members:
                self.scheduled[m.kernel.name] = replace(self.scheduled[m.kernel.name], schedule=m.schedule)
            names = tuple(m.kernel for m in members)
            out.append(Run(names[0]) if len(names) == 1 else Group(names))
        return side_by_side(out, self.scheduled, self.context)


def side_by_side(steps: list[Run | Group], scheduled: dict[str, Scheduled], context: Context) -> list[Step]:
    """Phases of a level that need nothing of each other as one: where each has little work, waiting is what costs. Where one
    thread does each of them without the others, there is nothing to wait for."""

    def small(s: Run | Group) -> bool:
        extents = {v for k in phase(s) for a in k.axes for v in variables(as_expr(a.extent))}
        parallel = not any(scheduled[k.name].schedule.serial or scheduled[k.name].schedule.serpentine for k in phase(s))
        return parallel and not context.defined.isdisjoint(extents)

    def shared(s: Run | Group) -> bool:
        first = phase(s)[0]
        return nominal_chunks(first, scheduled[first.name].schedule, context.sizes) > 1

    if sum(map(small, steps)) < 2:
        return list(steps)
    levels: dict[int, list[Run | Group]] = {}
    states = frozenset(n for s in steps for k in phase(s) for n in k.apart)
    for s, depth in zip(steps, depths((Effects.all(phase(s)) for s in steps), states)):
        levels.setdefault(depth, []).append(s)
    out: list[Step] = []
    for depth in sorted(levels):
        together = [s for s in levels[depth] if small(s)]
        out += [s for s in levels[depth] if not small(s)]
        out += [Beside(tuple(together))] if len(together) > 1 and any(map(shared, together)) else together
    return out
