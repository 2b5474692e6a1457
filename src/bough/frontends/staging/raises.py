"""Which `raise`s are jumps: those inside the `try` of the same function that may catch them (see `caught`)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence

from bough.frontends.staging.liveness import INNER


def mark_raises(body: Sequence[ast.stmt]) -> None:
    """Notes each `try` that catches jumps, as `catches`, each `raise` inside of it as one, `jumps`, and
    each statement inside, as `inside`."""
    for node in _statements(body, lambda n: True):
        if isinstance(node, ast.Try) and _is_simple(node):
            raises = [n for n in _statements(node.body, _is_open) if isinstance(n, ast.Raise) and n.exc is not None]
            node.catches = bool(raises)  # type: ignore[attr-defined]
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


def _is_simple(node: ast.Try) -> bool:
    return bool(node.handlers) and not node.orelse and not node.finalbody


def _is_open(node: ast.AST) -> bool:
    """Whether an exception inside of a statement surely comes out as a jump would."""
    return not isinstance(node, (ast.With, ast.TryStar)) and not (isinstance(node, ast.Try) and not _is_simple(node))


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
