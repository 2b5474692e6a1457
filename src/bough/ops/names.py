"""Keeps the axes and locals of kernels apart from the user's names of symbolic sizes, which may be any at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bough.base.names import fresh
from bough.ir.expr import Apply, Cast, Const, Expr, Extent, Load, Var, as_expr, as_extent, substitute, variables
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Statement, Store
from bough.ops.operator import Attributes, Operands, Operator


def lower_apart(operator: Operator, args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
    """The operator's kernels, with axes and locals renamed where a symbolic size has the same name."""
    kernels = operator.lower(args, results, attributes)
    sizes = symbols({**attributes, "shapes": tuple(o.shape for o in (*args, *results) if o is not None)})
    clashing = sizes & {name for k in kernels for name in _own_names(k)}
    if not clashing:
        return kernels
    aliases: dict[str, Expr] = {name: Var(f"{name}'") for name in clashing}
    kernels = operator.lower(
        [None if a is None else _renamed_operand(a, aliases) for a in args],
        [_renamed_operand(r, aliases) for r in results],
        {name: _renamed_attribute(value, aliases) for name, value in attributes.items()},
    )
    own = {name: fresh(name, sizes) for name in clashing}
    return tuple(_renamed(k, own, {f"{name}'": Var(name) for name in clashing}) for k in kernels)


def symbols(attributes: Attributes) -> set[str]:
    """Names of the symbolic sizes in attributes. Without any, and with concrete shapes, an operator can be evaluated."""
    found: set[str] = set()
    stack: list[Any] = list(attributes.values())
    while stack:
        value = stack.pop()
        if isinstance(value, tuple):
            stack.extend(value)
        elif isinstance(value, Const | Var | Load | Apply | Cast):
            variables(value, found)
    return found


def _own_names(k: Kernel) -> set[str]:
    return {a.name for a in k.axes} | {s.name for s in k.body if isinstance(s, Let)}


def _renamed_extent(e: Extent, names: dict[str, Expr]) -> Extent:
    return as_extent(substitute(as_expr(e), names))


def _renamed_operand(o: Operand, names: dict[str, Expr]) -> Operand:
    return replace(o, shape=tuple(_renamed_extent(e, names) for e in o.shape))


def _renamed_attribute(value: Any, names: dict[str, Expr]) -> Any:
    if isinstance(value, tuple):
        return tuple(_renamed_attribute(v, names) for v in value)
    return substitute(value, names) if isinstance(value, Const | Var | Load | Apply | Cast) else value


def _renamed(k: Kernel, own: dict[str, str], sizes: dict[str, Expr]) -> Kernel:
    names = dict(sizes)
    names.update({a.name: Var(own[a.name]) for a in k.axes if a.name in own})
    names.update({s.name: Var(own[s.name], s.dtype) for s in k.body if isinstance(s, Let) and s.name in own})

    def statement(s: Statement) -> Statement:
        if isinstance(s, Store):
            return Store(s.target, tuple(substitute(i, names) for i in s.index), substitute(s.value, names))
        name = own.get(s.name, s.name)
        if isinstance(s.value, Reduce):
            over = tuple(own.get(a, a) for a in s.value.axes)
            return Let(name, Reduce(s.value.op, over, substitute(s.value.body, names)))
        return Let(name, substitute(s.value, names))

    return Kernel(
        k.name,
        tuple(Axis(own.get(a.name, a.name), _renamed_extent(a.extent, sizes)) for a in k.axes),
        tuple(_renamed_operand(o, sizes) for o in k.inputs),
        tuple(_renamed_operand(o, sizes) for o in k.outputs),
        tuple(statement(s) for s in k.body),
        k.location,
    )
