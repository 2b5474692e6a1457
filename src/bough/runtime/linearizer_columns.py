"""Payloads that are objects (arrays, tensors, numbers of libraries) as one array."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bough.base.errors import InputError
from bough.base.reading import payload as read_payload
from bough.base.visits import Payload
from bough.runtime.arrays import NUMPY, Array, address, torch, torch_dtype


@dataclass(frozen=True, slots=True)
class Stacked:
    """Contiguous elements at `pointer`, alive as long as `owner`."""

    pointer: int
    owner: Any


def stack(values: list[Any], payload: Payload) -> Stacked | None:
    """The values one after another; None where one of them is not of the payload's element type and shape."""
    if values and payload.shape and type(values[0]) is np.ndarray:
        return _stack_arrays(values, payload) or _stack_any(values, payload)
    module = torch()
    if values and module is not None and type(values[0]) is module.Tensor:
        return _stack_tensors(values, payload, module) or _stack_any(values, payload)
    return _stack_any(values, payload)


def take(column: Array, rows: Array) -> Stacked:
    """Some rows of a column."""
    taken = np.take(column, rows, axis=0)
    return Stacked(address(taken), taken)


def _stack_arrays(values: list[Any], payload: Payload) -> Stacked | None:
    dtype, shape = NUMPY[payload.dtype], payload.shape
    if not all(type(v) is np.ndarray and v.dtype == dtype and v.shape == shape for v in values):
        return None
    stacked = np.concatenate(values) if len(values) > 1 else np.require(values[0], requirements=["C", "A"])
    return Stacked(address(stacked), stacked)


def _stack_tensors(values: list[Any], payload: Payload, module: Any) -> Stacked | None:
    tensor, dtype, shape = module.Tensor, torch_dtype(payload.dtype), payload.shape
    if not all(type(v) is tensor and v.dtype is dtype and v.shape == shape and v.is_cpu for v in values):
        return None
    if any(v.layout is not module.strided for v in values):
        return None
    stacked = module.stack(values).detach() if len(values) > 1 else values[0].detach().resolve_neg().contiguous()
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
