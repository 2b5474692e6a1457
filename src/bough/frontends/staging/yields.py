"""Generator functions whose body can run where they are walked over: there, a `yield` is a call of what walks over them."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from bough.frontends.staging.liveness import INNER

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def is_generator(function: _Definition) -> bool:
    return bool(_yields(function))


def runs_inside(function: _Definition) -> bool:
    """Whether all `yield`s are statements, or all that is assigned, and no exception of the code that walks over them would come
    to a handler of the function's own."""
    if not isinstance(function, ast.FunctionDef):
        return False
    wanted = _yields(function)
    return bool(wanted) and set(map(id, wanted)) == set(map(id, _statements(function.body)))


def as_statements(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """`yield from values` as a loop, and `x = yield value` as what it is in a loop: x is None."""
    spread = _Spread()
    return [s for statement in body for s in spread.statement(statement)]


def is_yield(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Yield)


def _yields(function: _Definition) -> list[ast.AST]:
    """Those of the function itself."""
    found: list[ast.AST] = []
    work: list[ast.AST] = list(function.body) if isinstance(function.body, list) else [function.body]
    while work:
        node = work.pop()
        if isinstance(node, INNER):
            continue
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            found.append(node)
        work.extend(ast.iter_child_nodes(node))
    return found


def _statements(body: Sequence[ast.stmt]) -> list[ast.AST]:
    """The `yield`s that are statements and stand in no `try` but one whose `finally` follows."""
    found: list[ast.AST] = []
    work: list[ast.AST] = list(body)
    while work:
        node = work.pop()
        match node:
            case ast.Expr(value=ast.Yield() | ast.YieldFrom() as value) | ast.Assign(value=ast.Yield() as value):
                found.append(value)
            case ast.Try(handlers=[]):
                work.extend(node.body)
            case ast.If() | ast.For() | ast.While() | ast.With() | ast.Match() | ast.match_case():
                work.extend(ast.iter_child_nodes(node))
    return found


class _Spread(ast.NodeTransformer):
    def __init__(self) -> None:
        self.count = 0

    def statement(self, node: ast.stmt) -> list[ast.stmt]:
        made: ast.stmt | list[ast.stmt] = self.visit(node)
        return made if isinstance(made, list) else [made]

    def visit(self, node: ast.AST) -> Any:
        return node if isinstance(node, INNER) else super().visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if not isinstance(node.value, ast.YieldFrom):
            return node
        self.count += 1
        name = f"yielded{self.count}__"
        given = ast.Expr(ast.Yield(ast.Name(name, ast.Load())))
        return _at(ast.For(ast.Name(name, ast.Store()), node.value.value, [given], []), node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | list[ast.stmt]:
        if not isinstance(node.value, ast.Yield):
            return node
        return [_at(ast.Expr(node.value), node), _at(ast.Assign(node.targets, ast.Constant(None)), node)]


def _at(node: ast.stmt, origin: ast.stmt) -> ast.stmt:
    return ast.fix_missing_locations(ast.copy_location(node, origin))
