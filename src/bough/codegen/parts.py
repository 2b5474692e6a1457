"""Functions that are made of parts of host functions, and the modules they stand in: what LLVM compiles side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from llvmlite import ir

from bough.codegen import llvm_types as t

FULL = 2000
"""Instructions of a module that takes no further parts. The same functions give the same modules, on any machine."""


def new_module() -> Any:
    """An empty module with types of its own."""
    return ir.Module("bough", context=ir.Context())


@dataclass(slots=True)
class Parts:
    """The parts of the functions of `host`, known by what they do. They stand in modules that are given to `done` when they are
    full; without `done`, in `host` itself."""

    host: Any
    done: Callable[[Any], None] | None = None
    known: dict[object, Any] = field(default_factory=dict)
    module: Any = None
    """The module that takes parts now."""
    instructions: int = 0
    """How many the parts in it have."""

    def make(self, name: str, emit: Callable[[Any], None], calls: bool) -> Any:
        """The function `void(ptr frame, i64 number)` as `host` sees it, after `emit(function)` has emitted it. One that `calls`
        further parts stands in `host`, as these may be anywhere."""
        kind = ir.FunctionType(t.VOID, [t.POINTER, t.INT64])
        unique = self.host.get_unique_name(f"{name}.phase{len(self.known) + 1}")
        seen = ir.Function(self.host, kind, unique)
        if self.done is None or calls:
            seen.linkage = "internal"
            emit(seen)
            return seen
        self.module = self.module or new_module()
        function = ir.Function(self.module, kind, unique)
        seen.linkage = function.linkage = "hidden"
        emit(function)
        self.instructions += sum(len(block.instructions) for block in function.blocks)
        if self.instructions >= FULL:
            self.flush()
        return seen

    def flush(self) -> None:
        """Gives the module that has taken parts to `done`."""
        if self.done is not None and self.module is not None:
            self.done(self.module)
        self.module, self.instructions = None, 0
