"""What a mask selects: its places, whose number is computed (`nonzero`, `torch.where` of a condition alone, `x[mask]`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bough.frontends import markers


def select(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of a function of torch's that selects by a mask; NotImplemented for other functions."""
    rule = _RULES.get(getattr(function, "__name__", ""))
    return NotImplemented if rule is None or not args else rule(*args, **kwargs)


def places(mask: Tensor) -> Tensor:
    """The places of the true elements of a mask of rank 1, in order."""
    count = mask.shape[0]
    behind = torch.where(mask, mask.cumsum(0) - 1, count)  # one more than there can be: where all that is false goes
    found = torch.zeros(count + 1, dtype=torch.int64).scatter(0, behind, torch.arange(count))
    return markers.narrow(found, 0, 0, markers.size(mask.sum(), high=count))


def _columns(x: Tensor) -> tuple[Tensor, ...]:
    """An index for each axis of what is not zero."""
    mask = x if x.dtype is torch.bool else x != 0
    left = places(mask.flatten() if mask.dim() else mask.reshape(1))
    columns: list[Tensor] = []
    for size in reversed(mask.shape):
        columns.insert(0, left % size)
        left = left // size
    return tuple(columns)


def _nonzero(x: Tensor, as_tuple: bool = False) -> Any:
    if as_tuple:
        return _columns(x if x.dim() else x.reshape(1))
    columns = _columns(x)
    if columns:
        return torch.stack(columns, dim=1)
    return places((x != 0).reshape(1)).reshape(-1, 1)[:, :0]


def _where(condition: Any, *others: Any, **named: Any) -> Any:
    return NotImplemented if others or named else _nonzero(condition, as_tuple=True)


def _masked_select(x: Tensor, mask: Tensor) -> Tensor:
    x, mask = torch.broadcast_tensors(x, mask)  # type: ignore[no-untyped-call]
    return x.flatten()[places(mask.flatten())]


def _get(x: Tensor, index: Any) -> Any:
    found = _without_masks(index)
    return NotImplemented if found is None else x[found]


def _set(x: Tensor, index: Any, value: Any) -> Any:
    found = _without_masks(index)
    if found is None or not isinstance(value, Tensor) or value.dim() == 0:
        return NotImplemented  # which stays a choice for each element
    x[found] = value
    return None


def _without_masks(index: Any) -> tuple[Any, ...] | None:
    """An index with the places that its masks select; None where it has none."""
    parts = index if isinstance(index, tuple) else (index,)
    if not any(_is_mask(part) for part in parts):
        return None
    return tuple(p for part in parts for p in (_columns(part) if _is_mask(part) else (part,)))


def _is_mask(part: Any) -> bool:
    return isinstance(part, Tensor) and part.dtype is torch.bool and part.dim() > 0


_RULES: dict[str, Callable[..., Any]] = {
    "where": _where, "nonzero": _nonzero, "argwhere": _nonzero, "masked_select": _masked_select, "__getitem__": _get,
    "__setitem__": _set,
}  # fmt: skip
