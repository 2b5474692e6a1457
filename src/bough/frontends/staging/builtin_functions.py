"""What Python's builtin functions, and torch's that make tensors of lists, mean for symbolic values."""

from __future__ import annotations

import abc
import functools
import inspect
import math
import types
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bough.frontends.staging import measures, refusals, strands, walks
from bough.frontends.staging.examples import class_name
from bough.frontends.staging.facts import subclasses
from bough.frontends.staging.per_element import PerElement
from bough.frontends.staging.signals import refuse_source
from bough.frontends.staging.symbols import (
    Arithmetic,
    Elements,
    Identity,
    Length,
    Number,
    Place,
    Position,
    Spread,
    Symbol,
)  # fmt: skip

if TYPE_CHECKING:
    from bough.frontends.staging.primitives import Primitives


def _isinstance(staging: Primitives, value: Any, classes: Any) -> bool:
    if not isinstance(value, Symbol):
        return isinstance(value, classes)
    flat: list[type] = []
    work = [classes]
    while work:
        c = work.pop()
        work.extend(reversed(c) if isinstance(c, tuple) else reversed(c.__args__) if isinstance(c, types.UnionType) else ())
        if isinstance(c, type) and not isinstance(c, types.UnionType):
            flat.append(c)
    for c in list(flat):
        if inspect.getattr_static(type(c), "__instancecheck__") not in _PLAIN_CHECKS and not issubclass(c, torch.Tensor):
            raise refuse_source(
                f"`isinstance` asks for {c.__qualname__}, which decides itself what its instances are",
                "what it would say of an object is not known before the call",
                "ask for plain classes, or for an attribute: `hasattr(x, name)`",
            )
        if isinstance(c, abc.ABCMeta):
            registered = [t for below in subclasses(c) if isinstance(below, abc.ABCMeta) for t in _registered(below)]
            builtin = [t for t in (list, tuple, dict, str, set, int, float) if issubclass(t, c)]
            flat += dict.fromkeys([*registered, *builtin])
    return staging.run.is_instance(value._place, flat)


def _registered(cls: abc.ABCMeta) -> list[type]:
    """The classes that count as below an abstract one without being so."""
    references = abc._get_dump(cls)[0]  # type: ignore[attr-defined]
    return sorted((t for r in references if (t := r()) is not None), key=class_name)


_PLAIN_CHECKS = (inspect.getattr_static(type, "__instancecheck__"), inspect.getattr_static(abc.ABCMeta, "__instancecheck__"))


def _is_tensor(staging: Primitives, value: Any) -> bool:
    return _isinstance(staging, value, torch.Tensor)


def _len(staging: Primitives, value: Any) -> Any:
    if isinstance(value, Symbol):
        if staging.defines(value, "__len__"):
            return staging.call(staging.run.attribute(value, "__len__"))
        known = staging.known_elements(value)
        return len(known) if known is not None else Length(staging.run, value._place)
    elements = staging.symbolic_elements(value)
    if elements is None:
        return len(value)
    each = staging.run.record.eaches[elements.each]
    if each.list is not None:
        return Number(staging.run, staging.run.size(elements.each))
    return Length(staging.run, measures.walked(each))


def _has(staging: Primitives, value: Any, name: str) -> bool:
    if not isinstance(value, Symbol):
        return hasattr(value, name)
    return staging.run.ask(value._place, "has_attribute", name)


def _get(staging: Primitives, value: Any, name: str, *default: Any) -> Any:
    if not isinstance(value, Symbol):
        if isinstance(name, Symbol):
            raise refuse_source(
                f"`getattr` is asked for the name `{name!r}`",
                "which attribute that is is not known",
                "write the attribute's name, or choose it by what the object says of itself",
            )
        return getattr(value, name, *default)
    if default and not _has(staging, value, name):
        return default[0]
    return staging.attribute(value, name)


def _range(staging: Primitives, *bounds: Any) -> Any:
    if len(bounds) == 1 and isinstance(bounds[0], Length):
        place = bounds[0]._place
        return Elements(staging.run, staging.run.each(place.path), Position(staging.run, staging.run.each(place.path)))
    raise refusals.misused(next(b for b in bounds if isinstance(b, Arithmetic)), "bounds a range")


def _same_walk(staging: Primitives, values: Any) -> list[Elements]:
    found = [staging.elements(v) for v in values]
    if any(f.reverse for f in found):
        raise staging.backwards()
    if len({f.each for f in found}) > 1:
        raise refuse_source(
            "lists of different objects go side by side", "nothing says that they have equal lengths",
            "keep what belongs together in one list of pairs",
        )  # fmt: skip
    return found


def _zip(staging: Primitives, *values: Any) -> Any:
    if len(values) == 1 and isinstance(values[0], Spread):
        elements = values[0].values
        if not isinstance(elements.tree, tuple):
            raise refuse_source(
                "`zip(*...)` of values that are no tuples",
                "there is nothing to take apart",
                "make a list of tuples, one for each element",
            )
        return tuple(Elements(staging.run, elements.each, t) for t in elements.tree)
    values = tuple(staging.opened(v) for v in values)
    sides = [staging.symbolic_elements(v) for v in values]
    if any(s is None for s in sides):
        if all(s is None for s in sides):
            return zip(*[staging.known(v) for v in values], strict=False)
        values = tuple(_rows_beside(staging, v, sides) if s is None else v for s, v in zip(sides, values, strict=True))
    found = _same_walk(staging, values)
    return Elements(staging.run, found[0].each, tuple(f.tree for f in found))


def _rows_beside(staging: Primitives, value: Any, sides: list[Elements | None]) -> Elements:
    """The rows of a tensor that was computed from the elements of the list beside it."""
    each = next(s.each for s in sides if s is not None)
    if isinstance(value, torch.Tensor) and value.dim() and value.shape[0] == staging.run.size(each):
        return Elements(staging.run, each, value)
    raise refuse_source(
        "a list of unknown length goes beside one of known length",
        "nothing says that they fit",
        "walk over both by position in lists of one kind, or give an example whose lists are short",
    )


def _enumerate(staging: Primitives, values: Any, start: int = 0) -> Any:
    values = staging.opened(values)
    elements = staging.symbolic_elements(values)
    if elements is None:
        return enumerate(staging.known(values), start)
    if elements.reverse:
        raise staging.backwards()
    if not isinstance(start, int):
        raise refuse_source(
            "`enumerate` of a list of unknown length starts at a computed number",
            "no rule says how",
            "count from a number that is known, and add the computed one to what it is used for",
        )
    return replace(elements, tree=(Position(staging.run, elements.each, start), elements.tree))


def _list(staging: Primitives, values: Any = ()) -> Any:
    values = staging.opened(values)
    elements = staging.symbolic_elements(values)
    return elements if elements is not None else staging.fresh(list(staging.known(values)))


def _tuple(staging: Primitives, values: Any = ()) -> Any:
    values = staging.opened(values)
    elements = staging.symbolic_elements(values)
    return elements if elements is not None else tuple(staging.known(values))


def _stacked(staging: Primitives, values: Any) -> Any:
    """The tensors of a list of unknown length, stacked; None for a plain list."""
    elements = staging.symbolic_elements(values)
    if elements is None:
        return None
    if elements.reverse:
        raise staging.backwards()
    tree = elements.tree
    if isinstance(tree, Place):  # payloads are read in the scope of the walk
        inner = walks.enter(staging.run, elements)
        tree = staging.stacked(inner, elements.each)
        staging.run.scope = None
    elif isinstance(tree, Number):
        tree = tree.tensor
    if not isinstance(tree, torch.Tensor):
        raise refuse_source(
            "a list of unknown length is combined, whose elements are no tensors",
            "there is no sum of them",
            "make tensors of the elements first, with torch.tensor",
        )
    return tree


def _sum(staging: Primitives, values: Any, start: Any = 0) -> Any:
    if isinstance(start, list) and isinstance(values, Elements):
        if not strands.only_pieces(values.tree):
            strands.learn(staging.run.world, staging.run.function.base, strands.EVERYWHERE)
            raise refusals.use_of_filled()
        return [*start, *values.tree]
    stacked = _stacked(staging, values)
    if stacked is None:
        return functools.reduce(lambda a, b: a + b, staging.known(values), start)
    total = stacked.sum(0)
    if _holds_numbers(staging, values):
        return Number(staging.run, total) + start
    return total if isinstance(start, int) and start == 0 else start + total


def _holds_numbers(staging: Primitives, values: Any) -> bool:
    elements = staging.symbolic_elements(values)
    return elements is not None and isinstance(elements.tree, Number)


def _extreme(name: str) -> Callable[..., Any]:
    def rule(staging: Primitives, *values: Any, **kwargs: Any) -> Any:
        elements = staging.symbolic_elements(values[0]) if len(values) == 1 else None
        if elements is not None and "default" in kwargs:
            default = kwargs.pop("default")
            if staging.length_at_most(elements, 0):
                return default
        if len(values) == 1 and not kwargs:
            if elements is not None:
                staging.require_some(elements, name)
            stacked = _stacked(staging, values[0])
            if stacked is not None and stacked.dim() == 1:
                made = getattr(torch, f"a{name}")(stacked, 0)
                return Number(staging.run, made) if _holds_numbers(staging, values[0]) else made
            values = tuple(staging.known(values[0])) if stacked is None else ()
        if len(values) < 2 or kwargs:
            raise refuse_source(
                f"`{name}` of parts of the structure",
                "no rule says what this means",
                "compute it when the structure is built, and store it in the object",
            )
        tensors = [torch.as_tensor(staging.run.number(v) if isinstance(v, Arithmetic) else v) for v in values]
        return Number(staging.run, functools.reduce(getattr(torch, f"{name}imum"), tensors))

    return rule


def _joined(function: Callable[..., Any]) -> Callable[..., Any]:
    """torch.stack and torch.cat over a list of unknown length."""

    def rule(staging: Primitives, tensors: Any, dim: int = 0, **kwargs: Any) -> Any:
        stacked = _stacked(staging, tensors)
        if stacked is None:
            return staging.run.torch_call(function, (tensors,), {"dim": dim, **kwargs})
        staging.require_some(staging.elements(tensors), f"torch.{function.__name__}")
        dim = kwargs.get("axis", dim)
        if function is torch.stack or (function is torch.vstack and stacked.dim() == 2):
            return stacked if dim == 0 else stacked.movedim(0, dim)
        if dim % (stacked.dim() - 1) == 0:
            return stacked.flatten(0, 1)
        return stacked.movedim(0, dim % (stacked.dim() - 1)).flatten(dim % (stacked.dim() - 1), dim % (stacked.dim() - 1) + 1)

    return rule


def tensor_of(staging: Primitives, data: Any, dtype: torch.dtype | None = None, **_: Any) -> Any:
    """torch.tensor and its kin: a number becomes a tensor of rank 0, a list of them one of rank 1, and so on."""
    run = staging.run
    if isinstance(data, (torch.Tensor, PerElement)):
        made: Any = data
    elif isinstance(data, Symbol) and (known := staging.listed_numbers(data)) is not None:
        return tensor_of(staging, known, dtype)
    elif isinstance(data, Arithmetic) and not (isinstance(data, Symbol) and staging.is_container(data)):
        value = run.number(data)
        made = value if isinstance(value, (torch.Tensor, PerElement)) else torch.as_tensor(value)
        if isinstance(data, Number) and made.dtype is torch.float64 and dtype is None:
            dtype = torch.get_default_dtype()
    elif (stacked := _stacked(staging, data) if staging.symbolic_elements(data) is not None else None) is not None:
        made = stacked
    else:
        parts = [tensor_of(staging, d) if isinstance(d, (Arithmetic, list, tuple)) else torch.as_tensor(d) for d in data]
        made = run.torch_call(torch.stack, (parts,), {})
    return made if dtype is None else made.to(dtype)


def _typed(dtype: torch.dtype) -> Callable[..., Any]:
    return lambda staging, data: tensor_of(staging, data, dtype)


def _converted(dtype: torch.dtype) -> Callable[..., Any]:
    """int(), float(): of numbers only."""

    def rule(staging: Primitives, value: Any) -> Any:
        number = staging.run.number(value)
        return Number(staging.run, number.to(dtype) if isinstance(number, (torch.Tensor, PerElement)) else number)

    return rule


def _of_math(name: str) -> Callable[..., Any]:
    def rule(staging: Primitives, value: Any) -> Any:
        number = staging.run.number(value)
        tensor = number if isinstance(number, (torch.Tensor, PerElement)) else torch.as_tensor(number, dtype=torch.float32)
        return Number(staging.run, getattr(torch, name)(tensor))

    return rule


def _all(staging: Primitives, values: Any) -> bool:
    return all(bool(v) for v in staging.known(_fixed(staging, values)))


def _any(staging: Primitives, values: Any) -> bool:
    return any(bool(v) for v in staging.known(_fixed(staging, values)))


def _fixed(staging: Primitives, values: Any) -> Any:
    if staging.symbolic_elements(values) is not None:
        raise refuse_source(
            "a question about all elements of a list of unknown length",
            "there is no such question",
            "store the answer in the object when the structure is built",
        )
    return values


def _map(staging: Primitives, function: Any, *values: Any) -> Any:
    sides = _zip(staging, *values) if len(values) > 1 else values[0]
    many = len(values) > 1
    return staging.comprehend(
        "generator", sides, lambda v: staging.call(function, *v) if many else staging.call(function, v), (), False
    )


def _identity(staging: Primitives, value: Any) -> Any:
    return Identity(value._place) if isinstance(value, Symbol) else id(value)


def _type(staging: Primitives, value: Any) -> Any:
    return staging.attribute(value, "__class__") if isinstance(value, Symbol) else type(value)


def _reversed(staging: Primitives, values: Any) -> Any:
    elements = staging.symbolic_elements(staging.opened(values))
    if elements is not None:
        return replace(elements, reverse=not elements.reverse)
    return list(staging.known(values))[::-1]


def _bool(staging: Primitives, value: Any) -> bool:
    return bool(staging.truth(value))


def _as_is(staging: Primitives, value: Any, *_: Any) -> Any:
    return value


def _print(staging: Primitives, *_: Any, **__: Any) -> None:
    raise refuse_source("a part of the structure is printed", "compiled code prints nothing", "leave the line out")


SPECIAL: dict[Any, Callable[..., Any]] = {
    torch.is_tensor: _is_tensor,
    isinstance: _isinstance, len: _len, hasattr: _has, getattr: _get, range: _range, zip: _zip, enumerate: _enumerate,
    list: _list, tuple: _tuple, sum: _sum, max: _extreme("max"), min: _extreme("min"), all: _all, any: _any, map: _map,
    id: _identity, type: _type, reversed: _reversed, bool: _bool, iter: _as_is, print: _print, int: _converted(torch.int64),
    float: _converted(torch.float32), torch.stack: _joined(torch.stack), torch.cat: _joined(torch.cat),
    torch.concat: _joined(torch.cat), torch.vstack: _joined(torch.vstack), torch.tensor: tensor_of, torch.as_tensor: tensor_of,
    torch.from_numpy: tensor_of, torch.LongTensor: _typed(torch.int64), torch.FloatTensor: _typed(torch.float32),
    torch.IntTensor: _typed(torch.int32), np.asarray: _as_is, np.array: _as_is, abs: lambda staging, v: abs(v),
    **{getattr(math, n): _of_math(n) for n in ("exp", "log", "sqrt", "tanh", "sin", "cos", "log2", "log1p")},
}  # fmt: skip
"""What functions mean for symbolic values among their arguments."""
