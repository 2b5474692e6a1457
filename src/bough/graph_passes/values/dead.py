"""What nothing uses goes: assignments, branches, states of loops, results of branches, computed sizes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from bough.graph_passes.decisions.walk import L, bodies, each_function, names_of, with_states
from bough.ir.program import Assign, Check, Function, If, Loop, Node, Program, Size, Value, While

T = TypeVar("T")


def drop_dead(program: Program) -> Program:
    """The program without what its results do not need. Checks stay, and so do loops that might never end."""
    return each_function(program, without_dead)


def without_dead(f: Function) -> Function:
    """A function without what its results do not need."""
    live = _Needs(f).live()
    constants = {v: a for v, a in f.constants.items() if v in live}
    body = _Sweep(live).body(f.body)
    same = len(body) == len(f.body) and len(constants) == len(f.constants) and all(isinstance(n, Assign) for n in body)
    return f if same else replace(f, body=body, constants=constants)


class _Needs:
    """What each value, size and node needs, as a graph: its vertices are values, names of sizes and, by identity, nodes."""

    def __init__(self, f: Function) -> None:
        self.edges: dict[Any, list[Any]] = {}
        self.roots: list[Any] = list(f.results)
        for v in (*f.params, *f.constants):
            self.value(v, ())
        self.body(f.body, None)

    def value(self, v: Value, needs: Iterable[Any]) -> None:
        self.edges[v] = [*needs, *names_of(v.type.shape)]

    def body(self, nodes: Sequence[Node], around: int | None) -> None:
        for node in nodes:
            self.node(node)
            if around is not None:
                self.edges[id(node)].append(around)
            for body in bodies(node):
                self.body(body, id(node))

    def node(self, node: Node) -> None:
        """A node that is needed needs what decides whether it runs; what it gives needs it."""
        mine = id(node)
        self.edges[mine] = []
        match node:
            case Assign():
                needs = [a for a in node.args if a is not None]
                names = names_of(tuple(node.attributes.values()))
                for v in node.results:
                    self.value(v, (mine, *needs, *names))
            case If():
                self.edges[mine] = [node.condition]
                for v, a, b in zip(node.results, node.then_results, node.otherwise_results, strict=True):
                    self.value(v, (mine, a, b))
            case While() | Loop():
                self.states(node)
            case Size():
                self.edges[node.name] = [mine, node.value, *names_of([] if node.high is None else [node.high])]
            case Check():
                self.edges[mine] = [node.condition]
                self.roots.append(mine)

    def states(self, node: While | Loop) -> None:
        mine = id(node)
        for carried, initial, updated, final in zip(node.carried, node.initial, node.updated, node.final, strict=True):
            self.value(carried, (mine, initial, updated, *names_of(final.type.shape)))
            self.value(final, (carried,))
        if isinstance(node, While):
            self.edges[mine] = [node.condition]
            self.roots.append(mine)
            return
        self.edges[mine] = list(names_of([node.count]))
        self.value(node.index, (mine,))
        for element, stacked in zip(node.collected, node.stacked, strict=True):
            self.value(stacked, (mine, element))

    def live(self) -> set[Any]:
        found: set[Any] = set()
        stack = list(self.roots)
        while stack:
            vertex = stack.pop()
            if vertex not in found:
                found.add(vertex)
                stack.extend(self.edges.get(vertex, ()))
        return found


class _Sweep:
    """Rebuilds bodies with what is live in them."""

    def __init__(self, live: set[Any]) -> None:
        self.live = live

    def body(self, nodes: Sequence[Node]) -> list[Node]:
        return [self.node(n) for n in nodes if id(n) in self.live]

    def node(self, node: Node) -> Node:
        match node:
            case If():
                kept = self.kept(node.results)
                groups = (_chosen(g, kept) for g in (node.then_results, node.otherwise_results, node.results))
                then_results, otherwise_results, results = groups
                return replace(
                    node,
                    then=self.body(node.then), then_results=then_results,
                    otherwise=self.body(node.otherwise), otherwise_results=otherwise_results,
                    results=results,
                )  # fmt: skip
            case While():
                return replace(self.states(node), head=self.body(node.head), body=self.body(node.body))
            case Loop():
                kept = self.kept(node.stacked)
                collected, stacked = _chosen(node.collected, kept), _chosen(node.stacked, kept)
                return replace(self.states(node), body=self.body(node.body), collected=collected, stacked=stacked)
        return node

    def states(self, node: L) -> L:
        return with_states(node, self.kept(node.carried))

    def kept(self, values: Sequence[Value]) -> list[int]:
        return [n for n, v in enumerate(values) if v in self.live]


def _chosen(group: Sequence[T], positions: Sequence[int]) -> tuple[T, ...]:
    return tuple(group[n] for n in positions)
