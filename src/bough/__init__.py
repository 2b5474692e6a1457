"""Bough: a deep-learning compiler. `compile` turns a PyTorch module into native code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bough.base.errors import BoughError, CompileError, InputError, InternalError
from bough.base.garbage import old_objects_at_rest
from bough.base.structure import structure
from bough.base.version import __version__

if TYPE_CHECKING:
    from bough.ir.program import Dim
    from bough.pipeline import Compiled, compile
    from bough.runtime.artefact import load
    from bough.runtime.forest import Forest, Lists

__all__ = [
    "BoughError", "CompileError", "Compiled", "Dim", "Forest", "InputError", "InternalError", "Lists", "__version__", "compile",
    "load", "structure",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """The compiler needs torch, calling compiled code does not: it is imported when first asked for."""
    if name in ("compile", "Compiled"):
        with old_objects_at_rest():
            from bough import pipeline
        return getattr(pipeline, name)
    if name == "Dim":
        from bough.ir.program import Dim

        return Dim
    if name in ("Forest", "Lists"):
        from bough.runtime import forest

        return getattr(forest, name)
    if name == "load":
        from bough.runtime.artefact import load

        return load
    raise AttributeError(f"module 'bough' has no attribute {name!r}")
