"""The Kernel level's program: kernels in order, control of the host around them, and the arrays they work on.

    sequence main(x: f32[batch, 28]) -> (y: f32[batch, 10])
      repeat t in 0..28
        define n = start[t + 1] - start[t] nominal 4
        kernel step ...
      while turn
        kernel more ...
        test going[]
        if large[]
          kernel one ...
        else
          kernel other ...

Conditions and definitions are expressions of the host over numbers that it knows and elements of arrays: what kernels before
them have written, if there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Union

import numpy as np

from bough.base.source import Location
from bough.base.visits import Visits
from bough.ir.dtypes import DType
from bough.ir.expr import Expr, Extent, Load, as_expr, children, loads, rebuild, variables
from bough.ir.kernel import Kernel, Let, Operand, Reduce, Statement, Store
from bough.ir.program import Dim


@dataclass(frozen=True, slots=True)
class Run:
    """One kernel: one parallel phase, with a barrier behind it where it runs on more than one thread."""

    kernel: Kernel


@dataclass(frozen=True, slots=True)
class Group:
    """Kernels in one parallel phase: each thread takes its rows through all of them, one after the other. Where all call the axes
    of their rows alike, these are named in `rows`, and of `private` temporaries, which nothing else touches, each thread has its
    rows alone."""

    kernels: tuple[Kernel, ...]
    rows: tuple[str, ...] = ()
    private: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Beside:
    """Phases that need nothing of each other, as one: each thread has its share of every one of them."""

    parts: tuple[Run | Group, ...]


@dataclass(frozen=True, slots=True)
class Room:
    """Memory for the private arrays of each sample under way: `bytes` for each, in the array of bytes `name`, and where in them
    each of the arrays begins."""

    name: str
    bytes: int
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Apart:
    """Samples that go their own ways, as one parallel phase: the steps, in order, for `variable` = 0 .. count-1, each on a
    thread, helped by those without a sample. At most `rooms` samples are under way at one time. Of `private` temporaries, which
    nothing else touches, each of these has its own; `room` is where, once that is decided."""

    variable: str
    count: Extent
    rooms: int
    steps: tuple[Run | Group, ...]
    private: tuple[str, ...] = ()
    room: Room | None = None


@dataclass(frozen=True, slots=True)
class Repeat:
    """The steps of `body`, in order, for `variable` = 0 .. count-1. Kernels name `variable` as a scalar."""

    variable: str
    count: Extent
    body: tuple["Step", ...]
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Define:
    """A number of the host for the later steps of the same body (from the head of a `Whilst`, also for those of its body):
    `value` is an `i64` expression over sizes, loop variables, earlier definitions and elements of `i64` arrays. Kernels name
    it as a scalar; extents and counts may depend on it, shapes may not. `nominal` is what it counts as where a schedule is
    chosen."""

    name: str
    value: Expr
    nominal: int
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Branch:
    """One of two bodies."""

    condition: Expr
    then: tuple["Step", ...]
    otherwise: tuple["Step", ...] = ()
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Whilst:
    """`head`; as long as `condition` holds then: `body`, and `head` again. `variable` counts the turns from 0."""

    variable: str
    head: tuple["Step", ...]
    condition: Expr
    body: tuple["Step", ...]
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call ends early: with `error`, the class of an exception that the model would have raised, or one of `CAPACITY`
    (it needs more memory than the size of that name gave it) and `ENDLESS` (a loop went on for too long)."""

    error: str
    message: str = ""
    location: Location | None = field(default=None, compare=False)


ENDLESS = "endless"


@dataclass(frozen=True, slots=True)
class Check:
    """The call ends with `failure` unless `condition` holds."""

    condition: Expr
    failure: Failure


Phase = Union[Run, Group, Beside, Apart]
Step = Union[Run, Group, Beside, Apart, Repeat, Define, Branch, Whilst, Check]


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """`inputs`, `constants` and `temporaries` hold every operand the kernels name; `results` name some of them, in order.
    Of the temporaries `partly` only the first elements along each axis are in use, as many as computed sizes say: a kernel that
    stores from the first element on writes all of them, and what it leaves is never read.
    The last results are the sizes `computed`, each an `i64` of rank 0, over which shapes of the others may be cut after the call.
    With `visits`, inputs and dims are what `bough.base.visits.Names` calls so, in a choice and order of their own."""

    name: str
    inputs: tuple[Operand, ...]
    results: tuple[str, ...]
    temporaries: dict[str, Operand]
    constants: dict[str, np.ndarray[Any, Any]]
    constant_types: dict[str, DType]
    steps: tuple[Step, ...]
    dims: tuple[Dim, ...] = ()
    visits: Visits | None = None
    computed: tuple[str, ...] = ()
    partly: frozenset[str] = frozenset()


def bodies(step: Step) -> tuple[tuple[Step, ...], ...]:
    """The bodies of a step of control, in textual order; none of others."""
    match step:
        case Repeat(): return (step.body,)
        case Branch(): return (step.then, step.otherwise)
        case Whilst(): return (step.head, step.body)
        case _: return ()  # fmt: skip


def with_bodies(step: Step, new: tuple[tuple[Step, ...], ...]) -> Step:
    """The step with other bodies, as `bodies` gives them."""
    match step:
        case Repeat(): return replace(step, body=new[0])
        case Branch(): return replace(step, then=new[0], otherwise=new[1])
        case Whilst(): return replace(step, head=new[0], body=new[1])
        case _: return step  # fmt: skip


def map_bodies(step: Step, change: Callable[[tuple[Step, ...]], tuple[Step, ...]]) -> Step:
    """The step with every body replaced by `change(body)`."""
    return with_bodies(step, tuple(map(change, bodies(step))))


def host_expressions(step: Step) -> tuple[Expr, ...]:
    """What the host works out at a step itself."""
    match step:
        case Define(): return (step.value,)
        case Repeat() | Apart(): return (as_expr(step.count),)
        case Branch() | Whilst() | Check(): return (step.condition,)
        case _: return ()  # fmt: skip


def walk(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Every step in textual order, those of control before what they hold."""
    for s in steps:
        yield s
        for body in bodies(s):
            yield from walk(body)


def straight(steps: Iterable[Step]) -> tuple[Run | Group, ...]:
    """Those of the steps that are kernels, alone or in groups."""
    return tuple(s for s in steps if isinstance(s, (Run, Group)))


def map_kernels(steps: tuple[Step, ...], change: Callable[[Kernel], Kernel]) -> tuple[Step, ...]:
    """The same steps with every kernel replaced by `change(kernel)`."""

    def changed(s: Step) -> Step:
        match s:
            case Run(kernel):
                return Run(change(kernel))
            case Group(members):
                return replace(s, kernels=tuple(map(change, members)))
            case Beside(parts):
                return Beside(straight(map(changed, parts)))
            case Apart():
                return replace(s, steps=straight(map(changed, s.steps)))
            case _:
                return map_bodies(s, lambda body: tuple(map(changed, body)))

    return tuple(map(changed, steps))


def kernels(steps: tuple[Step, ...]) -> list[Kernel]:
    """All kernels in textual order."""
    return [k for s in walk(steps) for k in phase(s)]


def host_loads(steps: tuple[Step, ...]) -> set[str]:
    """The arrays of which the host reads elements."""
    return {load.source for s in walk(steps) for e in host_expressions(s) for load in loads(e)}


def nominal_sizes(steps: tuple[Step, ...]) -> dict[str, int]:
    """What the definitions count as where schedules are chosen."""
    return {s.name: s.nominal for s in walk(steps) if isinstance(s, Define)}


def phase(step: Step) -> tuple[Kernel, ...]:
    """The kernels of one parallel phase; none of a step of control."""
    match step:
        case Run(kernel): return (kernel,)
        case Group(members): return members
        case Beside(parts): return tuple(k for p in parts for k in phase(p))
        case Apart(): return tuple(k for p in step.steps for k in phase(p))
        case _: return ()  # fmt: skip


def private(step: Step) -> set[str]:
    """The temporaries that nothing but the step touches, and of which no array for all samples is needed."""
    match step:
        case Group(): return set(step.private)
        case Beside(parts): return set[str]().union(*map(private, parts))
        case Apart(): return set(step.private).union(*map(private, step.steps))
        case _: return set()  # fmt: skip


def map_loads(e: Expr, change: Callable[[Load], Expr]) -> Expr:
    """Rewrites every load, innermost first, by `change(load) -> Expr`."""
    kids = children(e)
    new = rebuild(e, tuple([map_loads(k, change) for k in kids])) if kids else e
    return change(new) if isinstance(new, Load) else new


def map_statement(s: Statement, change: Callable[[Expr], Expr]) -> Statement:
    """The statement with each of its expressions replaced by `change(expression)`."""
    if isinstance(s, Store):
        return Store(s.target, tuple(change(i) for i in s.index), change(s.value))
    if isinstance(s.value, Reduce):
        return Let(s.name, Reduce(s.value.op, s.value.axes, change(s.value.body)))
    return Let(s.name, change(s.value))


def expressions(s: Statement) -> tuple[Expr, ...]:
    """The expressions of a statement: value last, a store's indices before it."""
    if isinstance(s, Store):
        return (*s.index, s.value)
    return (s.value.body,) if isinstance(s.value, Reduce) else (s.value,)


def outer_scalars(kernel: Kernel) -> set[str]:
    """The symbolic sizes and loops of the host that a kernel names."""
    extents = [a.extent for a in kernel.axes] + [e for o in kernel.operands.values() for e in o.shape]
    found = {n for e in extents for n in variables(as_expr(e))}
    found |= {n for s in kernel.body for e in expressions(s) for n in variables(e)}
    return found - {a.name for a in kernel.axes} - {s.name for s in kernel.body if isinstance(s, Let)}
