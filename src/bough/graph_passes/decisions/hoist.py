"""What a loop computes anew in each turn, always the same, is computed before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bough.graph_passes.decisions.walk import bodies, is_guarded, makes, own_reads, size_names, with_decisions
from bough.ir.program import Assign, If, Loop, Node, Program, Size, Value, While

FREE = frozenset(
    {
        "cast", "copy", "diagonal", "expand", "flip", "full", "iota", "pad", "permute", "repeat", "reshape", "roll", "slice",
        "tril", "triu",
    }
)  # fmt: skip
"""Operators that cost nothing where they are used, but memory where they are kept."""


def hoist(program: Program) -> Program:
    """The program with assignments of loops in front of these where all their arguments come from there."""
    return with_decisions(program, lambda f: replace(f, body=_body(f.body)))


def _body(nodes: Iterable[Node]) -> list[Node]:
    found: list[Node] = []
    for node in nodes:
        match node:
            case If():
                found.append(replace(node, then=_body(node.then), otherwise=_body(node.otherwise)))
            case While():
                found += _loop(replace(node, head=_body(node.head), body=_body(node.body)))
            case Loop():
                found.append(replace(node, body=_body(node.body)))
            case _:
                found.append(node)
    return found


def _loop(loop: While) -> list[Node]:
    """The loop, behind what leaves it."""
    leaving = _worthwhile(_invariant(loop))
    gone = set(map(id, leaving))
    head, body = ([n for n in nodes if id(n) not in gone] for nodes in (loop.head, loop.body))
    return [*leaving, replace(loop, head=head, body=body)]


def _invariant(loop: While) -> list[Assign]:
    """Those of the loop's assignments that are the same in each turn."""
    changing = makes(loop) | set(loop.carried)
    sizes = _sizes(loop)
    found: list[Assign] = []
    for node in (*loop.head, *loop.body):
        same = isinstance(node, Assign) and not is_guarded(node) and not changing.intersection(own_reads(node))
        if same and isinstance(node, Assign) and not size_names(node) & sizes:
            found.append(node)
            changing.difference_update(node.results)
    return found


def _sizes(loop: While) -> set[str]:
    """The sizes that are defined in the loop."""
    found: set[str] = set()
    stack: list[Node] = [*loop.head, *loop.body]
    while stack:
        node = stack.pop()
        if isinstance(node, Size):
            found.add(node.name)
        for body in bodies(node):
            stack.extend(body)
    return found


def _worthwhile(nodes: Sequence[Assign]) -> list[Assign]:
    """Those that cost something, and those that they need."""
    needed: set[Value] = set()
    kept: list[Assign] = []
    for node in reversed(nodes):
        if node.op not in FREE or needed.intersection(node.results):
            kept.append(node)
            needed.update(own_reads(node))
    return kept[::-1]
