"""Branches behind each other that ask the same become one: what the first gives to the second needs no join."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bough.graph_passes.decisions.walk import is_guarded, is_pure, reads, replaced, size_names
from bough.ir.program import Assign, If, Loop, Node, Size, Value, While, results_of

FARTHEST = 40
"""How many nodes back the other branches are looked for."""


def join_branches(out: list[Node], node: If) -> bool:
    """Appends a node to those before it: as part of the last `If` with its condition, if that can be brought behind what `node`
    needs. Tells whether it could."""
    position = _partner(out, node)
    if position is not None:
        first = out[position]
        assert isinstance(first, If)
        depending = _depending(first, out[position + 1 :])
        independent = [n for n in out[position + 1 :] if n not in depending]
        if not _needs(node, depending) and not (depending and _has_new_sizes(node)) and _may_precede(independent, first):
            out[position:] = [*independent, _joined(first, node), *depending]
            return True
    out.append(node)
    return False


def _has_new_sizes(node: If) -> bool:
    """Whether sizes may follow that belong to the results."""
    return any(not isinstance(e, int) for v in node.results for e in v.type.shape)


def _may_precede(nodes: Sequence[Node], first: If) -> bool:
    """Whether nodes may run before branches instead of behind, in which a check may guard them."""
    return is_pure(first) or not any(isinstance(n, Assign) and is_guarded(n) for n in nodes)


def _partner(out: Sequence[Node], node: If) -> int | None:
    for position in range(len(out) - 1, max(len(out) - FARTHEST, -1), -1):
        found = out[position]
        if isinstance(found, If):
            return position if found.condition is node.condition and _passes_on(found, node) else None
        if not isinstance(found, (Assign, Size)):
            return None
    return None


def _passes_on(first: If, second: If) -> bool:
    """Whether what the second reads of the first has one type."""
    read = reads(second) & set(first.results)
    triples = zip(first.results, first.then_results, first.otherwise_results, strict=True)
    return all(v.type == a.type == b.type for v, a, b in triples if v in read)


def _depending(first: If, nodes: Sequence[Node]) -> list[Node]:
    """The nodes that need what the first gives, directly or by others of them."""
    values: set[Value] = set(first.results)
    names: set[str] = set()
    found: list[Node] = []
    for node in nodes:
        if reads(node) & values or size_names(node) & names:
            found.append(node)
            values.update(results_of(node))
            names.update({node.name} if isinstance(node, Size) else ())
    return found


def _needs(node: Node, nodes: Sequence[Node]) -> bool:
    made = {v for n in nodes for v in results_of(n)}
    names = {n.name for n in nodes if isinstance(n, Size)}
    return bool(reads(node) & made or size_names(node) & names)


def _joined(a: If, b: If) -> If:
    """Both as one; what the second reads of the first it takes from the branch that runs."""
    then, then_results = _continued(b.then, b.then_results, dict(zip(a.results, a.then_results, strict=True)))
    otherwise, otherwise_results = _continued(
        b.otherwise, b.otherwise_results, dict(zip(a.results, a.otherwise_results, strict=True))
    )
    return replace(
        a,
        then=[*a.then, *then], then_results=(*a.then_results, *then_results),
        otherwise=[*a.otherwise, *otherwise], otherwise_results=(*a.otherwise_results, *otherwise_results),
        results=(*a.results, *b.results),
    )  # fmt: skip


def _continued(
    nodes: Sequence[Node], results: Sequence[Value], values: Mapping[Value, Value]
) -> tuple[list[Node], tuple[Value, ...]]:
    return [_deep(n, values) for n in nodes], tuple(values.get(v, v) for v in results)


def _deep(node: Node, values: Mapping[Value, Value]) -> Node:
    """The node and its bodies with other values in place of those that they read."""

    def body(nodes: Sequence[Node]) -> list[Node]:
        return [_deep(n, values) for n in nodes]

    node = replaced(node, values)
    match node:
        case If():
            return replace(node, then=body(node.then), otherwise=body(node.otherwise))
        case While():
            return replace(node, head=body(node.head), body=body(node.body))
        case Loop():
            return replace(node, body=body(node.body))
    return node
