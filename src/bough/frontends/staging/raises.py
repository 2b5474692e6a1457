"""Which `raise`s are jumps: those inside the `try` of the same function that may catch them (see `caught`)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bough.frontends.staging.liveness import INNER


def without_finally(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Each `try` with handlers and `finally` as one inside of another, which is what it means."""
    nested = _Nested()
    return [nested.visit(s) for s in body]


class _Nested(ast.NodeTransformer):
    def visit(self, node: ast.AST) -> Any:
        return node if isinstance(node, INNER) else super().visit(node)

    def visit_Try(self, node: ast.Try) -> ast.Try:
        self.generic_visit(node)
        if not node.handlers or not node.finalbody:
            return node
        inner = ast.copy_location(ast.Try(node.body, node.handlers, node.orelse, []), node)
        return ast.copy_location(ast.Try([inner], [], [], node.finalbody), node)


def mark_raises(body: Sequence[ast.stmt]) -> None:
    """Notes each `try` that catches jumps, as `catches`, each `raise` inside of it as one, `jumps`, and
    each statement inside, as `inside`."""
    for node in _statements(body, lambda n: True):
        if isinstance(node, ast.Try) and node.handlers:
            raises = [n for n in _statements(node.body, _is_open) if isinstance(n, ast.Raise) and n.exc is not None]
            node.catches = bool(raises or node.orelse)  # type: ignore[attr-defined]
            for n in _statements(node.body, _is_open):
                n.inside = True  # type: ignore[attr-defined]
            for n in raises:
                n.jumps = True  # type: ignore[attr-defined]


def catches(node: ast.AST) -> bool:
    return getattr(node, "catches", False)


def jumps(node: ast.AST) -> bool:
    return getattr(node, "jumps", False)


def reraises(handler: ast.ExceptHandler) -> list[ast.Raise]:
    """The `raise`s of a handler that name no exception."""
    found = _statements(handler.body, lambda n: not isinstance(n, ast.Try))
    return [n for n in found if isinstance(n, ast.Raise) and n.exc is None]


def _is_open(node: ast.AST) -> bool:
    """Whether an exception inside of a statement surely comes out as a jump would."""
    return not isinstance(node, (ast.With, ast.TryStar))


def _statements(body: Sequence[ast.AST], enter: Callable[[ast.AST], bool]) -> Iterator[ast.AST]:
    """All statements, those inside of others too where these may be entered; never those of inner functions."""
    work = list(body)
    while work:
        node = work.pop()
        if isinstance(node, INNER) or not isinstance(node, (ast.stmt, ast.ExceptHandler, ast.match_case)):
            continue
        yield node
        if enter(node):
            work.extend(ast.iter_child_nodes(node))
