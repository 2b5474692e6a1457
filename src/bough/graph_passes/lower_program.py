"""Program to Sequence: every operator becomes its kernels, loops and branches become control of the host.

A `Loop` has double-buffered states. A `While` has one buffer for each state, and what the branches of an `If` give is copied to
a buffer that both share; the copies vanish later where nothing needs two buffers (see `coalesce`).
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from bough import ops
from bough.base import settings
from bough.base.source import Location
from bough.graph_passes.computed_sizes import ComputedSizes
from bough.graph_passes.normalize import drop_unit_reductions
from bough.ir.dtypes import BOOL, I64, DType
from bough.ir.expr import Const, Expr, Extent, Load, Var, add, apply, as_expr, as_extent, loads, mod, mul, sub, variables
from bough.ir.interpret_kernel import run_kernel
from bough.ir.kernel import Kernel, Let, Operand, Statement, Store, axes_over
from bough.ir.program import CAPACITY, Assign, Check, Dim, Function, If, Loop, Node, Size, Value, While
from bough.ir.sequence import (
    ENDLESS,
    Branch,
    Define,
    Failure,
    Repeat,
    Run,
    Sequence,
    Step,
    Whilst,
    expressions,
    map_loads,
    map_statement,
)
from bough.ir.sequence import Check as HostCheck
from bough.rewrite import simplify

NOMINAL = 64
"""What a computed size counts as where schedules are chosen, if its bound is no smaller."""
FOLDED = 1 << 20
"""Elements of the largest array that a kernel over constants makes at compile time."""


def lower_function(function: Function) -> Sequence:
    """The kernels of a function, unfused and in program order. Those that read constants alone run here."""
    return _Lowering(function).run()


def operand(value: Value) -> Operand:
    return Operand(value.name, value.type.dtype, value.type.shape)


def copy_kernel(
    source: Operand, target: Operand, name: str, *, read: tuple[Expr, ...] = (), write: tuple[Expr, ...] = (),
    shape: tuple[Extent, ...],
) -> Kernel:  # fmt: skip
    """`target[write..., i...] = source[read..., i...]` over `shape`."""
    axes = axes_over(shape, *read, *write)
    point = tuple(Var(a.name) for a in axes)
    value = Load(source.name, (*read, *point), source.dtype)
    return Kernel(name, axes, (source,), (target,), (Store(target.name, (*write, *point), value),))


class _Lowering:
    def __init__(self, function: Function) -> None:
        self.function = function
        self.constants: dict[str, np.ndarray[Any, Any]] = {v.name: a for v, a in function.constants.items()}
        self.constant_types: dict[str, DType] = {v.name: v.type.dtype for v in function.constants}
        self.temporaries: dict[str, Operand] = {}
        self.scalars: dict[str, Expr] = {}  # rank-0 i64 values that the host knows: loop indices
        self.sizes = ComputedSizes(function)
        self.partly: set[str] = set()
        self.held: dict[Value, str] = {}  # values that live in the buffer of another one

    def run(self) -> Sequence:
        f = self.function
        steps = self.block(f.body)
        inputs = tuple(self.operand(p) for p in f.params)
        steps = [*steps, *self.materialize_results(inputs)]
        return Sequence(
            f.name, inputs, self.results, self.temporaries, self.constants, self.constant_types, tuple(steps), self.dims(),
            computed=tuple(self.sizes.in_shapes(f.results)), partly=frozenset(self.partly & self.temporaries.keys()),
        )  # fmt: skip

    def dims(self) -> tuple[Dim, ...]:
        """Those of the function that are known before the call."""
        dims = tuple(d for d in self.function.dims if d.name not in self.sizes.most)
        bounded = any(n == CAPACITY for e in self.sizes.most.values() for n in variables(e))
        return (*dims, Dim(CAPACITY)) if bounded and all(d.name != CAPACITY for d in dims) else dims

    def operand(self, value: Value) -> Operand:
        """Where a value is, in the shape that its memory has."""
        return Operand(self.held.get(value, value.name), value.type.dtype, self.sizes.planned(value.type.shape))

    def has_size(self, value: Value) -> bool:
        """Whether the sizes of a value are defined anywhere."""
        known = {d.name for d in self.function.dims} | self.sizes.most.keys()
        return all(isinstance(e, int) or known.issuperset(variables(e)) for e in value.type.shape)

    def make(self, value: Value, name: str | None = None) -> Operand:
        """A temporary for a value."""
        if any(self.sizes.depends(e) for e in value.type.shape):
            self.partly.add(name or value.name)
        return self.temporary(name or value.name, value.type.dtype, self.sizes.planned(value.type.shape))

    def copy(
        self, value: Value, target: Operand, name: str, *, read: tuple[Expr, ...] = (), write: tuple[Expr, ...] = (),
        source: Operand | None = None,
    ) -> Run:  # fmt: skip
        """Copies all of a value, which is in `source[read...]`, to `target[write...]`."""
        kernel = copy_kernel(source or self.operand(value), target, name, read=read, write=write, shape=value.type.shape)
        return Run(self.bind_scalars(kernel))

    def materialize_results(self, inputs: tuple[Operand, ...]) -> list[Step]:
        """Results that are inputs, constants or other results get a copy of their own, so that each has its buffer. Behind the
        function's are the computed sizes of their shapes."""
        taken = {i.name for i in inputs} | set(self.constants)
        names: list[str] = []
        extra: list[Step] = []
        sizes = self.sizes.in_shapes(self.function.results).values()
        for n, value in enumerate((*self.function.results, *sizes)):
            name = self.operand(value).name
            if name in taken or name in self.scalars:
                target = self.make(value, f"result{n}.{name}")
                extra.append(self.copy(value, target, f"copy.{name}"))
                name = target.name
            taken.add(name)
            names.append(name)
        self.results = tuple(names)
        return extra

    def temporary(self, name: str, dtype: DType, shape: tuple[Extent, ...]) -> Operand:
        self.temporaries[name] = result = Operand(name, dtype, shape)
        return result

    def block(self, nodes: list[Node]) -> list[Step]:
        steps: list[Step] = []
        for node in nodes:
            match node:
                case Assign(): steps.extend(self.assign(node))
                case Loop(): steps.extend(self.loop(node))
                case If(): steps.extend(self.branch(node))
                case While(): steps.extend(self.whilst(node))
                case Size(): steps.extend(self.size(node))
                case Check(): steps.append(self.check(node))  # fmt: skip
        return steps

    def host(self, value: Value, dtype: DType) -> Expr:
        """A value of rank 0 as the host reads it."""
        name = self.operand(value).name
        if name in self.constants:
            return Const(self.constants[name].item(), dtype)
        return self.scalars.get(name, Load(name, (), dtype))

    def size(self, node: Size) -> list[Step]:
        """Defines a size and makes sure that it is one, and not above its bound."""
        most, room = self.sizes.most[node.name], self.sizes.room[node.name]
        nominal = min(NOMINAL, int(most.value)) if isinstance(most, Const) else NOMINAL
        here = Var(node.name)
        small = Failure("RuntimeError", f"the computed size {node.name} is less than {node.low}", node.location)
        return [
            Define(node.name, self.host(node.value, I64), nominal, node.location),
            HostCheck(apply("ge", here, Const(node.low)), small),
            HostCheck(apply("le", add(here, room), most), above(most, node.name, node.location)),
        ]

    def check(self, node: Check) -> Step:
        return HostCheck(self.host(node.condition, BOOL), Failure(node.error, node.message, node.location))

    def branch(self, node: If) -> list[Step]:
        targets = [self.make(r) for r in node.results]
        bodies = [
            [*self.block(body), *self.give(results, targets, node.results)]
            for body, results in ((node.then, node.then_results), (node.otherwise, node.otherwise_results))
        ]
        return [Branch(self.host(node.condition, BOOL), tuple(bodies[0]), tuple(bodies[1]), node.location)]

    def give(self, values: tuple[Value, ...], targets: list[Operand], wanted: tuple[Value, ...]) -> list[Step]:
        """Copies of values to the buffers of `wanted`, with checks that they are large enough."""
        out: list[Step] = []
        for value, target, result in zip(values, targets, wanted, strict=True):
            here = self.operand(value)
            if here.name == target.name:
                continue
            for size, mine, theirs in zip(value.type.shape, here.shape, target.shape, strict=True):
                if mine != theirs and not (isinstance(mine, int) and isinstance(theirs, int) and mine <= theirs):
                    fits = apply("le", as_expr(size), as_expr(theirs))
                    out.append(HostCheck(fits, above(as_expr(theirs), result.name, result.location)))
            out.append(self.copy(value, target, f"give.{result.name}"))
        return out

    def whilst(self, node: While) -> list[Step]:
        states = [self.make(c) for c in node.carried]
        before = self.give(node.initial, states, node.carried)
        turn = f"{node.condition.name}.turn"  # no size and no axis is called like that
        head = self.block(node.head)
        endless = Failure(ENDLESS, str(limit := settings.read(settings.TURNS)), node.location)
        body: list[Step] = [HostCheck(apply("lt", Var(turn), Const(limit)), endless), *self.block(node.body)]
        body += self.update(node.updated, states, node.carried)
        after: list[Step] = []
        for final, carried, state in zip(node.final, node.carried, states):
            if not self.has_size(final):
                continue  # so nobody reads it
            if self.operand(final).shape == state.shape:
                self.held[final] = state.name
            else:
                after += self.give((carried,), [self.make(final)], (final,))
        return [*before, Whilst(turn, tuple(head), self.host(node.condition, BOOL), tuple(body), node.location), *after]

    def update(self, updated: tuple[Value, ...], states: list[Operand], carried: tuple[Value, ...]) -> list[Step]:
        """Gives all states their next values at once: those that are other states' old ones are saved first."""
        saved: list[Step] = []
        sources: list[Value] = []
        names = {s.name for s in states}
        for value, state in zip(updated, states, strict=True):
            name = self.operand(value).name
            if name in names and name != state.name:
                kept = Value(f"{name}.before.{state.name}", value.type, value.location)
                saved.append(self.copy(value, self.make(kept), f"save.{name}"))
                value = kept
            sources.append(value)
        return [*saved, *self.give(tuple(sources), states, carried)]

    def assign(self, node: Assign) -> list[Step]:
        for r in node.results:
            self.make(r)
        results = tuple(self.logical(v) for v in node.results)
        lowered = ops.lower(node.op, [None if a is None else self.logical(a) for a in node.args], results, node.attributes)
        out: list[Step] = []
        for kernel in lowered:
            kernel = drop_unit_reductions(self.planned(kernel))
            for o in kernel.outputs:
                self.temporaries.setdefault(o.name, o)
            origins = (node.location,) if node.location else ()
            kernel = self.bind_scalars(replace(kernel, location=node.location, origins=origins))
            if not self.fold_kernel(kernel):
                out.append(Run(kernel))
        return out

    def logical(self, value: Value) -> Operand:
        """A value with the shape that operators see."""
        return Operand(self.operand(value).name, value.type.dtype, value.type.shape)

    def planned(self, kernel: Kernel) -> Kernel:
        """The kernel with operands in the shapes that their memory has."""
        if not self.sizes.most:
            return kernel
        inputs, outputs = (
            tuple(replace(o, shape=self.sizes.planned(o.shape)) for o in operands) for operands in (kernel.inputs, kernel.outputs)
        )
        return replace(kernel, inputs=inputs, outputs=outputs)

    def fold_kernel(self, kernel: Kernel) -> bool:
        """Runs a kernel that reads constants alone, such as the part of an operator that prepares its weights."""
        if not kernel.inputs or any(i.name not in self.constants for i in kernel.inputs):
            return False
        outside = {v for s in kernel.body for e in expressions(s) for v in variables(e)} - {a.name for a in kernel.axes}
        outside -= {s.name for s in kernel.body if isinstance(s, Let)}
        counts = [prod(e if isinstance(e, int) else FOLDED + 1 for e in o.shape) for o in kernel.outputs]
        if outside or max(counts) > FOLDED or any(o.name not in self.temporaries for o in kernel.outputs):
            return False
        for name, value in run_kernel(kernel, self.constants).items():
            self.constants[name] = value
            self.constant_types[name] = self.temporaries.pop(name).dtype
        return True

    def bind_scalars(self, kernel: Kernel) -> Kernel:
        """Loads of rank-0 constants become literals, loads of host scalars become variables, loads of numbers in steps (0, 1, 2,
        ...) become arithmetic."""

        def change(load: Load) -> Expr:
            if load.index == ():
                if load.source in self.scalars:
                    return self.scalars[load.source]
                if load.source in self.constants:
                    return Const(self.constants[load.source].item(), load.dtype) if load.dtype.name != "bf16" else load
            if load.dtype == I64 and (steps := self.steps_of(load.source)) is not None:
                along, first, step = steps
                return add(mul(load.index[along], step), first)
            return load

        body = tuple(map_statement(s, lambda e: map_loads(e, change)) for s in kernel.body)
        ragged = {a: replace(a, extent=as_extent(simplify(map_loads(as_expr(a.extent), change)))) for a in kernel.ragged}
        return with_body(replace(kernel, axes=tuple(ragged.get(a, a) for a in kernel.axes)), body)

    def steps_of(self, name: str) -> tuple[int, int, int] | None:
        """The dimension, first element and step of a constant that goes in even steps."""
        array = self.constants.get(name)
        if array is None or array.size < 2 or max(array.shape) != array.size:
            return None
        flat = array.reshape(-1)
        if not (flat[1:] - flat[:-1] == flat[1] - flat[0]).all():
            return None
        return array.shape.index(array.size), int(flat[0]), int(flat[1] - flat[0])

    def loop(self, node: Loop) -> list[Step]:
        variable = f"{node.index.name}.step"  # no size and no axis is called like that
        count = as_expr(node.count)
        step = Var(variable)
        position = sub(sub(count, Const(1)), step) if node.reverse else step
        self.scalars[node.index.name] = position
        before: list[Step] = []
        inside: list[Step] = []
        after: list[Step] = []
        now, later, last = mod(step, 2), mod(add(step, 1), 2), mod(count, 2)
        states: list[Operand] = []
        for carried, initial in zip(node.carried, node.initial):
            view = self.make(carried)
            state = self.temporary(f"{carried.name}.state", carried.type.dtype, (2, *view.shape))
            states.append(state)
            before.append(self.copy(initial, state, f"start.{carried.name}", write=(Const(0),)))
            inside.append(self.copy(carried, view, f"state.{carried.name}", source=state, read=(now,)))
        inside.extend(self.block(node.body))
        for collected, stacked in zip(node.collected, node.stacked):
            inside.append(self.copy(collected, self.make(stacked), f"stack.{stacked.name}", write=(position,)))
        for updated, state, final in zip(node.updated, states, node.final):
            inside.append(self.copy(updated, state, f"next.{updated.name}", write=(later,)))
            after.append(self.copy(final, self.make(final), f"final.{final.name}", source=state, read=(last,)))
        return [*before, Repeat(variable, node.count, tuple(inside), node.location), *after]


def above(most: Expr, name: str, location: Location | None) -> Failure:
    """How the call ends where a size is above what its memory was planned for."""
    if CAPACITY in variables(most):
        return Failure(CAPACITY)
    return Failure("RuntimeError", f"the computed size {name} is more than its bound", location)


def with_body(kernel: Kernel, body: tuple[Statement, ...]) -> Kernel:
    """The kernel with another body; inputs that it no longer loads are dropped."""
    read = loaded(body) | {load.source for a in kernel.ragged for load in loads(as_expr(a.extent))}
    return replace(kernel, inputs=tuple(i for i in kernel.inputs if i.name in read), body=body)


def loaded(body: tuple[Statement, ...]) -> set[str]:
    """Names of the operands that statements load."""
    found: set[str] = set()

    def note(load: Load) -> Expr:
        found.add(load.source)
        return load

    for s in body:
        map_statement(s, lambda e: map_loads(e, note))
    return found


