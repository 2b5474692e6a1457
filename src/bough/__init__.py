"""Bough: a deep-learning compiler. `compile` turns a PyTorch module into native code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bough.base.errors import BoughError, CompileError, InputError, InternalError

if TYPE_CHECKING:
    from bough.pipeline import Compiled, compile

__version__ = "0.1.0"
__all__ = ["BoughError", "CompileError", "Compiled", "InputError", "InternalError", "compile"]


def __getattr__(name: str) -> Any:
    """The compiler needs torch, calling compiled code does not: it is imported when first asked for."""
    if name in ("compile", "Compiled"):
        from bough import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'bough' has no attribute {name!r}")
