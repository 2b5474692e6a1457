"""Functions that are made of parts of host functions, and the modules they stand in: what LLVM compiles side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from llvmlite import ir

from bough.codegen import llvm_types as t

FULL = 4000
"""Instructions of a module that takes no further parts. The same functions give the same modules, on any machine."""


def new_module() -> Any:
    """An empty module with types of its own."""
    return ir.Module("bough", context=ir.Context())


@dataclass(slots=True)
class Parts:
    """The parts of the functions of `host`, known by what they do. The first stand in `host` itself, further ones in modules that
    are given to `done` when they are full; without `done`, all stand in `host`."""

    host: Any
    done: Callable[[Any], None] | None = None
    known: dict[object, Any] = field(default_factory=dict)
    module: Any = None
    """The module that takes parts now, where it is not `host`."""
    instructions: int = 0
    """How many the parts in it have."""

    def make(self, name: str, emit: Callable[[Any], None], calls: bool) -> Any:
        """The function `void(ptr frame, i64 number)` as `host` sees it, after `emit(function)` has emitted it. One that `calls`
        further parts stands in `host`, as these may be anywhere."""
        kind = ir.FunctionType(t.VOID, [t.POINTER, t.INT64])
        unique = self.host.get_unique_name(f"{name}.phase{len(self.known) + 1}")
        seen = ir.Function(self.host, kind, unique)
        function = seen if self.module is None or calls else ir.Function(self.module, kind, unique)
        seen.linkage = function.linkage = "internal" if function is seen else "hidden"
        emit(function)
        if calls:
            return seen
        self.instructions += sum(len(block.instructions) for block in function.blocks)
        if self.done is not None and self.instructions >= FULL:
            self.flush()
            self.module, self.instructions = new_module(), 0
        return seen

    def flush(self) -> None:
        """Gives the module that has taken parts to `done`."""
        if self.done is not None and self.module is not None and self.instructions:
            self.done(self.module)
