"""Payloads that are objects (arrays, tensors, numbers of libraries) as one array."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import numpy as np

from bough.base.errors import InputError
from bough.base.reading import payload as read_payload
from bough.base.visits import Payload
from bough.runtime.arrays import NUMPY, Array, address, torch, torch_dtype

_DTYPE, _SHAPE = attrgetter("dtype"), attrgetter("shape")


@dataclass(frozen=True, slots=True)
class Stacked:
    """Contiguous elements at `pointer`, alive as long as `owner`."""

    pointer: int
    owner: Any


def stack(values: list[Any], payload: Payload) -> Stacked | None:
    """The values one after another; None where one of them is not of the payload's element type and shape."""
    found = _stack_alike(values, payload)
    if found is not None and payload.range is not None and 0 not in payload.shape:
        low, high = payload.range
        if found.owner.min() < low or found.owner.max() > high:
            return None
    return found or _stack_any(values, payload)


def _stack_alike(values: list[Any], payload: Payload) -> Stacked | None:
    """Arrays, or tensors, of the payload's element type and shape."""
    kinds, module = set(map(type, values)), torch()
    if kinds == {np.ndarray} and payload.shape:
        return _stack_arrays(values, payload)
    if module is not None and kinds and kinds <= {module.Tensor, module.nn.Parameter}:
        return _stack_tensors(values, payload, module)
    return None


def take(column: Array, rows: Array) -> Stacked:
    """Some rows of a column."""
    taken = np.take(column, rows, axis=0)
    return Stacked(address(taken), taken)


def _stack_arrays(values: list[Any], payload: Payload) -> Stacked | None:
    if set(map(_DTYPE, values)) != {NUMPY[payload.dtype]} or set(map(_SHAPE, values)) != {payload.shape}:
        return None
    stacked = np.concatenate(values) if len(values) > 1 else np.require(values[0], requirements=["C", "A"])
    return Stacked(address(stacked), stacked)


def _stack_tensors(values: list[Any], payload: Payload, module: Any) -> Stacked | None:
    if set(map(_DTYPE, values)) != {torch_dtype(payload.dtype)}:
        return None
    try:
        stacked = module.stack(values).detach() if len(values) > 1 else values[0].detach().resolve_neg().contiguous()[None]
    except RuntimeError:
        return None  # shapes, devices or layouts differ
    if stacked.shape[1:] != payload.shape or not stacked.is_cpu or stacked.layout is not module.strided:
        return None
    return Stacked(stacked.data_ptr(), stacked)


def _stack_any(values: list[Any], payload: Payload) -> Stacked | None:
    held, itself = NUMPY[payload.dtype], replace(payload, path=())
    table = np.empty((len(values), *payload.shape), held)
    try:
        for row, value in enumerate(values):
            table[row] = read_payload(value, itself, held)
    except InputError:
        return None
    return Stacked(address(table), table)
