"""Scheduled kernels to one Loops function: the host program with its parallel phases, and the arrays it takes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from itertools import dropwhile, takewhile
from typing import Any

import numpy as np

from bough.base.errors import InternalError
from bough.graph_passes.effects import Effects, depths
from bough.graph_passes.normalize import normalize
from bough.graph_passes.plan_memory import ALIGNMENT, ArenaPlan, plan_memory
from bough.ir import loops
from bough.ir.dtypes import DType
from bough.ir.expr import Const, Expr, Extent, Load, Var, add, apply, as_expr, floordiv, mul, sub, variables
from bough.ir.kernel import Kernel, Operand
from bough.ir.sequence import (
    Beside,
    Branch,
    Check,
    Define,
    Failure,
    Group,
    Phase,
    Repeat,
    Run,
    Sequence,
    Step,
    Whilst,
    host_loads,
    kernels,
    map_bodies,
    map_loads,
    nominal_sizes,
    phase,
)
from bough.ir.sequence import walk as steps_of
from bough.pipeline.separate_names import nameless, separate
from bough.schedule.access import address
from bough.schedule.decisions import Schedule
from bough.schedule.lower import lower_kernel
from bough.schedule.pack import pack_constant, pack_operands
from bough.search.chunks import nominal_chunks
from bough.search.heuristic import Context, Strategy
from bough.search.nests import choose_rows, finer
from bough.search.rows import Planned, group_rows

Body = tuple[loops.Stmt, ...]
Emit = Callable[[Phase], Body]


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A kernel as it runs, and the decisions that it came from (`chosen` names operands as `before` packing)."""

    kernel: Kernel
    before: Kernel
    schedule: Schedule


@dataclass(frozen=True, slots=True, eq=False)
class Assembled:
    """One function and what its buffers are. Constants hold only what the function reads, packed. Inputs and sizes of `given`
    correspond to those of `sequence`, where they may have other names."""

    function: loops.Function
    given: Sequence
    sequence: Sequence
    scheduled: dict[str, Scheduled]
    arena: ArenaPlan
    failures: tuple[Failure, ...]
    """What the codes that the function returns stand for: `failures[n]` for n + 1."""


def schedule_kernels(
    sequence: Sequence, strategy: Strategy, context: Context, grouping: bool = True
) -> tuple[Sequence, dict[str, Scheduled]]:
    """Chooses a schedule for each kernel and applies its packing: copies of constants now, others as kernels. With `grouping`,
    kernels share barriers where they can."""
    scheduled: dict[str, Scheduled] = {}
    constants, types = dict(sequence.constants), dict(sequence.constant_types)
    temporaries = dict(sequence.temporaries)
    chosen: dict[Hashable, Schedule] = {}

    defined = nominal_sizes(sequence.steps)
    context = replace(context, sizes={**context.sizes, **defined}, defined=frozenset(defined))

    def choose(kernel: Kernel, loop: str | None) -> Schedule:
        """One schedule for all kernels that differ in names only."""
        key = nameless(kernel), tuple(n in context.constants for n in kernel.operands), loop
        if key not in chosen:
            chosen[key] = strategy.choose(kernel, replace(context, loop=loop))
        return chosen[key]

    def unique(name: str) -> str:
        base, n = name, 1
        while name in scheduled:
            n += 1
            name = f"{base}#{n}"
        return name

    def place(kernel: Kernel, loop: str | None) -> list[Kernel]:
        before, after = apply_packs(kernel, choose(kernel, loop), loop)
        return [*before, after]

    def apply_packs(kernel: Kernel, schedule: Schedule, loop: str | None) -> tuple[list[Kernel], Kernel]:
        """The kernel on packed operands, and kernels before it that pack what is not constant."""
        name = unique(kernel.name)
        packed, after = pack_operands(kernel, schedule, name)
        after = replace(after, name=name)
        scheduled[name] = Scheduled(after, kernel, schedule)
        before: list[Kernel] = []
        for p in packed:
            if p.source.name in constants:
                constants[p.operand.name] = pack_constant(p, kernel, constants[p.source.name])
                types[p.operand.name] = p.operand.dtype
            else:
                temporaries[p.operand.name] = p.operand
                before.extend(place(normalize(p.copy), loop))
        return before, after

    def nested(s: Group, loop: str | None) -> list[Step] | None:
        """The group as one phase, and copies before it that its kernels need; None where a thread cannot take its rows through
        all of them."""
        every = ((g, choose_rows(g, strategy, replace(context, loop=loop))) for g in finer(s))
        s, schedules = next(((g, found) for g, found in every if found is not None), (s, None))
        if schedules is None:
            return None
        before: list[Kernel] = []
        members: list[Kernel] = []
        for kernel, schedule in zip(s.kernels, schedules, strict=True):
            copies, after = apply_packs(kernel, schedule, loop)
            before += copies
            members.append(after)
        return [*group(before), replace(s, kernels=tuple(members))]

    def walk(steps: tuple[Step, ...], loop: str | None) -> tuple[Step, ...]:
        out: list[Step] = []
        run: list[Kernel] = []
        for s in steps:
            if isinstance(s, Group) and s.rows:
                own = nested(s, loop)
                if own is not None:
                    out += [*group(run), *own]
                    run = []
                    continue
                s = replace(s, kernels=tuple(map(normalize, s.kernels)))
            if isinstance(s, (Run, Group, Beside)):
                run += [k for member in phase(s) for k in place(member, loop)]
                continue
            inside = s.variable if isinstance(s, (Repeat, Whilst)) else loop
            out += group(run)
            out.append(map_bodies(s, lambda body: walk(body, inside)))  # noqa: B023
            run = []
        return (*out, *group(run))

    def group(run: list[Kernel]) -> list[Step]:
        """Phases of a straight run of kernels; those that share rows share one."""
        if not grouping:
            return [Run(k) for k in run]
        out: list[Run | Group] = []
        for members in group_rows([Planned(k, scheduled[k.name].schedule) for k in run], context):
            for m in members:
                scheduled[m.kernel.name] = replace(scheduled[m.kernel.name], schedule=m.schedule)
            names = tuple(m.kernel for m in members)
            out.append(Run(names[0]) if len(names) == 1 else Group(names))
        return side_by_side(out, scheduled, context)

    steps = walk(sequence.steps, None)
    used = {o.name for k in kernels(steps) for o in (*k.inputs, *k.outputs)} | host_loads(steps)
    constants = {n: a for n, a in constants.items() if n in used}
    result = replace(sequence, temporaries=temporaries, constants=constants, constant_types=types, steps=steps)
    return result, scheduled


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


def assemble(sequence: Sequence, scheduled: dict[str, Scheduled]) -> Assembled:
    """The Loops function of a scheduled sequence. Parameters: inputs, results, constants, temporaries, in this order.

    Arrays and symbolic sizes get other names where theirs stand for something else in the loops.
    """
    given = sequence
    sequence, scheduled, bodies = _lowered(sequence, scheduled)
    arena = plan_memory(sequence)
    buffers: list[loops.Buffer] = [flat(i, 4) for i in sequence.inputs]
    buffers += [flat(sequence.temporaries[r], 4) for r in sequence.results]
    for name, array in sequence.constants.items():
        buffers.append(loops.Buffer(name, sequence.constant_types[name], (int(array.size),), "memory", ALIGNMENT))
    buffers += [flat(sequence.temporaries[n], ALIGNMENT) for n in arena.offsets]

    scalars = tuple(d.name for d in sequence.dims)
    checks = [s.failure for s in steps_of(sequence.steps) if isinstance(s, Check)]
    failures = tuple({(f, f.location): f for f in checks}.values())
    body = host_part(sequence, lambda s: (phase_loop(s, bodies),), failures)
    function = loops.Function(sequence.name, scalars, tuple(buffers), body)
    return Assembled(function, given, sequence, scheduled, arena, failures)


def _lowered(
    sequence: Sequence, scheduled: dict[str, Scheduled]
) -> tuple[Sequence, dict[str, Scheduled], dict[str, loops.For]]:
    """The loops of each kernel, and both arguments with the names that they have there."""
    bodies = {name: lower_kernel(entry.kernel, entry.schedule) for name, entry in scheduled.items()}
    renaming, renamed = separate(sequence, bodies.values()), dict[str, Scheduled]()
    if renaming is None:
        return sequence, scheduled, bodies
    for name, entry in scheduled.items():
        kernel, schedule = renaming.kernel(entry.kernel), renaming.schedule(entry.schedule)
        if kernel is not entry.kernel or schedule != entry.schedule:
            bodies[name] = lower_kernel(kernel, schedule)
        renamed[name] = Scheduled(kernel, renaming.kernel(entry.before), schedule)
    return renaming.sequence(sequence), renamed, bodies


def host_part(sequence: Sequence, emit: Emit, failures: tuple[Failure, ...]) -> Body:
    """The control of the host around what `emit` makes of the phases; loops over a range in which nothing happens are left
    out."""
    return _HostPart(sequence, emit, failures).body(sequence.steps)


class _HostPart:
    def __init__(self, sequence: Sequence, emit: Emit, failures: tuple[Failure, ...]) -> None:
        self.emit = emit
        self.codes = {(f, f.location): n for n, f in enumerate(failures, 1)}
        held = (*sequence.inputs, *sequence.temporaries.values())
        self.shapes: dict[str, tuple[Extent, ...]] = {o.name: o.shape for o in held}
        self.shapes |= {n: a.shape for n, a in sequence.constants.items()}

    def body(self, steps: tuple[Step, ...]) -> Body:
        return tuple(s for step in steps for s in self.step(step))

    def step(self, step: Step) -> Body:
        match step:
            case Define(name, value):
                return (loops.Let(name, self.host(value)),)
            case Repeat():
                body = self.body(step.body)
                loop = loops.For(step.variable, Const(0), as_expr(step.count), body, location=step.location)
                return (loop,) if loops.holds(body, _does_something) else ()
            case Branch(condition, then, otherwise):
                return (loops.If(self.host(condition), self.body(then), self.body(otherwise)),)
            case Whilst(variable, head, condition, inner, location):
                return (loops.While(variable, self.body(head), self.host(condition), self.body(inner), location),)
            case Check(condition, failure):
                code = self.codes[failure, failure.location]
                return (loops.If(self.host(condition), (), (loops.Fail(code),)),)
            case _:
                return self.emit(step)

    def host(self, e: Expr) -> Expr:
        """An expression over the arrays as the function has them."""
        return map_loads(e, lambda load: Load(load.source, (address(self.shapes[load.source], load.index),), load.dtype))


def _does_something(s: loops.Stmt) -> bool:
    return isinstance(s, (loops.For, loops.While, loops.Fail))


def phase_loop(step: Run | Group | Beside, bodies: Mapping[str, loops.For]) -> loops.For:
    """The loop over the chunks of a phase."""
    if not isinstance(step, Beside):
        return one_phase([bodies[k.name] for k in phase(step)])
    first, *rest = (phase_loop(p, bodies) for p in step.parts)
    for n, part in enumerate(rest, 2):
        first = interleaved(first, part, n)
    return first


def interleaved(a: loops.For, b: loops.For, number: int) -> loops.For:
    """The chunks of both loops, evenly between each other: threads that start with equal shares of all have equal shares of
    each."""
    here, before = Var(f"chunk#{number}"), Var(f"before#{number}")
    both = add(a.stop, b.stop)
    lets = (
        loops.Let(before.name, floordiv(mul(here, a.stop), both)),
        loops.If(
            apply("lt", before, floordiv(mul(add(here, 1), a.stop), both)),
            (loops.Let(a.var, before), *a.body),
            (loops.Let(b.var, sub(here, before)), *b.body),
        ),
    )
    return loops.For(here.name, Const(0), both, lets, "parallel", location=a.location)


def one_phase(parts: list[loops.For]) -> loops.For:
    """Loops with the same chunks as one, each part in a scope of its own, around what begins with memory that they share."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    if any((p.stop, p.kind) != (first.stop, first.kind) for p in parts):
        raise InternalError("the kernels of a phase have different chunks")
    kept = dict.fromkeys(s for p in parts for s in takewhile(_is_alloc, p.body))
    bodies = (tuple(dropwhile(_is_alloc, p.body)) for p in parts)
    body = tuple(loops.For("part", Const(0), Const(1), b, "unroll", location=p.location) for p, b in zip(parts, bodies))
    return loops.For(first.var, first.start, first.stop, (*kept, *body), first.kind, location=first.location)


def _is_alloc(s: loops.Stmt) -> bool:
    return isinstance(s, loops.Alloc)


def flat(o: Operand, align: int) -> loops.Buffer:
    """An operand as a one-dimensional buffer."""
    return loops.Buffer(o.name, o.dtype, (element_count(o.shape),), "memory", align)


def element_count(shape: tuple[Extent, ...]) -> Extent:
    total: Expr = Const(1)
    for e in shape:
        total = mul(total, as_expr(e))
    return int(total.value) if isinstance(total, Const) else total


def constant_bytes(constants: dict[str, np.ndarray[Any, Any]]) -> int:
    return sum(a.nbytes for a in constants.values())


def dtype_of(sequence: Sequence, name: str) -> DType:
    """The element type of any array of a sequence."""
    for i in sequence.inputs:
        if i.name == name:
            return i.dtype
    return sequence.constant_types[name] if name in sequence.constants else sequence.temporaries[name].dtype
