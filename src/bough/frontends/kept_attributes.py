"""Modules are as they were once they have been traced: what `forward` sets would be tensors of the trace."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from torch import nn

_TABLES = ("_parameters", "_buffers", "_modules")
Attributes = dict[str, Any]


class KeptAttributes:
    """While active, a module and those in it may set attributes and fill lists and dictionaries; then all is as before again."""

    def __init__(self, module: Callable[..., Any]) -> None:
        modules = module.modules() if isinstance(module, nn.Module) else ()
        self.before = [(table, dict(table)) for m in modules for table in _tables(m)]
        held = {id(v): v for _, table in self.before for v in table.values()}
        tables = {id(table) for table, _ in self.before}
        self.before += [(v, dict(v)) for v in held.values() if type(v) is dict and id(v) not in tables]
        self.lists = [(v, list(v)) for v in held.values() if type(v) is list]

    def differ(self) -> bool:
        """Whether there are others now."""
        return any(table.keys() != b.keys() or any(table[k] is not v for k, v in b.items()) for table, b in self.before) or any(
            len(now) != len(b) or any(x is not y for x, y in zip(now, b, strict=True)) for now, b in self.lists
        )

    def __enter__(self) -> KeptAttributes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for table, before in self.before:
            for name in table.keys() - before.keys():
                del table[name]
            table.update(before)
        for held, items in self.lists:
            held[:] = items


def _tables(module: nn.Module) -> list[Attributes]:
    return [vars(module), *(vars(module)[t] for t in _TABLES if t in vars(module))]
