"""One way through the assignments of a function, in the order in which they run, with other values in place of some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bough.graph_passes.decisions.walk import replaced
from bough.ir.program import Assign, Function, If, Loop, Node, Value, While


class Forward:
    """`run` gives the function with what `assign` makes of its assignments; itself where that is nothing new."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.constants = dict(function.constants)
        self.values: dict[Value, Value] = {}
        """What stands for values that are gone."""
        self.changed = False

    def assign(self, node: Assign) -> Assign | tuple[Value, ...]:
        """The assignment that runs, or values in place of its results, of the same types."""
        return node

    def run(self) -> Function:
        body = self.body(self.function.body)
        if not self.changed and not self.values:
            return self.function
        results = tuple(self.values.get(v, v) for v in self.function.results)
        return replace(self.function, body=body, results=results, constants=self.constants)

    def body(self, nodes: Sequence[Node]) -> list[Node]:
        """The nodes of the function, or of a body inside: what it defines is not known behind it."""
        out: list[Node] = []
        for node in nodes:
            if not isinstance(node, Assign):
                out.append(replaced(self.control(node), self.values))
                continue
            given = replaced(node, self.values)
            assert isinstance(given, Assign)
            now = self.assign(given)
            self.changed |= now is not given
            if isinstance(now, Assign):
                out.append(now)
            else:
                self.values.update(zip(node.results, now, strict=True))
        return out

    def control(self, node: Node) -> Node:
        match node:
            case If():
                return replace(node, then=self.body(node.then), otherwise=self.body(node.otherwise))
            case While():
                return replace(node, head=self.body(node.head), body=self.body(node.body))
            case Loop():
                return replace(node, body=self.body(node.body))
            case _:
                return node

