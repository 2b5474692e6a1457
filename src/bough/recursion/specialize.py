"""A cell where some of its parameters are known: results of initial states, walks over nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bough.ir.expr import Apply, Cast, Const, Expr, Extent, Load, Var, as_expr, as_extent, substitute
from bough.ir.program import Assign, Check, Function, If, Loop, Node, Size, TensorType, Value, While
from bough.ir.recursion import Cell

Array = np.ndarray[Any, Any]


def specialize(cell: Cell, known: Mapping[int, Array], empty: frozenset[str]) -> Cell:
    """The cell with the parameters `known` (by position) as constants, and with walks of no elements for the lengths named in
    `empty`. Values keep their names."""
    return _Copy(cell, known, empty).run()


class _Copy:
    def __init__(self, cell: Cell, known: Mapping[int, Array], empty: frozenset[str]) -> None:
        self.cell, self.known = cell, dict(known)
        self.lengths: dict[str, Expr] = {name: Const(0) for name in empty}
        self.values: dict[Value, Value] = {}

    def run(self) -> Cell:
        f = self.cell.function
        constants = {self.value(v): a for v, a in f.constants.items()}
        kept: list[int] = []
        for n, param in enumerate(f.params):
            value = self.value(param)
            if 0 in value.type.shape:
                shape = [e if isinstance(e, int) else 0 for e in value.type.shape]
                self.known.setdefault(n, np.zeros(shape, value.type.dtype.numpy))
            if n in self.known:
                constants[value] = self.known[n]
            else:
                kept.append(n)
        body = self.nodes(f.body)
        function = Function(
            f.name,
            tuple(self.value(f.params[n]) for n in kept),
            constants,
            body,
            tuple(self.value(r) for r in f.results),
            tuple(d for d in f.dims if d.name not in self.lengths),
        )
        return Cell(function, tuple(self.cell.sources[n] for n in kept), self.cell.sizes, self.cell.passes)

    def value(self, v: Value) -> Value:
        if v not in self.values:
            shape = tuple(map(self.extent, v.type.shape))
            self.values[v] = Value(v.name, TensorType(v.type.dtype, shape), v.location)
        return self.values[v]

    def several(self, values: tuple[Value, ...]) -> tuple[Value, ...]:
        return tuple(map(self.value, values))

    def nodes(self, nodes: list[Node]) -> list[Node]:
        return list(map(self.node, nodes))

    def node(self, n: Node) -> Node:
        match n:
            case Assign(): return self.assign(n)
            case Loop(): return self.loop(n)
            case If(): return self.branch(n)
            case While(): return self.whilst(n)
            case Size(): return replace(n, value=self.value(n.value), high=None if n.high is None else self.extent(n.high))
            case Check(): return replace(n, condition=self.value(n.condition))  # fmt: skip

    def extent(self, e: Extent) -> Extent:
        return as_extent(substitute(as_expr(e), self.lengths))

    def branch(self, n: If) -> If:
        return If(
            self.value(n.condition), self.nodes(n.then), self.several(n.then_results), self.nodes(n.otherwise),
            self.several(n.otherwise_results), self.several(n.results), n.location,
        )  # fmt: skip

    def whilst(self, n: While) -> While:
        return While(
            self.several(n.carried), self.several(n.initial), self.nodes(n.head), self.value(n.condition), self.nodes(n.body),
            self.several(n.updated), self.several(n.final), n.location,
        )  # fmt: skip

    def assign(self, n: Assign) -> Assign:
        args = tuple(None if a is None else self.value(a) for a in n.args)
        attributes = {name: self.attribute(a) for name, a in n.attributes.items()}
        return Assign(self.several(n.results), n.op, args, attributes, n.location)

    def attribute(self, a: Any) -> Any:
        if isinstance(a, tuple):
            return tuple(map(self.attribute, a))
        return as_extent(substitute(a, self.lengths)) if isinstance(a, Const | Var | Load | Apply | Cast) else a

    def loop(self, n: Loop) -> Loop:
        return Loop(
            self.value(n.index), self.extent(n.count),
            self.several(n.carried), self.several(n.initial), self.several(n.updated), self.several(n.final),
            self.several(n.collected), self.several(n.stacked), self.nodes(n.body), n.reverse, n.location,
        )  # fmt: skip
