"""Calls in rewritten code: which become visits, which are run in place, and what builtin functions mean for symbolic values."""

from __future__ import annotations

import functools
import inspect
import math
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from bough.base.errors import CompileError
from bough.base.visits import Attribute
from bough.frontends.staging.per_element import PerElement
from bough.frontends.staging.rewrite import is_rewritten, rewrite
from bough.frontends.staging.run import Bound, ContainerMethod
from bough.frontends.staging.signals import here, refuse_source
from bough.frontends.staging.symbols import (
    SYMBOLIC,
    Arithmetic,
    Elements,
    Identity,
    Length,
    Number,
    Place,
    Position,
    Rows,
    Spread,
    Symbol,
)  # fmt: skip

if TYPE_CHECKING:
    from bough.frontends.staging.primitives import Primitives

CLASS = Attribute("__class__")
"""The step from an object to its class."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A function of the user's that is running in place. `place`: the object it was called at, where it is one."""

    base: Any
    place: Place | None


def mutation(what: str) -> CompileError:
    return CompileError(
        f"the model changes {what} while it recurses",
        code="BGH-MUT-001",
        because="a compiled function has no state, and the order of visits is not the model's",
        advice="return the value, or append it to a list that the caller passes",
        location=here(),
    )


def call(staging: Primitives, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if isinstance(function, Bound):
        return call(staging, function.function, (function.owner, *args), kwargs)
    if isinstance(function, ContainerMethod):
        return _container_method(staging, function, args)
    if isinstance(function, types.MethodType) and (
        isinstance(function.__func__, types.FunctionType) or hasattr(function.__func__, "cache_info")
    ):
        return call(staging, function.__func__, (function.__self__, *args), kwargs)
    symbolic = _is_symbolic(staging, (args, kwargs))
    owner = getattr(function, "__self__", None)
    if isinstance(owner, (list, dict, set)) and isinstance(function, types.BuiltinMethodType):
        return _on_container(staging, owner, function, args, kwargs, symbolic)
    if isinstance(function, types.FunctionType) and is_rewritten(function) and not symbolic:
        return rewrite(function, staging)(*args, **kwargs)  # type: ignore[misc]
    if not symbolic and not (args and isinstance(args[0], (torch.Tensor, PerElement)) and _takes_arrays(function)):
        return function(*args, **kwargs)
    special = SPECIAL.get(function) if isinstance(function, _HASHABLE) else None
    if special is not None:
        return special(staging, *args, **kwargs)
    if hasattr(function, "cache_info") and hasattr(function, "__wrapped__"):
        return call(staging, function.__wrapped__, args, kwargs)
    if isinstance(function, functools.partial):
        return call(staging, function.func, (*function.args, *args), {**function.keywords, **kwargs})
    if isinstance(function, nn.Module):
        return _module(staging, function, args, kwargs)
    if isinstance(function, types.FunctionType):
        if _is_torch(function):
            return staging.run.torch_call(function, args, kwargs)
        return _function(staging, function, args, kwargs)
    if isinstance(function, type):
        return _construct(staging, function, args, kwargs)
    if isinstance(owner, torch.Tensor) and function.__name__ == "new_tensor":
        return _tensor(staging, *args, **{"dtype": owner.dtype, **kwargs})
    if _is_torch(function) or isinstance(owner, torch.Tensor):
        return staging.run.torch_call(function, args, kwargs)
    owned = type(function).__call__ if hasattr(type(function), "__call__") else None  # noqa: B004
    if isinstance(owned, types.FunctionType):
        return call(staging, owned, (function, *args), kwargs)
    name = getattr(function, "__qualname__", type(function).__name__)
    raise refuse_source(
        f"`{name}` is called with a part of the structure",
        "it is not written in Python, so there is no telling what it does with it",
        "write it out, or do it when the structure is built",
    )


_HASHABLE = (types.BuiltinFunctionType, types.FunctionType, type, types.BuiltinMethodType)


def _is_symbolic(staging: Primitives, tree: Any) -> bool:
    """Whether there is anything among arguments that is not known while compiling, but for tensors."""
    work = [tree]
    while work:
        value = work.pop()
        if isinstance(value, SYMBOLIC) or id(value) in staging.gathered or id(value) in staging.run.world.filled:
            return True
        if isinstance(value, (list, tuple)):
            work.extend(value)
        elif isinstance(value, dict):
            work.extend(value.values())
        elif isinstance(value, slice):
            work.extend((value.start, value.stop, value.step))
    return False


def _takes_arrays(function: Any) -> bool:
    """Whether a function makes tensors of arrays, which are tensors already where they come from the structure."""
    return any(function is f for f in (torch.from_numpy, torch.as_tensor, torch.tensor))


def _is_torch(function: Any) -> bool:
    module = getattr(function, "__module__", None) or ""
    return module.split(".")[0] == "torch" or type(function).__module__.startswith("torch") or isinstance(
        function, types.MethodDescriptorType
    )  # fmt: skip


# -- the user's functions --------------------------------------------------------------------------------------------------


def _module(staging: Primitives, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if module._forward_hooks or module._forward_pre_hooks:
        raise refuse_source(
            f"{type(module).__name__} has hooks", "they would have to run for each object", "remove them before compiling"
        )
    return call(staging, module.forward, args, kwargs)


def _construct(staging: Primitives, cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    init = cls.__init__  # type: ignore[misc]
    if not isinstance(init, types.FunctionType) or init.__code__.co_filename.startswith("<"):
        return staging.fresh(cls(*args, **kwargs))
    made: Any = staging.fresh(object.__new__(cls))
    call(staging, init, (made, *args), kwargs)
    return made


def _function(staging: Primitives, function: types.FunctionType, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    new = rewrite(function, staging)
    if new is None:
        raise refuse_source(
            f"`{function.__qualname__}` is called with a part of the structure",
            "its source is not to be had",
            "define it in a file",
        )
    world, run = staging.run.world, staging.run
    base = world.base(function, args)
    nodes = [v for v in (*args, *kwargs.values()) if isinstance(v, Symbol) and not isinstance(v, Length)]
    place = nodes[0]._place if nodes else None
    if base in world.visits:
        return world.visit(staging, function, args, kwargs)
    active = [n for n, f in enumerate(staging.frames) if f.base == base]
    if active:
        world.found_circle(staging.frames[active[-1] :], Frame(base, place))
    staging.frames.append(Frame(base, place))
    try:
        return new(*args, **kwargs)
    finally:
        staging.frames.pop()
        del run


# -- containers ------------------------------------------------------------------------------------------------------------


def _on_container(
    staging: Primitives, owner: Any, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any], symbolic: bool
) -> Any:
    """A method of a list, dictionary or set of Python's."""
    name = method.__name__
    if isinstance(owner, dict) and args and isinstance(args[0], (Symbol, Identity)):
        key, default = args[0], args[1] if len(args) > 1 else None
        if name == "get":
            if isinstance(key, Identity) or staging.is_object(key):
                return staging.memo.get((id(owner), key.place if isinstance(key, Identity) else key._place), default)
            for entry, value in staging.entries(owner, key):
                if key == entry:
                    return value
            return default
    if isinstance(owner, set) and args and isinstance(args[0], (Symbol, Identity)) and name == "add":
        key = args[0]
        staging.memo[id(owner), key.place if isinstance(key, Identity) else key._place] = True
        return None
    if name == "clear" and staging.run.function is staging.run.world.entry:
        staging.run.world.fill(owner)  # empty where the recursion starts, as it is taken to be
        return None
    if name in _CHANGES:
        if id(owner) in staging.run.world.lists or id(owner) not in staging.created:
            return staging.run.world.collect(staging, owner, name, args)
        if staging.loops and isinstance(owner, list):
            if name != "append":
                raise refuse_source(f"`{name}` in a loop over a list of unknown length", "only append is understood there")
            staging.loops[-1].grown.setdefault(id(owner), (owner, []))[1].append(args[0])
            return None
    return method(*args, **kwargs)


_CHANGES = frozenset("append extend insert add update pop popitem clear remove sort reverse setdefault discard".split())


def _container_method(staging: Primitives, method: ContainerMethod, args: tuple[Any, ...]) -> Any:
    owner, run, name = method.owner, method.run, method.name
    if name == "values" and not args and owner._place.each is None and staging.is_mapping(owner):
        return [] if staging.is_taken_for_empty(owner._place) else staging.every(owner._place)
    if name == "get" and args:
        found = run.ask(owner._place, "has_key", args[0])
        return run.item(owner, args[0]) if found else (args[1] if len(args) > 1 else None)
    raise refuse_source(f"`{owner!r}.{name}` is called", "no rule says what this means for a part of the structure")


# -- builtin functions -----------------------------------------------------------------------------------------------------


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
        if inspect.isabstract(c):
            flat += [t for t in (list, tuple, dict, str, set, int, float) if issubclass(t, c)]
    return staging.run.is_instance(value._place, flat)


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
    if each.skip or each.leave:
        raise refuse_source("the length of a part of a list is asked for", "only that of the whole list can be")
    return Length(staging.run, Place(each.path))


def _has(staging: Primitives, value: Any, name: str) -> bool:
    if not isinstance(value, Symbol):
        return hasattr(value, name)
    return staging.run.ask(value._place, "has_attribute", name)


def _get(staging: Primitives, value: Any, name: str, *default: Any) -> Any:
    if not isinstance(value, Symbol):
        if isinstance(name, Symbol):
            raise refuse_source(f"`getattr` is asked for the name `{name!r}`", "which attribute that is is not known")
        return getattr(value, name, *default)
    if default and not _has(staging, value, name):
        return default[0]
    return staging.attribute(value, name)


def _range(staging: Primitives, *bounds: Any) -> Any:
    if len(bounds) == 1 and isinstance(bounds[0], Length):
        place = bounds[0]._place
        return Elements(staging.run, staging.run.each(place.path), Position(staging.run, staging.run.each(place.path)))
    raise staging.run.misused(next(b for b in bounds if isinstance(b, Arithmetic)), "bounds a range")


def _same_walk(staging: Primitives, values: Any) -> list[Elements]:
    found = [staging.elements(v) for v in values]
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
            raise refuse_source("`zip(*...)` of values that are no tuples", "there is nothing to take apart")
        return tuple(Elements(staging.run, elements.each, t) for t in elements.tree)
    values = tuple(staging.opened(v) for v in values)
    sides = [staging.symbolic_elements(v) for v in values]
    if any(s is None for s in sides):
        if all(s is None for s in sides):
            return zip(*[staging.known(v) for v in values], strict=False)
        raise refuse_source("a list of unknown length goes beside one of known length", "nothing says that they fit")
    found = _same_walk(staging, values)
    return Elements(staging.run, found[0].each, tuple(f.tree for f in found))


def _enumerate(staging: Primitives, values: Any, start: int = 0) -> Any:
    values = staging.opened(values)
    elements = staging.symbolic_elements(values)
    if elements is None:
        return enumerate(staging.known(values), start)
    if start:
        raise refuse_source("`enumerate` of a list of unknown length starts elsewhere than at 0", "no rule says how")
    return Elements(staging.run, elements.each, (Position(staging.run, elements.each), elements.tree))


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
    tree = elements.tree
    if isinstance(tree, Place):  # payloads are read in the scope of the walk
        from bough.frontends.staging import walks

        inner = walks.enter(staging.run, elements)
        tree = staging.stacked(inner, elements.each)
        staging.run.scope = None
    elif isinstance(tree, Number):
        tree = tree.tensor
    if not isinstance(tree, torch.Tensor):
        raise refuse_source("a list of unknown length is combined, whose elements are no tensors", "there is no sum of them")
    return tree


def _sum(staging: Primitives, values: Any, start: Any = 0) -> Any:
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
            raise refuse_source(f"`{name}` of parts of the structure", "no rule says what this means")
        tensors = [torch.as_tensor(staging.run.number(v) if isinstance(v, Arithmetic) else v) for v in values]
        return Number(staging.run, functools.reduce(getattr(torch, f"{name}imum"), tensors))

    return rule


def _joined(function: Callable[..., Any]) -> Callable[..., Any]:
    """torch.stack and torch.cat over a list of unknown length."""

    def rule(staging: Primitives, tensors: Any, dim: int = 0, **kwargs: Any) -> Any:
        if id(tensors) in staging.run.world.lists and function is torch.stack and dim == 0 and not kwargs:
            return Rows(staging.run, staging.run.world.lists[id(tensors)])
        stacked = _stacked(staging, tensors)
        if stacked is None:
            return staging.run.torch_call(function, (tensors,), {"dim": dim, **kwargs})
        staging.require_some(staging.elements(tensors), f"torch.{function.__name__}")
        dim = kwargs.get("axis", dim)
        if function is torch.stack:
            return stacked if dim == 0 else stacked.movedim(0, dim)
        if dim % (stacked.dim() - 1) == 0:
            return stacked.flatten(0, 1)
        return stacked.movedim(0, dim % (stacked.dim() - 1)).flatten(dim % (stacked.dim() - 1), dim % (stacked.dim() - 1) + 1)

    return rule


def _tensor(staging: Primitives, data: Any, dtype: torch.dtype | None = None, **_: Any) -> Any:
    """torch.tensor and its kin: a number becomes a tensor of rank 0, a list of them one of rank 1, and so on."""
    run = staging.run
    if isinstance(data, (torch.Tensor, PerElement)):
        made: Any = data
    elif isinstance(data, Symbol) and (known := staging.listed_numbers(data)) is not None:
        return _tensor(staging, known, dtype)
    elif isinstance(data, Arithmetic) and not (isinstance(data, Symbol) and staging.is_container(data)):
        value = run.number(data)
        made = value if isinstance(value, (torch.Tensor, PerElement)) else torch.as_tensor(value)
    elif (stacked := _stacked(staging, data) if staging.symbolic_elements(data) is not None else None) is not None:
        made = stacked
    else:
        parts = [_tensor(staging, d) if isinstance(d, (Arithmetic, list, tuple)) else torch.as_tensor(d) for d in data]
        made = run.torch_call(torch.stack, (parts,), {})
    return made if dtype is None else made.to(dtype)


def _typed(dtype: torch.dtype) -> Callable[..., Any]:
    return lambda staging, data: _tensor(staging, data, dtype)


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
        raise refuse_source("a question about all elements of a list of unknown length", "there is no such question")
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
    _fixed(staging, values)
    return list(staging.known(values))[::-1]


def _bool(staging: Primitives, value: Any) -> bool:
    return bool(value)


def _as_is(staging: Primitives, value: Any, *_: Any) -> Any:
    return value


def _print(staging: Primitives, *_: Any, **__: Any) -> None:
    raise refuse_source("a part of the structure is printed", "compiled code prints nothing", "leave the line out")


SPECIAL: dict[Any, Callable[..., Any]] = {
    isinstance: _isinstance, len: _len, hasattr: _has, getattr: _get, range: _range, zip: _zip, enumerate: _enumerate,
    list: _list, tuple: _tuple, sum: _sum, max: _extreme("max"), min: _extreme("min"), all: _all, any: _any, map: _map,
    id: _identity, type: _type, reversed: _reversed, bool: _bool, iter: _as_is, print: _print, int: _converted(torch.int64),
    float: _converted(torch.float32), torch.stack: _joined(torch.stack), torch.cat: _joined(torch.cat),
    torch.concat: _joined(torch.cat), torch.vstack: _joined(torch.stack), torch.tensor: _tensor, torch.as_tensor: _tensor,
    torch.from_numpy: _tensor, torch.LongTensor: _typed(torch.int64), torch.FloatTensor: _typed(torch.float32),
    torch.IntTensor: _typed(torch.int32), np.asarray: _as_is, np.array: _as_is, abs: lambda staging, v: abs(v),
    **{getattr(math, n): _of_math(n) for n in ("exp", "log", "sqrt", "tanh", "sin", "cos", "log2", "log1p")},
}  # fmt: skip
"""What functions mean for symbolic values among their arguments."""
