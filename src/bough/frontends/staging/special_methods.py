"""Special methods of the user's classes that Python calls by itself, such as `__iadd__` and `__enter__`.

While a module is traced, the classes hold others in their place, which run them rewritten: what they change would be missed.
"""

from __future__ import annotations

import enum
import functools
import inspect
import threading
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_FOUND_BY_STAGING = frozenset({"__bool__", "__len__", "__iter__", "__getitem__", "__setitem__", "__call__"})
_OF_CLASSES = frozenset(
    "__init__ __new__ __init_subclass__ __class_getitem__ __set_name__ __getattribute__ __del__ __repr__ __hash__ __reduce__ "
    "__reduce_ex__ __getstate__ __setstate__ __sizeof__ __dir__".split()
)
_LEFT_ALONE = (nn.Module, torch.Tensor, BaseException, type, enum.Enum)


class SpecialMethods:
    """`call(method, *args)` runs a method rewritten; only in the thread that has made this. `restore` ends it."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call
        self.thread = threading.get_ident()
        self.known: set[type] = set()
        self.replaced: list[tuple[type, str, types.FunctionType]] = []

    def follow(self, cls: type, is_rewritable: Callable[[Any], bool]) -> None:
        """From now on, those of a class and of its bases."""
        if cls in self.known:
            return
        for base in cls.__mro__:
            if base not in self.known:
                self.known.add(base)
                if base.__module__ != "builtins" and not issubclass(base, _LEFT_ALONE):
                    self._replace(base, is_rewritable)

    def restore(self) -> None:
        for cls, name, method in self.replaced:
            setattr(cls, name, method)
        self.replaced.clear()

    def _replace(self, cls: type, is_rewritable: Callable[[Any], bool]) -> None:
        for name, method in list(vars(cls).items()):
            special = name.startswith("__") and name.endswith("__") and name not in _FOUND_BY_STAGING | _OF_CLASSES
            if not special or not isinstance(method, types.FunctionType) or inspect.isgeneratorfunction(method):
                continue
            if is_rewritable(method):
                self.replaced.append((cls, name, method))
                setattr(cls, name, self._in_place_of(method))

    def _in_place_of(self, method: types.FunctionType) -> Callable[..., Any]:
        @functools.wraps(method)
        def run(*args: Any, **kwargs: Any) -> Any:
            return (self.call if threading.get_ident() == self.thread else _plainly)(method, *args, **kwargs)

        return run


def _plainly(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return method(*args, **kwargs)
