"""What a function returns, as a nesting with numbered tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bough.frontends.structure import Slot


@dataclass(frozen=True, slots=True)
class Template:
    """`tree`: tuples, lists, dictionaries, named tuples and dataclasses; leaves are Slots or stand for themselves."""

    tree: Any

    def fill(self, tensors: Sequence[Any], number: Callable[[Any], Any]) -> Any:
        """The nesting with tensors in it; slots marked as numbers become `number(tensor)`."""
        return rebuild(
            self.tree, lambda v: (number(tensors[v.index]) if v.number else tensors[v.index]) if isinstance(v, Slot) else v
        )


@dataclass(frozen=True, slots=True)
class Listed:
    """In the nesting of a result: the tensors collected in list `list`, as a Python list or, `stacked`, as one tensor. With
    `result`, instead of each element of the list its row of that result of the entry."""

    list: int
    stacked: bool = False
    result: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RowOfList:
    """In the nesting of a result, before it is flattened: a tensor with a row for each element of a list."""

    list: int
    tensor: torch.Tensor
    stacked: bool


def flatten(value: Any, leaf: Callable[[Any], Any]) -> tuple[Template, tuple[torch.Tensor, ...]]:
    """The nesting of a result and its tensors. `leaf` gives, for what is neither a nesting nor a tensor, a tensor or itself."""
    tensors: list[torch.Tensor] = []

    def slot(v: Any) -> Any:
        if isinstance(v, RowOfList):
            tensors.append(v.tensor)
            return Listed(v.list, v.stacked, len(tensors) - 1)
        made = v if isinstance(v, torch.Tensor) else leaf(v)
        if not isinstance(made, torch.Tensor):
            return made
        tensors.append(made)
        return Slot(len(tensors) - 1, number=made is not v)

    return Template(rebuild(value, slot)), tuple(tensors)


def rebuild(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """The same nesting, of the same classes, with `leaf(v)` for every leaf."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(rebuild(v, leaf) for v in value))
    if isinstance(value, (tuple, list)) and type(value) in (tuple, list):
        return type(value)(rebuild(v, leaf) for v in value)
    if type(value) is dict:
        return {k: rebuild(v, leaf) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and not type(value).__module__.startswith("bough."):
        fields = {f.name: rebuild(getattr(value, f.name), leaf) for f in dataclasses.fields(value) if f.init}
        return dataclasses.replace(value, **fields)
    return leaf(value)
