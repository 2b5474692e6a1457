"""One name, one thing: loops have a single scope for sizes, arrays and what schedules introduce, kernels and users have many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bough.base.names import fresh
from bough.ir import loops
from bough.ir.expr import Expr, Extent, Load, Var, as_expr, as_extent, substitute
from bough.ir.kernel import Axis, Kernel, Let, Operand, Store
from bough.ir.sequence import (
    Apart,
    Beside,
    Branch,
    Check,
    Define,
    Phase,
    Repeat,
    Run,
    Sequence,
    Step,
    Whilst,
    map_bodies,
    map_loads,
    map_statement,
    outer_scalars,
    phase,
    straight,
    walk,
)
from bough.schedule.decisions import Decision, Keep, Schedule


@dataclass(frozen=True, slots=True)
class Renaming:
    """New names of arrays and of scalars (symbolic sizes, loops of the host)."""

    arrays: dict[str, str]
    scalars: dict[str, str]

    def kernel(self, k: Kernel) -> Kernel:
        """The kernel with the new names; itself where it has none of the old ones."""
        if k.operands.keys().isdisjoint(self.arrays) and (not self.scalars or outer_scalars(k).isdisjoint(self.scalars)):
            return k
        own = {a.name for a in k.axes} | {s.name for s in k.body if isinstance(s, Let)}
        sizes: dict[str, Expr] = {old: Var(new) for old, new in self.scalars.items() if old not in own}

        body = tuple(map_statement(s, lambda e: self.expr(e, sizes)) for s in k.body)
        return replace(
            k,
            axes=tuple(Axis(a.name, as_extent(self.expr(as_expr(a.extent), sizes))) for a in k.axes),
            inputs=tuple(map(self.operand, k.inputs)),
            outputs=tuple(map(self.operand, k.outputs)),
            body=tuple(
                Store(self.arrays.get(s.target, s.target), s.index, s.value) if isinstance(s, Store) else s for s in body
            ),
            apart=tuple(self.arrays.get(n, n) for n in k.apart),
        )

    def schedule(self, s: Schedule) -> Schedule:
        def decision(d: Decision) -> Decision:
            return replace(d, arrays=tuple(self.arrays.get(n, n) for n in d.arrays)) if isinstance(d, Keep) else d

        return Schedule(tuple(map(decision, s.decisions)))

    def operand(self, o: Operand) -> Operand:
        return replace(o, name=self.arrays.get(o.name, o.name), shape=tuple(map(self.extent, o.shape)))

    def extent(self, e: Extent) -> Extent:
        return as_extent(self.expr(as_expr(e), {old: Var(new) for old, new in self.scalars.items()}))

    def expr(self, e: Expr, sizes: dict[str, Expr]) -> Expr:
        def array(load: Load) -> Load:
            return Load(self.arrays.get(load.source, load.source), load.index, load.dtype)

        return map_loads(substitute(e, sizes), array)

    def sequence(self, s: Sequence) -> Sequence:
        def name(n: str) -> str:
            return self.arrays.get(n, n)

        return replace(
            s,
            inputs=tuple(map(self.operand, s.inputs)),
            results=tuple(map(name, s.results)),
            temporaries={name(n): self.operand(o) for n, o in s.temporaries.items()},
            constants={name(n): a for n, a in s.constants.items()},
            constant_types={name(n): t for n, t in s.constant_types.items()},
            steps=self.steps(s.steps),
            dims=tuple(replace(d, name=self.scalars.get(d.name, d.name)) for d in s.dims),
        )

    def steps(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        return tuple(map(self.step, steps))

    def step(self, s: Step) -> Step:
        s = map_bodies(s, self.steps)
        match s:
            case Repeat():
                return replace(s, variable=self.scalars.get(s.variable, s.variable), count=self.extent(s.count))
            case Define():
                return replace(s, name=self.scalars.get(s.name, s.name), value=self.host(s.value))
            case Branch() | Check():
                return replace(s, condition=self.host(s.condition))
            case Whilst():
                return replace(s, variable=self.scalars.get(s.variable, s.variable), condition=self.host(s.condition))
            case _:
                return self.phase(s)

    def host(self, e: Expr) -> Expr:
        return self.expr(e, {old: Var(new) for old, new in self.scalars.items()})

    def phase(self, s: Phase) -> Phase:
        if isinstance(s, Beside):
            return Beside(straight(map(self.phase, s.parts)))
        if isinstance(s, Apart):
            variable, private = self.scalars.get(s.variable, s.variable), tuple(self.arrays.get(n, n) for n in s.private)
            steps = straight(map(self.phase, s.steps))
            return replace(s, variable=variable, count=self.extent(s.count), steps=steps, private=private)
        renamed = tuple(map(self.kernel, phase(s)))
        if isinstance(s, Run):
            return Run(renamed[0])
        return replace(s, kernels=renamed, private=tuple(self.arrays.get(n, n) for n in s.private))


def separate(sequence: Sequence, bodies: Iterable[loops.Stmt]) -> Renaming | None:
    """New names for those arrays and scalars whose names stand for something else in the loops of the kernels.

    None where every name stands for one thing.
    """
    own = _defined(bodies)
    scalars = {d.name for d in sequence.dims} | _variables(sequence.steps)
    arrays = {i.name for i in sequence.inputs} | set(sequence.constants) | set(sequence.temporaries)
    taken = own | scalars | arrays
    new_scalars = {n: fresh(n, taken) for n in sorted(scalars & own)}
    new_arrays = {n: fresh(n, taken) for n in sorted(arrays & (own | scalars))}
    return Renaming(new_arrays, new_scalars) if new_scalars or new_arrays else None


def _variables(steps: tuple[Step, ...]) -> set[str]:
    variables = {s.variable for s in walk(steps) if isinstance(s, (Repeat, Whilst, Apart))}
    return variables | {s.name for s in walk(steps) if isinstance(s, Define)}


def _defined(body: Iterable[loops.Stmt]) -> set[str]:
    """The names that statements introduce."""
    found: set[str] = set()
    for s in body:
        match s:
            case loops.For():
                found |= {s.var, *([s.rooms.var] if s.rooms else [])} | _defined(s.body)
            case loops.If():
                found |= _defined(s.then) | _defined(s.otherwise)
            case loops.Let():
                found.add(s.name)
            case loops.Alloc() | loops.Within():
                found.add(s.buffer.name)
            case _:
                pass
    return found
