"""Program to Sequence: every operator becomes its kernels, loops become repeats with double-buffered state."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from bough import ops
from bough.ir.dtypes import DType
from bough.ir.expr import Const, Expr, Extent, Load, Var, add, as_expr, mod, sub, variables
from bough.ir.interpret_kernel import run_kernel
from bough.ir.kernel import Axis, Kernel, Let, Operand, Statement, Store
from bough.ir.program import Assign, Function, Loop, Node, Value
from bough.ir.sequence import Repeat, Run, Sequence, Step, expressions, map_loads, map_statement

FOLDED = 1 << 20
"""Elements of the largest array that a kernel over constants makes at compile time."""


def lower_function(function: Function) -> Sequence:
    """The kernels of a function, unfused and in program order. Operators on constants alone are evaluated here."""
    return _Lowering(function).run()


def operand(value: Value) -> Operand:
    return Operand(value.name, value.type.dtype, value.type.shape)


def copy_kernel(
    source: Operand, target: Operand, name: str, *, read: tuple[Expr, ...] = (), write: tuple[Expr, ...] = (),
    shape: tuple[Extent, ...],
) -> Kernel:  # fmt: skip
    """`target[write..., i...] = source[read..., i...]` over `shape`."""
    axes = tuple(Axis(f"i{d}", e) for d, e in enumerate(shape))
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

    def run(self) -> Sequence:
        f = self.function
        steps = self.block(f.body)
        inputs = tuple(operand(p) for p in f.params)
        steps = [*steps, *self.materialize_results(inputs)]
        return Sequence(
            f.name, inputs, self.results, self.temporaries, self.constants, self.constant_types, tuple(steps), f.dims
        )

    def materialize_results(self, inputs: tuple[Operand, ...]) -> list[Step]:
        """Results that are inputs, constants or other results get a copy of their own, so that each has its buffer."""
        taken = {i.name for i in inputs} | set(self.constants)
        names: list[str] = []
        extra: list[Step] = []
        for n, value in enumerate(self.function.results):
            name = value.name
            if name in taken:
                target = self.temporary(f"result{n}.{name}", value.type.dtype, value.type.shape)
                extra.append(Run(copy_kernel(operand(value), target, f"copy.{name}", shape=value.type.shape)))
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
            steps.extend(self.assign(node) if isinstance(node, Assign) else self.loop(node))
        return steps

    def assign(self, node: Assign) -> list[Step]:
        if self.fold(node):
            return []
        results = tuple(operand(v) for v in node.results)
        for r in results:
            self.temporaries[r.name] = r
        lowered = ops.lower(node.op, [None if a is None else operand(a) for a in node.args], results, node.attributes)
        out: list[Step] = []
        for kernel in lowered:
            for o in kernel.outputs:
                self.temporaries.setdefault(o.name, o)
            origins = (node.location,) if node.location else ()
            kernel = self.bind_scalars(replace(kernel, location=node.location, origins=origins))
            if not self.fold_kernel(kernel):
                out.append(Run(kernel))
        return out

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

    def fold(self, node: Assign) -> bool:
        """Evaluates an operator whose arguments are all constants, unless the result is much larger than they are."""
        if any(a is not None and a.name not in self.constants for a in node.args):
            return False
        shapes = [r.type.shape for r in node.results]
        if ops.symbols(node.attributes) or any(not isinstance(e, int) for s in shapes for e in s):
            return False
        have = sum(self.constants[a.name].size for a in node.args if a is not None)
        if sum(prod(int(e) for e in s if isinstance(e, int)) for s in shapes) > 4 * have + 65536:
            return False
        values = ops.evaluate(
            node.op,
            [None if a is None else self.constants[a.name] for a in node.args],
            node.attributes,
            tuple(r.type for r in node.results),
        )
        for r, v in zip(node.results, values):
            shape = tuple(e for e in r.type.shape if isinstance(e, int))
            self.constants[r.name] = np.ascontiguousarray(v).reshape(shape)
            self.constant_types[r.name] = r.type.dtype
        return True

    def bind_scalars(self, kernel: Kernel) -> Kernel:
        """Loads of rank-0 constants become literals, loads of host scalars become variables."""

        def change(load: Load) -> Expr:
            if load.index == ():
                if load.source in self.scalars:
                    return self.scalars[load.source]
                if load.source in self.constants:
                    return Const(self.constants[load.source].item(), load.dtype) if load.dtype.name != "bf16" else load
            return load

        body = tuple(map_statement(s, lambda e: map_loads(e, change)) for s in kernel.body)
        return with_body(kernel, body)

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
            shape = carried.type.shape
            state = self.temporary(f"{carried.name}.state", carried.type.dtype, (2, *shape))
            states.append(state)
            before.append(Run(copy_kernel(operand(initial), state, f"start.{carried.name}", write=(Const(0),), shape=shape)))
            view = self.temporary(carried.name, carried.type.dtype, shape)
            inside.append(Run(copy_kernel(state, view, f"state.{carried.name}", read=(now,), shape=shape)))
        inside.extend(self.block(node.body))
        for collected, stacked in zip(node.collected, node.stacked):
            target = self.temporary(stacked.name, stacked.type.dtype, stacked.type.shape)
            inside.append(Run(copy_kernel(
                operand(collected), target, f"stack.{stacked.name}", write=(position,), shape=collected.type.shape
            )))  # fmt: skip
        for updated, state, final in zip(node.updated, states, node.final):
            shape = updated.type.shape
            inside.append(Run(copy_kernel(operand(updated), state, f"next.{updated.name}", write=(later,), shape=shape)))
            target = self.temporary(final.name, final.type.dtype, shape)
            after.append(Run(copy_kernel(state, target, f"final.{final.name}", read=(last,), shape=shape)))
        return [*before, Repeat(variable, node.count, tuple(inside), node.location), *after]


def with_body(kernel: Kernel, body: tuple[Statement, ...]) -> Kernel:
    """The kernel with another body; inputs that it no longer loads are dropped."""
    from_body = loaded(body)
    return replace(kernel, inputs=tuple(i for i in kernel.inputs if i.name in from_body), body=body)


def loaded(body: tuple[Statement, ...]) -> set[str]:
    """Names of the operands that statements load."""
    found: set[str] = set()

    def note(load: Load) -> Expr:
        found.add(load.source)
        return load

    for s in body:
        map_statement(s, lambda e: map_loads(e, note))
    return found


