"""Which local names a statement's outcome is still needed in: a backward walk over structured code.

Noted on each `if`, `while` and `for` as `live` (needed behind it, and by a loop's `else`), `live_end` (needed behind its block),
`live_leave` and `live_again` (needed behind the loop around it, and in its next turn), and on loops as `live_head` (needed when a
turn begins).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Names = frozenset[str]
NONE: Names = frozenset()
INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class _Targets:
    """What is needed where a jump goes."""

    leave: Names = NONE
    again: Names = NONE
    handled: Names = NONE
    """What handlers around need, wherever an exception comes from."""


def note_live(function: ast.FunctionDef) -> None:
    """Notes what is live at the control statements of a function; names that inner functions use always are."""
    kept = captured(function.body)
    _block(function.body, kept, _Targets(handled=kept))


def captured(body: Iterable[ast.AST]) -> Names:
    """The names that functions and classes defined inside mention: they may read them at any time."""
    inner = [n for s in body for n in ast.walk(s) if isinstance(n, INNER)]
    return frozenset(n.id for f in inner for n in ast.walk(f) if isinstance(n, ast.Name))


def _block(body: Sequence[ast.stmt], after: Names, to: _Targets) -> Names:
    end = after
    for statement in reversed(body):
        statement.live_end, statement.live_leave, statement.live_again = end, to.leave, to.again  # type: ignore[attr-defined]
        after = _statement(statement, after, to) | to.handled
    return after


def _statement(node: ast.stmt, after: Names, to: _Targets) -> Names:
    match node:
        case ast.If(test=test, body=body, orelse=orelse):
            node.live = after  # type: ignore[attr-defined]
            return _read(test) | _block(body, after, to) | _block(orelse, after, to)
        case ast.While(test=test):
            return _loop(node, _read(test), NONE, after, to)
        case ast.For(iter=values, target=target):
            return _loop(node, NONE, _written(target), after, to) | _read(values) | _read(target)
        case ast.Break():
            return to.leave
        case ast.Continue():
            return to.again
        case ast.Return(value=value):
            return NONE if value is None else _read(value)
        case ast.Try() | ast.TryStar():
            parts = [s for h in node.handlers for s in h.body] + node.orelse + node.finalbody
            handled = to.handled | after | frozenset(x for s in parts for x in _read(s))
            inner = _Targets(to.leave, to.again, handled)
            for block in (node.finalbody, node.orelse, *(h.body for h in node.handlers)):
                _block(block, handled, inner)
            return _block(node.body, handled, inner)
        case ast.With(items=items, body=body):
            heads = frozenset(x for i in items for x in _read(i))
            return heads | _block(body, after, to)
        case ast.Match(subject=subject, cases=cases):
            node.live = after  # type: ignore[attr-defined]
            heads = frozenset(x for c in cases for p in (c.pattern, c.guard) if p is not None for x in _read(p))
            return _read(subject) | heads | after | frozenset(x for c in cases for x in _block(c.body, after, to))
    return (after - _written(node)) | _read(node)


def _loop(node: ast.While | ast.For, test: Names, targets: Names, after: Names, to: _Targets) -> Names:
    """Goes over the body until what is needed when a turn begins is stable."""
    behind = _block(node.orelse, after, to)
    head = test | behind
    while True:
        inside = _block(node.body, head, _Targets(after, head, to.handled)) - targets
        if inside <= head:
            break
        head = head | inside
    node.live, node.live_head = after | behind, head  # type: ignore[union-attr]
    return head


def _read(node: ast.AST) -> Names:
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Store)}
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        names.add(node.target.id)
    return frozenset(names)


def _written(node: ast.AST) -> Names:
    """Names that a statement without inner statements surely assigns."""
    found: set[str] = set()
    work: list[ast.AST] = [node]
    while work:
        n = work.pop()
        if isinstance(n, (*INNER, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.BoolOp, ast.IfExp)):
            continue  # what these assign, they may also not
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store):
            found.add(n.id)
        work.extend(ast.iter_child_nodes(n))
    return frozenset(found)
