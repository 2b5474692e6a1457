"""Finds the source of the user's functions and compiles the rewritten form (see `transform`)."""

from __future__ import annotations
import __future__

import ast
import dis
import functools
import inspect
import textwrap
import types
from typing import Any

from bough.frontends.staging.thunks import is_made, lower_control
from bough.frontends.staging.transform import STAGING, Transformer
from bough.frontends.staging.yields import is_generator, runs_inside

_CACHE: dict[tuple[types.CodeType, bool], types.CodeType | None] = {}
_MADE: dict[int, tuple[types.CodeType, types.CodeType | None]] = {}
"""Rewritten code with the code around it, by id: an inner function is equal in all forms of the one around it."""
_ORIGINAL: dict[int, tuple[types.CodeType, bool]] = {}
"""Of rewritten code that no other is around: what it was made of, and whether its control flow goes through staging."""


def rewrite(function: types.FunctionType, staging: Any) -> types.FunctionType | None:
    """The function with what may meet symbolic values done by `staging`; None where its source is not to be had.

    Closure, defaults and globals are the original's. A rewritten function is bound to `staging` anew.
    """
    code, control = function.__code__, bool(getattr(staging, "rewrites_control", False))
    if id(code) not in _MADE and (code, control) not in _CACHE:
        new = _CACHE[code, control] = _compile(code, control)
        if new is not None:
            _ORIGINAL[id(new)] = code, control
    new = code if id(code) in _MADE else _CACHE[code, control]
    if new is None:
        return None
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    cells[STAGING] = types.CellType(staging)
    closure = tuple(cells[n] for n in new.co_freevars)
    made = types.FunctionType(new, function.__globals__, function.__name__, function.__defaults__, closure)
    made.__kwdefaults__ = function.__kwdefaults__
    made.__qualname__, made.__module__ = function.__qualname__, function.__module__
    return made


def is_rewritten(function: types.FunctionType) -> bool:
    return id(function.__code__) in _MADE


def original_of(code: types.CodeType) -> tuple[types.CodeType, bool] | None:
    """The user's outermost function that rewritten code is part of, and whether its control flow goes through staging."""
    while (around := _around(code)) is not None:
        code = around
    return _ORIGINAL.get(id(code))


@functools.cache
def assigned_outside(code: types.CodeType) -> frozenset[str]:
    """The names of functions around it that code assigns, or code inside it that is made of its statements."""
    own = {i.argval for i in dis.get_instructions(code) if i.opname == "STORE_DEREF"} & set(code.co_freevars)
    inner = [assigned_outside(c) for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == code.co_name]
    return frozenset(own).union(*inner)


def definition_of(code: types.CodeType) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None:
    """The definition that a code object was compiled from, with the line numbers of its file."""
    try:
        lines, start = inspect.getsourcelines(code)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):  # generated code; a lambda in the middle of a longer expression
        return None
    ast.increment_lineno(tree, max(start, 1) - 1)
    found = [n for n in ast.walk(tree) if _defines(n, code)]
    return found[0] if found and (len(found) == 1 or found[0] in tree.body) else None  # type: ignore[return-value]


def _defines(node: ast.AST, code: types.CodeType) -> bool:
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return False
    name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
    a = node.args
    names = [x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
    names += [x.arg for x in (a.vararg, a.kwarg) if x is not None]
    return name == code.co_name and tuple(names) == code.co_varnames[: len(names)]


def _compile(code: types.CodeType, control: bool) -> types.CodeType | None:
    """The rewritten code, made as the inner function of one whose parameters are the free variables. `control`: its control
    flow goes through staging, too."""
    definition = definition_of(code)
    if definition is None or (control and is_generator(definition) and not runs_inside(definition)):
        return None
    if isinstance(definition, ast.Lambda):
        body: list[ast.stmt] = [ast.copy_location(ast.Return(definition.body), definition)]
        definition = ast.copy_location(ast.FunctionDef("rewritten", definition.args, body, []), definition)
    definition.decorator_list, definition.returns = [], None
    scope = code.co_qualname.rpartition("<locals>.")[2].split(".")
    if control:
        assert isinstance(definition, ast.FunctionDef)
        lower_control(definition)
    new = [Transformer(scope[-2] if len(scope) > 1 else "", control).function(definition)]
    new[0].name = "rewritten"  # not its own name, which means something else inside: the function that users call
    names = dict.fromkeys((STAGING, *code.co_freevars))
    parameters = ast.arguments([], [ast.arg(n) for n in names], None, [], [], None, [])
    factory = ast.copy_location(ast.FunctionDef("factory", parameters, [*new], []), definition)
    module = ast.fix_missing_locations(ast.Module([factory], []))
    flags = code.co_flags & __future__.annotations.compiler_flag
    compiled = compile(module, code.co_filename, "exec", flags, dont_inherit=True)
    (outer,) = [c for c in compiled.co_consts if isinstance(c, types.CodeType)]
    made = [c for c in outer.co_consts if isinstance(c, types.CodeType)][-1]
    made = _named(made, code.co_name).replace(co_qualname=code.co_qualname)
    _enter(made, None)
    return made


def _named(code: types.CodeType, name: str) -> types.CodeType:
    """The code, and inner functions made of its statements, under the name of the user's function."""
    inner = [_named(c, name) if isinstance(c, types.CodeType) and is_made(c.co_name) else c for c in code.co_consts]
    return code.replace(co_name=name, co_consts=tuple(inner))


def _enter(code: types.CodeType, around: types.CodeType | None) -> None:
    _MADE[id(code)] = code, around
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _enter(constant, code)


def home_of(code: types.CodeType, name: str) -> types.CodeType | None:
    """The rewritten code that a free variable of rewritten code is a local name of."""
    around = _around(code)
    while around is not None and name not in around.co_cellvars:
        around = _around(around)
    return around


def _around(code: types.CodeType) -> types.CodeType | None:
    found = _MADE.get(id(code))
    return None if found is None else found[1]
