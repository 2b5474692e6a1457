"""Calls in rewritten code: which become visits, which are run in place, and which are left to torch."""

from __future__ import annotations

import functools
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from bough.base.visits import Attribute
from bough.frontends.staging import refusals, strands
from bough.frontends.staging.builtin_functions import SPECIAL, tensor_of
from bough.frontends.staging.per_element import PerElement
from bough.frontends.staging.rewrite import is_rewritten, rewrite
from bough.frontends.staging.run import Bound, ContainerMethod
from bough.frontends.staging.signals import refuse_source
from bough.frontends.staging.symbols import (
    SYMBOLIC,
    Identity,
    Length,
    Place,
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


def call(staging: Primitives, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a call in rewritten code gives."""
    if isinstance(function, Bound):
        return call(staging, function.function, (function.owner, *args), kwargs)
    if isinstance(function, functools.partial) and "real_callable" in function.keywords:
        function = function.keywords["real_callable"]  # while torch exports, it has others in the place of max and min
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
        return staging.invoke(function, *args, **kwargs)
    if not symbolic and not (args and isinstance(args[0], (torch.Tensor, PerElement)) and _takes_arrays(function)):
        return function(*args, **kwargs)
    special = SPECIAL.get(function) if isinstance(function, _HASHABLE) else None
    if special is not None:
        return special(staging, *args, **kwargs)
    if hasattr(function, "cache_info") and hasattr(function, "__wrapped__"):
        staging.run.world.cached.add(getattr(function.__wrapped__, "__code__", None))
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
        return tensor_of(staging, *args, **{"dtype": owner.dtype, **kwargs})
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
        if isinstance(value, SYMBOLIC) or id(value) in staging.gathered or id(value) in staging.run.world.effects.filled:
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
    if rewrite(function, staging) is None:
        raise refuse_source(
            f"`{function.__qualname__}` is called with a part of the structure",
            "its source is not to be had",
            "define it in a file",
        )
    world = staging.run.world
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
        return staging.invoke(function, *args, **kwargs)
    finally:
        staging.frames.pop()


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
        staging.remember(owner, args[0], True)
        return None
    if name == "clear" and staging.run.function is staging.run.world.entry:
        staging.run.world.effects.fill(owner)  # empty where the recursion starts, as it is taken to be
        return None
    if strands.has_pieces(owner) or (args and strands.has_pieces(args[0])):
        if name not in ("append", "extend", "insert"):
            raise refusals.use_of_filled()
        return method(*args, **kwargs)
    if name in _CHANGES:
        if id(owner) in staging.run.world.effects.lists or id(owner) not in staging.created:
            return staging.run.world.effects.collect(staging, owner, name, args)
        if staging.loops and isinstance(owner, list):
            if name == "extend":
                strands.learn(staging.run.world, staging.run.function.base, strands.EVERYWHERE)
            if name != "append":
                raise refuse_source(
                    f"`{name}` in a loop over a list of unknown length",
                    "only append is understood there",
                    "append in the loop, and do the rest behind it",
                )
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
    raise refuse_source(
        f"`{owner!r}.{name}` is called",
        "no rule says what this means for a part of the structure",
        "read attributes, items and lengths; what else is needed can be stored in the object when it is built",
    )
