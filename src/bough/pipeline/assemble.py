"""Scheduled kernels to one Loops function: the host program with its parallel phases, and the arrays it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from typing import Any

import numpy as np

from bough.base.errors import InternalError
from bough.graph_passes.plan_memory import ALIGNMENT, ArenaPlan, make_rooms, plan_memory
from bough.ir import loops
from bough.ir.expr import Const, Expr, Extent, Load, Var, add, apply, as_expr, floordiv, mul, sub
from bough.ir.kernel import Operand
from bough.ir.sequence import (
    Apart,
    Beside,
    Branch,
    Check,
    Define,
    Failure,
    Phase,
    Repeat,
    Room,
    Sequence,
    Step,
    Whilst,
    map_loads,
    phase,
)
from bough.ir.sequence import walk as steps_of
from bough.pipeline.schedule_kernels import Scheduled
from bough.pipeline.separate_names import separate
from bough.schedule.access import address
from bough.schedule.lower import lower_kernel

Body = tuple[loops.Stmt, ...]
Emit = Callable[[Phase], Body]


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


def assemble(sequence: Sequence, scheduled: dict[str, Scheduled]) -> Assembled:
    """The Loops function of a scheduled sequence. Parameters: inputs, results, constants, temporaries, in this order.

    Arrays and symbolic sizes get other names where theirs stand for something else in the loops.
    """
    given = sequence
    sequence, scheduled, bodies = _lowered(sequence, scheduled)
    sequence = make_rooms(sequence)
    arena = plan_memory(sequence)
    buffers: list[loops.Buffer] = [flat(i, 4) for i in sequence.inputs]
    buffers += [flat(sequence.temporaries[r], 4) for r in sequence.results]
    for name, array in sequence.constants.items():
        buffers.append(loops.Buffer(name, sequence.constant_types[name], (int(array.size),), "memory", ALIGNMENT))
    buffers += [flat(sequence.temporaries[n], ALIGNMENT) for n in arena.offsets]

    scalars = tuple(d.name for d in sequence.dims)
    checks = [s.failure for s in steps_of(sequence.steps) if isinstance(s, Check)]
    failures = tuple({(f, f.location): f for f in checks}.values())
    body = host_part(sequence, lambda s: (phase_loop(s, bodies, sequence.temporaries),), failures)
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


def phase_loop(step: Phase, bodies: Mapping[str, loops.For], arrays: Mapping[str, Operand]) -> loops.For:
    """The loop over the chunks of a phase."""
    if isinstance(step, Apart):
        return samples_apart(step, bodies, arrays)
    if not isinstance(step, Beside):
        return one_phase([bodies[k.name] for k in phase(step)])
    first, *rest = (phase_loop(p, bodies, arrays) for p in step.parts)
    for n, part in enumerate(rest, 2):
        first = interleaved(first, part, n)
    return first


def samples_apart(step: Apart, bodies: Mapping[str, loops.For], arrays: Mapping[str, Operand]) -> loops.For:
    """The loop over samples that go apart, each through all phases, with its private arrays in the room it has."""
    rooms = loops.Rooms(f"{step.variable}.number", step.rooms)
    room = step.room or Room("", 0, ())
    held = tuple(
        loops.Within(flat(arrays[name], ALIGNMENT), room.name, add(mul(Var(rooms.var), room.bytes), at))
        for name, at in zip(step.private, room.places, strict=True)
    )
    body: Body = (*held, *(phase_loop(s, bodies, arrays) for s in step.steps))
    location = phase(step)[0].location
    return loops.For(step.variable, Const(0), as_expr(step.count), body, "parallel", rooms=rooms, location=location)


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
