"""To the user's code, sizes of any value are the numbers that they are in eager mode: `isinstance(x.shape[0], int)` holds.

Python asks an object for its `__class__` where its type alone does not answer. torch, which must tell its symbols from numbers,
asks the same way, so the answer depends on who asks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch

_PLAIN: dict[type, type] = {torch.SymInt: int, torch.SymFloat: float, torch.SymBool: bool}
_OF_TRACING = frozenset({"bough", "copy", "copyreg", "functorch", "numpy", "pickle", "sympy", "torch"})
_IN_BETWEEN = frozenset({"_collections_abc", "abc", "functools", "typing"})
"""Modules that ask in the place of their callers."""


@contextmanager
def sizes_are_numbers() -> Iterator[None]:
    """Meanwhile symbolic numbers are of Python's classes to all code but that which traces. Nests."""
    if "__getattribute__" in vars(torch.SymInt):
        yield
        return
    for symbolic, plain in _PLAIN.items():
        symbolic.__getattribute__ = _with_class(plain)  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        for symbolic in _PLAIN:
            del symbolic.__getattribute__


def _with_class(plain: type) -> Callable[[object, str], Any]:
    found = object.__getattribute__

    def attribute(value: object, name: str) -> Any:
        return plain if name == "__class__" and not _traces(sys._getframe(1)) else found(value, name)

    return attribute


def _traces(frame: FrameType | None) -> bool:
    """Whether the code that asks belongs to what traces."""
    while frame is not None and (module := _module(frame)) in _IN_BETWEEN:
        frame = frame.f_back
    return frame is None or module in _OF_TRACING


def _module(frame: FrameType) -> str:
    """The outermost package of the code that runs."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
