"""The part of a cell that some of its results need."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from bough.ir.program import Assign, Check, Function, If, Loop, Node, Size, Value, While, results_of
from bough.ir.recursion import Cell


def narrowed(cell: Cell, results: Collection[int]) -> Cell:
    """The cell with these results alone, in their order, and what they need. Checks stay."""
    f = cell.function
    kept = tuple(r for n, r in enumerate(f.results) if n in results)
    live: set[Value] = set(kept)
    body: list[Node] = []
    for node in reversed(f.body):
        if isinstance(node, (Size, Check)) or live & set(results_of(node)):
            kept_node = _narrow_loop(node, live) if isinstance(node, Loop) else node
            live |= used_by([kept_node])
            body.append(kept_node)
    params = [n for n, p in enumerate(f.params) if p in live]
    constants = {v: a for v, a in f.constants.items() if v in live}
    function = Function(f.name, tuple(f.params[n] for n in params), constants, body[::-1], kept, f.dims)
    return Cell(function, tuple(cell.sources[n] for n in params), cell.sizes)


def _narrow_loop(loop: Loop, wanted: set[Value]) -> Loop:
    """The loop without states, and assignments of its body, that nothing wanted needs."""
    states = {n for n, v in enumerate(loop.final) if v in wanted}
    stacked = [n for n, v in enumerate(loop.stacked) if v in wanted]
    while True:
        live = {loop.updated[n] for n in states} | {loop.collected[n] for n in stacked}
        body: list[Node] = []
        for node in reversed(loop.body):
            if isinstance(node, (Size, Check)) or live & set(results_of(node)):
                live |= used_by([node])
                body.append(node)
        needed = states | {n for n, v in enumerate(loop.carried) if v in live}
        if needed == states:
            break
        states = needed
    kept = sorted(states)

    def of(values: tuple[Value, ...]) -> tuple[Value, ...]:
        return tuple(values[n] for n in kept)

    return replace(
        loop, carried=of(loop.carried), initial=of(loop.initial), updated=of(loop.updated), final=of(loop.final),
        collected=tuple(loop.collected[n] for n in stacked), stacked=tuple(loop.stacked[n] for n in stacked), body=body[::-1],
    )  # fmt: skip


def used_by(nodes: list[Node]) -> set[Value]:
    """All values that nodes name, those of the bodies inside them included."""
    found: set[Value] = set()
    work = list(nodes)
    while work:
        node = work.pop()
        match node:
            case Assign():
                found.update(a for a in node.args if a is not None)
            case Loop():
                found.update((*node.initial, *node.updated, *node.collected))
                work += node.body
            case If():
                found.update((node.condition, *node.then_results, *node.otherwise_results))
                work += (*node.then, *node.otherwise)
            case While():
                found.update((node.condition, *node.initial, *node.updated))
                work += (*node.head, *node.body)
            case Size():
                found.add(node.value)
            case Check():
                found.add(node.condition)
    return found
