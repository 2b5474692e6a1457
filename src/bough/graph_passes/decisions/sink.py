"""Work whose results are used in one branch only moves into that branch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bough.graph_passes.decisions.walk import is_pure, reads, with_decisions
from bough.ir.program import If, Loop, Node, Program, Size, Value, While, results_of

Place = tuple[int, int]
"""A branch of an `If` of the body: the `If` by identity, and 0 or 1."""
HERE: Place = (0, 0)
"""Any other place that uses a value, which then cannot move."""


def sink(program: Program) -> Program:
    """The program with pure nodes as deep inside branches as their uses allow. Nothing moves into a loop."""
    return with_decisions(program, lambda f: replace(f, body=_sink(f.body, f.results)))


def _sink(nodes: Sequence[Node], ends: Iterable[Value]) -> list[Node]:
    """A body whose `ends` are used behind it."""
    body = _Body(ends)
    for position in reversed(range(len(nodes))):
        named = position + 1 < len(nodes) and isinstance(nodes[position + 1], Size)
        body.add(nodes[position], movable=not named and is_pure(nodes[position]))
    return [_inside(node, body.moved) for node in reversed(body.kept)]


class _Body:
    """The nodes of a body, taken from its end: those that stay, in that order, and those that move into branches of these."""

    def __init__(self, ends: Iterable[Value]) -> None:
        self.kept: list[Node] = []
        self.moved: dict[Place, list[Node]] = {}
        self.uses: dict[Value, set[Place]] = {}
        self.use(ends, HERE)

    def use(self, values: Iterable[Value], place: Place) -> None:
        for v in values:
            self.uses.setdefault(v, set()).add(place)

    def add(self, node: Node, movable: bool) -> None:
        places = {place for v in results_of(node) for place in self.uses.get(v, ())}
        if movable and len(places) == 1 and HERE not in places:
            (place,) = places
            self.moved.setdefault(place, []).append(node)
            self.use(reads(node), place)
            return
        self.kept.append(node)
        if not isinstance(node, If):
            self.use(reads(node), HERE)
            return
        self.use([node.condition], HERE)
        for side, (body, results) in enumerate(((node.then, node.then_results), (node.otherwise, node.otherwise_results))):
            place = (id(node), side)
            self.moved[place] = []
            self.use(results, place)
            for inner in body:
                self.use(reads(inner), place)


def _inside(node: Node, moved: dict[Place, list[Node]]) -> Node:
    """The node with what moves into its branches, which may move on inside."""
    match node:
        case If():
            then = [*reversed(moved.get((id(node), 0), [])), *node.then]
            otherwise = [*reversed(moved.get((id(node), 1), [])), *node.otherwise]
            return replace(
                node, then=_sink(then, node.then_results), otherwise=_sink(otherwise, node.otherwise_results)
            )
        case While():
            read = {node.condition, *node.updated}.union(*map(reads, node.body))
            return replace(node, head=_sink(node.head, read), body=_sink(node.body, node.updated))
        case Loop():
            return replace(node, body=_sink(node.body, (*node.updated, *node.collected)))
    return node
