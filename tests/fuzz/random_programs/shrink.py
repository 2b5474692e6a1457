"""Makes a failing program smaller while it fails in the same way: on the syntax tree, so it serves any program."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace

from random_programs.program import Case

Fails = Callable[[Case], bool]
Edit = Callable[[], Callable[[], None]]
"""Changes the tree; what it returns takes the change back."""


def shrink(case: Case, fails: Fails, attempts: int = 600) -> Case:
    """The smallest found case that still fails. `fails` must refuse programs that are not valid."""
    case = fewer_inputs(case, fails)
    smaller = True
    while smaller and attempts > 0:
        smaller = False
        tree = ast.parse(case.source)
        for edit in list(edits(tree)):
            undo = edit()
            candidate = replace(case, source=ast.unparse(ast.fix_missing_locations(tree)))
            attempts -= 1
            if len(candidate.source) < len(case.source) and valid(candidate.source) and fails(candidate):
                case, smaller = candidate, True
            else:
                undo()
            if attempts <= 0:
                break
    return case


def fewer_inputs(case: Case, fails: Fails) -> Case:
    """One input besides the example, or the example alone, where that is enough."""
    for other in case.inputs:
        for inputs in ((other,), (case.inputs[0], other)):
            if len(inputs) < len(case.inputs) and fails(candidate := replace(case, inputs=inputs)):
                return candidate
    return case


def valid(source: str) -> bool:
    try:
        compile(source, "candidate", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def edits(tree: ast.Module) -> Iterator[Edit]:
    """Ways to make the tree smaller, the large ones first."""
    for node in written(tree):
        for name in ("body", "orelse", "handlers", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                yield from statements(block)
    for node in list(written(tree)):
        yield from expressions(node)


def written(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes of all functions but constructors."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name != "__init__":
            yield from ast.walk(function)


def statements(block: list[ast.stmt]) -> Iterator[Edit]:
    """Without half of the statements or one of them; a compound one as its body alone. A block that is empty says `pass`."""
    middle = len(block) // 2
    for part in (block[middle:], block[:middle]) if middle > 1 else ():
        yield lambda part=part: without(block, part)  # type: ignore[misc]
    for statement in list(block):
        yield lambda s=statement: spliced(block, s, [])  # type: ignore[misc]
        for part in ("body", "orelse"):
            inner = getattr(statement, part, None)
            if isinstance(inner, list) and inner and not isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                yield lambda s=statement, i=inner: spliced(block, s, i)  # type: ignore[misc]


def without(block: list[ast.stmt], part: list[ast.stmt]) -> Callable[[], None]:
    before = list(block)
    block[:] = [s for s in block if s not in part] or before

    def undo() -> None:
        block[:] = before

    return undo


def spliced(block: list[ast.stmt], statement: ast.stmt, others: list[ast.stmt]) -> Callable[[], None]:
    before = list(block)
    if statement in block:
        at = block.index(statement)
        block[at : at + 1] = others or ([ast.Pass()] if len(block) == 1 and not isinstance(statement, ast.Pass) else [])

    def undo() -> None:
        block[:] = before

    return undo


def expressions(node: ast.AST) -> Iterator[Edit]:
    """Each expression as one of its parts, and numbers as 1."""
    for name, value in list(ast.iter_fields(node)):
        if isinstance(value, ast.expr):
            for part in parts(value):
                yield lambda n=name, v=value, p=part: changed(node, n, v, p)  # type: ignore[misc]
        elif isinstance(value, list) and value and isinstance(value[0], ast.expr):
            for at, element in enumerate(value):
                for part in parts(element):
                    yield lambda v=value, a=at, e=element, p=part: placed(v, a, e, p)  # type: ignore[misc]


def parts(value: ast.expr) -> list[ast.expr]:
    if isinstance(value, (ast.Constant, ast.Name)) or not isinstance(getattr(value, "ctx", ast.Load()), ast.Load):
        return []
    found = [p for p in ast.iter_child_nodes(value) if isinstance(p, ast.expr)]
    if isinstance(value, ast.Call):
        found += [value.func.value] if isinstance(value.func, ast.Attribute) else []
    return [ast.Constant(1), ast.Constant(True), ast.Name("x", ast.Load()), *found]


def changed(node: ast.AST, name: str, old: ast.expr, new: ast.expr) -> Callable[[], None]:
    if getattr(node, name) is old:
        setattr(node, name, new)
    return lambda: setattr(node, name, old)


def placed(values: list[ast.expr], at: int, old: ast.expr, new: ast.expr) -> Callable[[], None]:
    if at < len(values) and values[at] is old:
        values[at] = new

    def undo() -> None:
        values[at] = old

    return undo
