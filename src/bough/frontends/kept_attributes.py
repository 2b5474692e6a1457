"""Modules are as they were once they have been traced: what `forward` sets would be tensors of the trace."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from torch import nn

_TABLES = ("_parameters", "_buffers", "_modules")
Attributes = dict[str, Any]


class KeptAttributes:
    """While active, a module and those in it may set attributes; then they have those from before again."""

    def __init__(self, module: Callable[..., Any]) -> None:
        modules = module.modules() if isinstance(module, nn.Module) else ()
        self.before = [(table, dict(table)) for m in modules for table in _tables(m)]

    def differ(self) -> bool:
        """Whether there are others now."""
        return any(table.keys() != b.keys() or any(table[k] is not v for k, v in b.items()) for table, b in self.before)

    def __enter__(self) -> KeptAttributes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for table, before in self.before:
            for name in table.keys() - before.keys():
                del table[name]
            table.update(before)


def _tables(module: nn.Module) -> list[Attributes]:
    return [vars(module), *(vars(module)[t] for t in _TABLES if t in vars(module))]
