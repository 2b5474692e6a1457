"""Whether a module recurses, told from its source alone."""

from __future__ import annotations

import ast
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from bough.frontends.locations import is_internal
from bough.frontends.staging.rewrite import definition_of
from bough.frontends.staging.symbols import leaves

Called = tuple[types.FunctionType, Any]
"""A function and, where it is a method, the object it belongs to."""


def is_recursive(module: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> bool:
    """Whether the module recurses over objects: a function of the user's that its forward needs calls itself or one that calls
    it, or there are objects of the user's classes among the arguments, whose methods may. Tensors alone are no structure: how
    deep recursion goes is then known, or computed."""
    values = (*args, *(kwargs or {}).values())
    if values and all(isinstance(v, (torch.Tensor, np.ndarray)) for v in values):
        return False
    return any(map(_is_object, leaves((args, dict(kwargs or {}))))) or _has_circle(module)


def _is_object(value: Any) -> bool:
    plain = value is None or isinstance(value, (bool, int, float, str, torch.Tensor, np.ndarray, np.generic))
    return not plain and type(value).__module__ != "builtins"


def _has_circle(module: Any) -> bool:
    start = _functions(module, None)
    done: set[tuple[types.CodeType, int]] = set()
    active: set[tuple[types.CodeType, int]] = set()
    work: list[tuple[Called, bool]] = [(f, False) for f in start]
    while work:
        called, leaving = work.pop()
        key = (called[0].__code__, id(called[1]))
        if leaving:
            active.discard(key)
            done.add(key)
            continue
        if key in active:
            return True
        if key in done:
            continue
        active.add(key)
        work.append((called, True))
        for callee in _callees(called):
            if (callee[0].__code__, id(callee[1])) in active:
                return True
            work.append((callee, False))
    return False


def _callees(called: Called) -> list[Called]:
    """The functions that a function calls, or has `map` call, as far as names tell."""
    function, owner = called
    definition = definition_of(function.__code__)
    if definition is None:
        return []
    first = function.__code__.co_varnames[0] if owner is not None and function.__code__.co_argcount else None
    names = {**function.__globals__, **_closure(function)}
    local = {n.name for n in ast.walk(definition) if isinstance(n, ast.FunctionDef) and n is not definition}
    found: list[Called] = []
    for node in ast.walk(definition):
        if isinstance(node, ast.FunctionDef) and node is not definition and _calls_itself(node, local):
            return [called]
        if isinstance(node, ast.Call):
            mapped = isinstance(node.func, ast.Name) and node.func.id == "map"
            function_of = node.args[0] if mapped and node.args else node.func
            found += _functions(_value(function_of, names, first, owner), owner)
    return found


def _calls_itself(node: ast.FunctionDef, local: set[str]) -> bool:
    """Whether a function inside a function calls itself or one beside it that could call it back."""
    return any(isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id in local for n in ast.walk(node))


def _closure(function: types.FunctionType) -> dict[str, Any]:
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _value(node: ast.expr, names: dict[str, Any], first: str | None, owner: Any) -> Any:
    """What an expression stands for: names, attributes of the module, elements of its lists (all of them)."""
    match node:
        case ast.Name(id=name):
            return owner if name == first else names.get(name)
        case ast.Attribute(value=inner, attr=name):
            base = _value(inner, names, first, owner)
            return getattr(base, name, None) if isinstance(base, (nn.Module, type, types.ModuleType)) else None
        case ast.Subscript(value=inner):
            base = _value(inner, names, first, owner)
            if isinstance(base, nn.ModuleDict):
                return list(base.values())
            return list(base) if isinstance(base, (nn.ModuleList, list, tuple)) else None
    return None


def _functions(value: Any, owner: Any) -> list[Called]:
    """The user's functions behind what is called."""
    if isinstance(value, list):
        return [f for v in value for f in _functions(v, owner)]
    if isinstance(value, nn.Module):
        if type(value).__module__.startswith("torch.nn"):
            return [f for child in value.children() for f in _functions(child, owner)]
        return _functions(value.forward, value)
    value = getattr(value, "__wrapped__", value)
    if isinstance(value, types.MethodType):
        return [(f, value.__self__) for f, _ in _functions(value.__func__, None)]
    if isinstance(value, types.FunctionType) and not is_internal(value.__code__.co_filename):
        return [(value, owner if isinstance(owner, nn.Module) and _is_method(value) else None)]
    return []


def _is_method(function: types.FunctionType) -> bool:
    return function.__code__.co_varnames[:1] == ("self",)
