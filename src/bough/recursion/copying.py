"""Copies of assignments and control with other values and sizes in them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bough.ir.expr import Apply, Cast, Const, Expr, Extent, Load, Var, as_expr, as_extent, substitute
from bough.ir.program import Assign, Check, If, Loop, Node, Size, TensorType, Value, While


class Copier:
    """`values` says what stands for values, `lengths` what for names of sizes; other values are made anew, with `prefix` before
    their names."""

    def __init__(self, values: dict[Value, Value], lengths: dict[str, Expr], prefix: str = "") -> None:
        self.values, self.lengths, self.prefix = values, lengths, prefix

    def value(self, v: Value) -> Value:
        if v not in self.values:
            shape = tuple(map(self.extent, v.type.shape))
            self.values[v] = Value(self.prefix + v.name, TensorType(v.type.dtype, shape), v.location)
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
