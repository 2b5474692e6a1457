"""Calls while control depends on computed values: the user's functions are rewritten, torch's are run as they are."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from bough.frontends.locations import is_internal
from bough.frontends.staging import growing, host_functions, torch_calls
from bough.frontends.staging.aliases import tensors_in
from bough.frontends.staging.choices import Choice, each_alternative, settled
from bough.frontends.staging.data_builtins import METHODS, SPECIAL
from bough.frontends.staging.generators import Generated, collected
from bough.frontends.staging.rewrite import is_rewritten, rewrite
from bough.frontends.staging.scalars import Scalar
from bough.frontends.staging.scopes import AttributeOf, Content
from bough.frontends.staging.texts import Text, format_method, position

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging

_COROUTINES = 0x80 | 0x200
"""Flags of the code of coroutines and asynchronous generators."""


def call(staging: DataStaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a call in rewritten code gives; of a function that is one of several, each is called."""
    function, args, kwargs = settled(function), tuple(map(settled, args)), {k: settled(v) for k, v in kwargs.items()}
    if isinstance(function, functools.partial) and "real_callable" in function.keywords:
        function = function.keywords["real_callable"]  # while torch exports, it has others in the place of max and min
    if _is_hashable(function) and function in SPECIAL and function not in _ONE_BY_ONE:
        args = tuple(collected(staging, v) for v in args)
    if staging.varied and not _understands(staging, function):
        args = tuple(growing.as_argument(staging, v) for v in args)
        kwargs = {k: growing.as_argument(staging, v) for k, v in kwargs.items()}
    choices = [v for v in (function, *args, *kwargs.values()) if isinstance(v, Choice)]
    if choices and not _understands(staging, function):
        return _distributed(staging, function, args, kwargs)
    return _plain(staging, function, args, kwargs)


_ONE_BY_ONE = frozenset({enumerate, isinstance, type, print, torch.is_tensor})
"""Functions that take a generator as it is."""


def _understands(staging: DataStaging, function: Any) -> bool:
    """Whether choices among the arguments are for the function itself to handle: those of the user's, and `append`."""
    if isinstance(function, (types.FunctionType, types.MethodType)):
        return is_rewritable(function)
    if isinstance(function, nn.Module):
        return is_rewritable(function.forward)
    if isinstance(function, types.BuiltinMethodType):
        return isinstance(function.__self__, (list, dict, set))
    return isinstance(function, type) and isinstance(function.__init__, types.FunctionType)  # type: ignore[misc]


def _distributed(staging: DataStaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    names = list(kwargs)

    def plainly(inner: Any, *values: Any) -> Any:
        return call(staging, inner, values[: len(args)], dict(zip(names, values[len(args) :], strict=True)))

    return each_alternative(staging, plainly, function, *args, *kwargs.values())


def _plain(staging: DataStaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if isinstance(function, types.MethodType) and isinstance(function.__func__, types.FunctionType):
        if isinstance(function.__self__, torch.Tensor) and function.__name__ in METHODS:  # a method of fake tensors only
            return _tensor_method(staging, function.__self__, function, args, kwargs)
        return _plain(staging, function.__func__, (function.__self__, *args), kwargs)
    if isinstance(function, functools.partial):
        return call(staging, function.func, (*function.args, *args), {**function.keywords, **kwargs})
    if isinstance(function, types.FunctionType):
        return _function(staging, function, args, kwargs)
    if isinstance(function, nn.Module):
        return _module(staging, function, args, kwargs)
    owner = getattr(function, "__self__", None)
    if isinstance(owner, torch.Tensor):
        return _tensor_method(staging, owner, function, args, kwargs)
    if isinstance(owner, (list, dict, set)) and isinstance(function, types.BuiltinMethodType):
        return _container_method(staging, owner, function, args, kwargs)
    if isinstance(function, types.WrapperDescriptorType) and args and function.__name__ in _STORES:
        return _STORES[function.__name__](staging, *args)
    if isinstance(function, types.MethodWrapperType) and function.__name__ in _STORES:
        return _STORES[function.__name__](staging, owner, *args)
    if isinstance(function, types.MethodDescriptorType) and args and isinstance(args[0], (list, dict, set)):
        return call(staging, function.__get__(args[0]), args[1:], kwargs)
    if isinstance(owner, Scalar):
        return function(*args, **kwargs)
    special = SPECIAL.get(function) if _is_hashable(function) else None
    if special is not None:
        made = special(staging, *args, **kwargs)
        if made is not NotImplemented:
            return _noted(staging, made)
    if isinstance(owner, str) and getattr(function, "__name__", "") == "format" and _is_symbolic((args, kwargs)):
        return format_method(staging, owner, args, kwargs)
    for value in (*args, *kwargs.values()):
        if isinstance(value, Text):
            return staging.text(value)
    if any(isinstance(v, growing.Rows) for v in (*args, *kwargs.values())):
        raise staging.refused(
            f"`{getattr(function, '__name__', function)}` of a list of which only the call decides how long it is",
            "there is no rule for it",
            "write a loop over the list, or use torch.stack of it",
        )
    if isinstance(function, type):
        return _construct(staging, function, args, kwargs)
    wrapped = getattr(function, "__wrapped__", None)
    if isinstance(wrapped, types.FunctionType) and is_rewritable(wrapped):  # functools.cache
        return _function(staging, wrapped, args, kwargs)
    own = getattr(type(function), "__call__", None)  # noqa: B004
    if isinstance(own, types.FunctionType) and is_rewritable(own):
        return _function(staging, own, (function, *args), kwargs)
    if _is_symbolic((args, kwargs)):
        return torch_calls.computed(staging, torch_calls.torch_call(staging, function, args, kwargs))
    return _noted(staging, function(*args, **kwargs))


def store_own(staging: DataStaging, owner: Any, name: str, value: Any) -> None:
    """`object.__setattr__`, also behind a `__setattr__` of the user's."""
    found = getattr(type(owner), name, None)
    if isinstance(owner, nn.Module):
        staging.store_attribute(owner, name, value)
    elif isinstance(found, property) and isinstance(found.fset, types.FunctionType):
        staging.call(found.fset, owner, value)
    else:
        staging.touch(AttributeOf(owner, name))
        object.__setattr__(owner, name, value)


_STORES: dict[str, Callable[..., Any]] = {
    "__setattr__": store_own,
    "__setitem__": lambda staging, owner, key, value: staging.store_item(owner, key, value),
    "__delitem__": lambda staging, owner, key: staging.delete_item(owner, key),
}
"""What Python's own methods for these do, when they are called by name."""


def _is_hashable(function: Any) -> bool:
    kinds = (types.BuiltinFunctionType, types.FunctionType, type, types.BuiltinMethodType, types.MethodDescriptorType)
    return isinstance(function, kinds)


def _noted(staging: DataStaging, result: Any) -> Any:
    _own(staging, result)
    torch_calls.note(staging, result)
    return torch_calls.computed(staging, result)


def _own(staging: DataStaging, result: Any) -> None:
    """Containers that a function has made."""
    if isinstance(result, (list, dict, set)) and not staging.is_own(result):
        staging.fresh(result)
    if isinstance(result, (list, tuple, dict)):
        for value in result.values() if isinstance(result, dict) else result:
            if isinstance(value, (list, dict, tuple)):
                _own(staging, value)


def _is_symbolic(tree: Any) -> bool:
    work = [tree]
    while work:
        value = work.pop()
        if isinstance(value, (Scalar, Choice, growing.Rows)):
            return True
        if isinstance(value, (list, tuple)):
            work.extend(value)
        elif isinstance(value, dict):
            work.extend(value.values())
        elif isinstance(value, slice):
            work.extend((value.start, value.stop, value.step))
    return False


# -- the user's functions --------------------------------------------------------------------------------------------------


def is_rewritable(function: Any) -> bool:
    """Whether a function is one of the user's, or of a library that is not torch, Python's or Bough's."""
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if not isinstance(code, types.CodeType) or code.co_flags & _COROUTINES:
        return False
    if is_rewritten(function):
        return True
    module = (getattr(function, "__module__", None) or "").split(".")
    if module[:3] == ["torch", "nn", "modules"] and module[-1] == "container":
        return True
    return not is_internal(code.co_filename) and module[0] not in _LIBRARIES


_LIBRARIES = frozenset(sys.stdlib_module_names) - {"__main__"} | {"torch", "numpy"} - {"this"}


def _function(staging: DataStaging, function: types.FunctionType, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    special = SPECIAL.get(function)
    if special is not None and (made := special(staging, *args, **kwargs)) is not NotImplemented:
        return _noted(staging, made)
    new = rewrite(function, staging) if is_rewritable(function) else None
    if new is not None:
        made = _rewritten(staging, function, new, args, kwargs)
        if isinstance(made, Generated) and function.__code__.co_flags & inspect.CO_GENERATOR:
            made.native = lambda: function(*args, **kwargs)
        return made
    wrapped = getattr(function, "__wrapped__", None)
    if wrapped is not None and is_rewritable(wrapped) and not _transforms(function):  # a wrapper of torch's, such as no_grad
        return call(staging, wrapped, args, kwargs)
    if _is_symbolic((args, kwargs)):
        return torch_calls.computed(staging, torch_calls.torch_call(staging, function, args, kwargs))
    return _noted(staging, function(*args, **kwargs))


def _transforms(function: types.FunctionType) -> bool:
    """Whether a wrapper computes something else than what it wraps, as those of `torch.func` do."""
    return str(function.__globals__.get("__name__")).startswith("torch._functorch")


def _rewritten(
    staging: DataStaging, function: types.FunctionType, new: types.FunctionType, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """A call of a function of the user's, in its rewritten form."""
    for cell in staging.cells_of(new):
        if cell.name not in ("__class__", "__staging__"):
            staging.touch(cell)
    if staging.stays is None or not staging.frames:
        return staging.in_frame(new, args, kwargs)
    made = host_functions.called(staging, staging.stays, function, args, kwargs)
    if made is not NotImplemented:
        return made
    try:
        return staging.in_frame(new, args, kwargs)
    except Exception as error:
        raise host_functions.needed(staging, function, args, kwargs, error) from None


def _module(staging: DataStaging, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    forward = module.forward
    if not is_rewritable(forward):
        if not any(is_rewritable(m.forward) for m in module.modules()):
            return _noted(staging, module(*args, **kwargs))
        return _noted(staging, _with_staged_children(staging, module, args, kwargs))
    for hook in module._forward_pre_hooks.values():
        changed = staging.call(hook, module, args)
        args = args if changed is None else changed if isinstance(changed, tuple) else (changed,)
    result = staging.call(forward, *args, **kwargs)
    for hook in module._forward_hooks.values():
        changed = staging.call(hook, module, args, result)
        result = result if changed is None else changed
    return result


def _with_staged_children(staging: DataStaging, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A module of torch's that calls modules of the user's."""
    mine = [m for m in module.modules() if m is not module and is_rewritable(m.forward)]
    before = [m.__dict__.get("forward") for m in mine]
    for m in mine:
        forward = m.forward
        m.__dict__["forward"] = lambda *a, forward=forward, **k: staging.call(forward, *a, **k)
    try:
        return module(*args, **kwargs)
    finally:
        for m, own in zip(mine, before, strict=True):
            if own is None:
                del m.__dict__["forward"]
            else:
                m.__dict__["forward"] = own


def _construct(staging: DataStaging, cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    staging.special.follow(cls, is_rewritable)
    init, new = cls.__init__, vars(cls).get("__new__", getattr(cls, "__new__", None))  # type: ignore[misc]
    if new is not object.__new__ or not isinstance(init, types.FunctionType) or not is_rewritable(init):
        return _noted(staging, staging.fresh(cls(*args, **kwargs)))
    made: Any = staging.fresh(object.__new__(cls))
    if init.__code__.co_filename.startswith("<"):  # of a dataclass
        init(made, *args, **kwargs)
    else:
        call(staging, init, (made, *args), kwargs)
    return made


# -- methods of tensors and containers -------------------------------------------------------------------------------------


def _tensor_method(staging: DataStaging, owner: torch.Tensor, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    name = method.__name__
    special = METHODS.get(name)
    if special is not None:
        made = special(staging, owner, *args, **kwargs)
        if made is not NotImplemented:
            return made
    if _is_symbolic((args, kwargs)):
        unbound = getattr(torch.Tensor, name)
        return torch_calls.computed(staging, torch_calls.torch_call(staging, unbound, (owner, *args), kwargs))
    return _noted(staging, method(*args, **kwargs))


def _extend(staging: DataStaging, owner: list[Any], content: Any) -> None:
    """`known.extend(computed)`."""
    place = Content(owner, staging.varied)
    staging.touch(place)
    if isinstance(content, growing.Rows):
        place.write(growing.rows(staging, owner, content).joined(content))
        return
    each_alternative(staging, lambda c: staging.call(owner.extend, growing.as_argument(staging, c)), content)


def _is_computed(tree: Any) -> bool:
    return _is_symbolic(tree) or any(True for _ in tensors_in(tree))


def _index(staging: DataStaging, owner: list[Any], value: Any) -> Any:
    """`known.index(computed)`."""
    tests = [True if v is value else staging.truth(v == value) for v in owner]
    found = position(staging, tests, len(tests))
    staging.check_that(found < len(tests), "ValueError", "a computed value is not in list")
    return found


_CHANGES = frozenset(
    "append extend insert add update pop popitem clear remove sort reverse setdefault discard __setitem__ __delitem__".split()
)


def _container_method(staging: DataStaging, owner: Any, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    name = method.__name__
    if staging.varied_content(owner) is not None:
        return growing.method(staging, owner, name, args, kwargs)
    if name == "extend" and (content := staging.varied_content(args[0])) is not None:
        return _extend(staging, owner, content)
    if isinstance(owner, dict) and name in ("get", "pop", "setdefault") and args and _is_symbolic(args[0]):
        raise staging.refused(f"`{name}` of a dictionary is asked for a computed key", "keys must be known", "use `if`")
    if isinstance(owner, list) and name == "index" and len(args) == 1 and _is_computed((owner, args)):
        return _index(staging, owner, settled(args[0]))
    if isinstance(owner, list) and name in ("index", "count", "remove") and _is_computed((owner, args)):
        raise staging.refused(f"`{name}` of a list searches for a computed value", "there is no rule for it", "write a loop")
    if isinstance(owner, list) and name in ("pop", "insert") and args and _is_symbolic(args[0]):
        raise staging.refused(f"`{name}` of a list at a computed position", "there is no rule for it", "use a tensor")
    if name in _CHANGES:
        staging.touch(Content(owner, staging.varied))
    return _noted(staging, method(*args, **kwargs))
