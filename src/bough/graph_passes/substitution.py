"""Steps with other arrays: new names, new shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bough.ir.expr import Const, Expr, Extent, Load, Var, substitute
from bough.ir.kernel import Kernel, Let, Operand, Reduce, Statement, Store
from bough.ir.sequence import Branch, Check, Define, Step, Whilst, map_bodies, map_kernels, map_loads, map_statement, phase


def renamed(kernel: Kernel, names: dict[str, str]) -> Kernel:
    """The kernel over arrays of other names, of which several may become one. At axes of one point they are at 0, so that equal
    places look equal."""
    if names.keys().isdisjoint(kernel.operands):
        return kernel
    both = {*names, *names.values()}
    first: dict[str, Expr] = {a.name: Const(0) for a in kernel.axes if a.extent == 1}

    def place(operand: str, index: tuple[Expr, ...]) -> tuple[Expr, ...]:
        return tuple(substitute(i, first) for i in index) if operand in both else index

    def change(load: Load) -> Expr:
        return Load(names.get(load.source, load.source), place(load.source, load.index), load.dtype)

    body = []
    for s in kernel.body:
        s = map_statement(s, lambda e: map_loads(e, change))
        body.append(Store(names.get(s.target, s.target), place(s.target, s.index), s.value) if isinstance(s, Store) else s)
    body = list(dict.fromkeys(body))  # what two arrays got alike is stored once
    inputs, outputs = (
        tuple({names.get(o.name, o.name): replace(o, name=names.get(o.name, o.name)) for o in group}.values())
        for group in (kernel.inputs, kernel.outputs)
    )
    apart = tuple(names.get(n, n) for n in kernel.apart)
    return replace(kernel, inputs=inputs, outputs=outputs, body=tuple(body), apart=apart)


def nameless(kernel: Kernel) -> Kernel:
    """The kernel with numbers for its operands and the values on the way: equal for kernels that differ in names only, as those
    of repeated layers. Axes and sums, which schedules name, keep theirs."""
    numbers = {name: f"#{n}" for n, name in enumerate(kernel.operands)}
    return replace(_with_names(kernel, numbers), name="")


def nameless_together(all_kernels: Sequence[Kernel]) -> tuple[tuple[Kernel, ...], dict[str, str]]:
    """The same of kernels that share operands, and which number stands for which."""
    numbers: dict[str, str] = {}
    for k in all_kernels:
        for name in k.operands:
            numbers.setdefault(name, f"#{len(numbers)}")
    return tuple(replace(_with_names(k, numbers), name="") for k in all_kernels), numbers


def _with_names(kernel: Kernel, names: dict[str, str]) -> Kernel:
    values: dict[str, Expr] = {}

    def change(load: Load) -> Expr:
        return Load(names[load.source], load.index, load.dtype)

    def statement(s: Statement) -> Statement:
        s = map_statement(s, lambda e: map_loads(substitute(e, values), change))
        if isinstance(s, Store):
            return Store(names[s.target], s.index, s.value)
        if isinstance(s.value, Reduce):
            return s
        values[s.name] = Var(f"value{len(values)}#", s.dtype)
        return Let(f"value{len(values) - 1}#", s.value)

    inputs, outputs = (tuple(replace(o, name=names[o.name]) for o in group) for group in (kernel.inputs, kernel.outputs))
    body, apart = tuple(map(statement, kernel.body)), tuple(names[n] for n in kernel.apart)
    return replace(kernel, inputs=inputs, outputs=outputs, body=body, apart=apart)


def rename(steps: tuple[Step, ...], names: dict[str, str]) -> tuple[Step, ...]:
    """The steps over arrays of other names."""

    def host(e: Expr) -> Expr:
        return map_loads(e, lambda load: Load(names.get(load.source, load.source), load.index, load.dtype))

    def changed(s: Step) -> Step:
        s = map_bodies(s, lambda body: tuple(map(changed, body)))
        match s:
            case Define():
                return replace(s, value=host(s.value))
            case Branch() | Whilst() | Check():
                return replace(s, condition=host(s.condition))
            case _:
                return map_kernels((s,), lambda k: renamed(k, names))[0] if phase(s) else s

    return tuple(map(changed, steps))


def with_shapes(steps: tuple[Step, ...], shapes: Mapping[str, tuple[Extent, ...]]) -> tuple[Step, ...]:
    """The steps with arrays in other shapes of the same rank."""

    def operand(o: Operand) -> Operand:
        return replace(o, shape=shapes[o.name]) if shapes.get(o.name, o.shape) != o.shape else o

    return map_kernels(
        steps,
        lambda k: replace(k, inputs=tuple(map(operand, k.inputs)), outputs=tuple(map(operand, k.outputs)))
        if not shapes.keys().isdisjoint(k.operands) else k,
    )  # fmt: skip
