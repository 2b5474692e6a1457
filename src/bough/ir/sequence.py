"""The Kernel level's program: kernels in order, loops of the host around them, and the arrays they work on.

    sequence main(x: f32[batch, 28]) -> (y: f32[batch, 10])
      repeat t in 0..28
        define n = start[t + 1] - start[t] nominal 4
        kernel step ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Union

import numpy as np

from bough.base.source import Location
from bough.base.visits import Visits
from bough.ir.dtypes import DType
from bough.ir.expr import Expr, Extent, Load, as_expr, children, rebuild, variables
from bough.ir.kernel import Kernel, Let, Operand, Reduce, Statement, Store
from bough.ir.program import Dim


@dataclass(frozen=True, slots=True)
class Run:
    """One kernel: one parallel phase, with a barrier behind it where it runs on more than one thread."""

    kernel: Kernel


@dataclass(frozen=True, slots=True)
class Group:
    """Kernels in one parallel phase: each thread takes its rows through all of them, one after the other."""

    kernels: tuple[Kernel, ...]


@dataclass(frozen=True, slots=True)
class Beside:
    """Phases that need nothing of each other, as one: each thread has its share of every one of them."""

    parts: tuple[Run | Group, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The steps of `body`, in order, for `variable` = 0 .. count-1. Kernels name `variable` as a scalar."""

    variable: str
    count: Extent
    body: tuple["Step", ...]
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Define:
    """A number of the host for the later steps of the same body: `value` is an `i64` expression over sizes, loop variables,
    earlier definitions and loads of `i64` inputs of the sequence. Kernels name it as a scalar; extents and counts may depend
    on it, shapes may not. `nominal` is what it counts as where a schedule is chosen."""

    name: str
    value: Expr
    nominal: int
    location: Location | None = field(default=None, compare=False)


Step = Union[Run, Group, Beside, Repeat, Define]


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """`inputs`, `constants` and `temporaries` hold every operand the kernels name; `results` name some of them, in order.
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


def map_kernels(steps: tuple[Step, ...], change: Callable[[Kernel], Kernel]) -> tuple[Step, ...]:
    """The same steps with every kernel replaced by `change(kernel)`."""
    out: list[Step] = []
    for s in steps:
        match s:
            case Run(kernel):
                out.append(Run(change(kernel)))
            case Group(members):
                out.append(Group(tuple(map(change, members))))
            case Beside(parts):
                out.append(Beside(tuple(Group(tuple(map(change, phase(p)))) if isinstance(p, Group) else Run(change(p.kernel))
                                        for p in parts)))
            case Repeat():
                out.append(replace(s, body=map_kernels(s.body, change)))
            case Define():
                out.append(s)
    return tuple(out)


def kernels(steps: tuple[Step, ...]) -> list[Kernel]:
    """All kernels in textual order."""
    found: list[Kernel] = []
    for s in steps:
        found.extend(kernels(s.body) if isinstance(s, Repeat) else phase(s))
    return found


def nominal_sizes(steps: tuple[Step, ...]) -> dict[str, int]:
    """What the definitions count as where schedules are chosen."""
    found: dict[str, int] = {}
    for s in steps:
        if isinstance(s, Define):
            found[s.name] = s.nominal
        elif isinstance(s, Repeat):
            found |= nominal_sizes(s.body)
    return found


def phase(step: Run | Group | Beside | Define) -> tuple[Kernel, ...]:
    """The kernels of one parallel phase; none of a definition."""
    match step:
        case Run(kernel): return (kernel,)
        case Group(members): return members
        case Beside(parts): return tuple(k for p in parts for k in phase(p))
        case Define(): return ()  # fmt: skip


def map_loads(e: Expr, change: Callable[[Load], Expr]) -> Expr:
    """Rewrites every load, innermost first, by `change(load) -> Expr`."""
    new = rebuild(e, tuple(map_loads(k, change) for k in children(e)))
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
