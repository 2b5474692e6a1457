"""`tensor[key] = value` at positions and slices that only the call knows: a choice for each element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from bough.frontends import markers
from bough.frontends.staging import data_items, torch_calls
from bough.frontends.staging.choices import Choice, each_alternative
from bough.frontends.staging.scalars import Scalar

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging


def write(staging: DataStaging, owner: torch.Tensor, key: Any, value: Any) -> None:
    """`owner[key] = value` of a tensor, where anything may be computed. Writes in place what `owner` is."""
    if isinstance(value, Choice):
        each_alternative(staging, lambda v: write(staging, owner, key, v), value)
        return
    keys = key if isinstance(key, tuple) else (key,)
    if isinstance(value, Scalar):
        value = value.tensor.to(owner.dtype)
    grown = any(map(markers.is_computed, owner.shape)) and any(isinstance(k, slice) for k in keys)
    if not any(map(data_items.is_computed, keys)) and not grown:
        owner[key] = value
        return
    keys = data_items.without_ellipsis(owner, keys)
    if any(k is None or not (isinstance(k, (int, slice)) or data_items.is_computed(k)) for k in keys):
        raise staging.refused(
            "a tensor is assigned at a computed position beside a mask or a list",
            "there is no rule for it",
            "assign at the position first, and through the mask in a statement of its own",
        )
    here = torch.ones((), dtype=torch.bool)
    new = _of_all_axes(torch.as_tensor(value, dtype=owner.dtype), owner, keys)
    for axis, k in enumerate(keys):
        if isinstance(k, slice):
            if k != slice(None):
                here, new = _in_slice(staging, owner, axis, k, here, new)
        else:
            here = torch.logical_and(here, _at(staging, owner, axis, k))
    staging.aliases.overwrite(owner, torch.where(here, new, owner))


def _of_all_axes(value: torch.Tensor, owner: torch.Tensor, keys: tuple[Any, ...]) -> torch.Tensor:
    """The value with all axes of the owner: of size 1 where a position is meant, and where it has none of its own."""
    positions = [axis for axis, k in enumerate(keys) if not isinstance(k, slice)]
    kept = owner.dim() - len(positions)
    while value.dim() > kept and value.shape[0] == 1:
        value = value.squeeze(0)
    value = value.reshape([1] * (kept - value.dim()) + list(value.shape))
    for axis in positions:
        value = value.unsqueeze(axis)
    return value


def _along(owner: torch.Tensor, axis: int) -> torch.Tensor:
    """The positions along an axis."""
    return torch.arange(owner.shape[axis]).reshape([-1 if n == axis else 1 for n in range(owner.dim())])


def _at(staging: DataStaging, owner: torch.Tensor, axis: int, key: Any) -> torch.Tensor:
    """Where along an axis a position is meant."""
    if isinstance(key, int):
        key = Scalar(staging, torch.full((), key, dtype=torch.int64))
    number = torch_calls.number_of(staging, key) if isinstance(key, torch.Tensor) else key
    message = f"index is out of bounds for dimension {axis}"
    return _along(owner, axis) == data_items.checked(staging, number, owner.shape[axis], message).tensor


def _in_slice(
    staging: DataStaging, owner: torch.Tensor, axis: int, key: slice, here: torch.Tensor, new: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The elements that are meant, as far as one axis tells, and the value with its rows where they belong."""
    size = owner.shape[axis]
    start, length = data_items.known_bounds(size, key) or data_items.bounds(staging, size, key)
    offset = _along(owner, axis) - _number(start)
    here = torch.logical_and(here, torch.logical_and(offset >= 0, offset < _number(length)))
    rows = new.shape[axis]
    if type(rows) is int and rows == 1:
        return here, new
    fits = Scalar(staging, _number(rows) == _number(length))
    staging.check_that(fits, "RuntimeError", "the value has another length than the slice that it is assigned to")
    spare = new.new_zeros([1 if n == axis else s for n, s in enumerate(new.shape)])  # an index into no rows needs one
    places = torch.minimum(torch.clamp(offset.flatten(), min=0), _number(rows))
    return here, torch.cat([new, spare], axis).index_select(axis, places)


def _number(size: Any) -> torch.Tensor:
    return markers.scalar(size) if isinstance(size, torch.SymInt) else torch.full((), size, dtype=torch.int64)
