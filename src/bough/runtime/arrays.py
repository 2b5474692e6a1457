"""NumPy arrays and torch tensors as the runtime sees them. Torch is never imported here, only found where a program has it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
ALIGNMENT = 64
FIRST_BLOCK, BLOCK = 1 << 18, 1 << 25
"""Bytes of the smallest and of the largest block of small arrays. NumPy asks for large pages from 4 MB on; these have 2 MB each,
which would be wasted on a small model."""

# bf16 has no NumPy type: its bit patterns are held as uint16.
NUMPY: dict[str, np.dtype[Any]] = {
    name: np.dtype(held)
    for name, held in {
        "f64": "f8", "f32": "f4", "f16": "f2", "bf16": "u2", "i64": "i8",
        "i32": "i4", "i16": "i2", "i8": "i1", "u8": "u1", "bool": "?",
    }.items()
}  # fmt: skip
_TORCH = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "i64": "int64",
    "i32": "int32", "i16": "int16", "i8": "int8", "u8": "uint8", "bool": "bool",
}  # fmt: skip


def torch() -> Any:
    """The torch module if this process has imported it, else None."""
    module = sys.modules.get("torch")
    return module if hasattr(module, "Tensor") else None


def is_torch(value: object) -> bool:
    module = torch()
    return module is not None and isinstance(value, module.Tensor)


def torch_dtype(name: str) -> Any:
    return getattr(torch(), _TORCH[name])


def dtype_name(name: str, of_torch: bool) -> str:
    """The element type's name as users of either library know it."""
    return f"torch.{_TORCH[name]}" if of_torch else NUMPY[name].name


def allocate(size: int) -> Array:
    """Uninitialised bytes that start at a multiple of `ALIGNMENT`."""
    storage = np.empty(size + ALIGNMENT, np.uint8)
    start = -storage.ctypes.data % ALIGNMENT
    return storage[start : start + size]


def zeros(shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
    """Zeros that start at a multiple of `ALIGNMENT`."""
    size = prod(shape) * dtype.itemsize
    storage = np.zeros(size + ALIGNMENT, np.uint8)
    start = -storage.ctypes.data % ALIGNMENT
    return storage[start : start + size].view(dtype).reshape(shape)


class Room:
    """Zeros side by side in blocks so large that the system may give them large pages. Weights that are read once in a call, one
    after the other, take up to half as long again to read from small ones. One thread at a time may ask for some."""

    def __init__(self) -> None:
        self._free = zeros((0,), np.dtype(np.uint8))
        self._taken = 0

    def zeros(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """Zeros that start at a multiple of `ALIGNMENT`; their block lives as long as one of its arrays."""
        size = prod(shape) * dtype.itemsize
        taken = -(-size // ALIGNMENT) * ALIGNMENT
        if taken >= BLOCK:
            return zeros(shape, dtype)
        self._taken += taken
        if taken >= self._free.size:
            self._free = zeros((min(BLOCK, max(FIRST_BLOCK, 4 * self._taken)),), np.dtype(np.uint8))
        mine, self._free = self._free[:size], self._free[taken:]
        return mine.view(dtype).reshape(shape)


def aligned(array: Array) -> Array:
    """The array contiguous and at a multiple of `ALIGNMENT`, read-only; itself where it is so already."""
    if array.flags.c_contiguous and array.ctypes.data % ALIGNMENT == 0:
        view = array.view()
    else:
        view = allocate(array.nbytes).view(array.dtype).reshape(array.shape)
        view[...] = array
    view.flags.writeable = False
    return view


_BYTE = ctypes.c_char.from_buffer
_ADDRESS = ctypes.addressof


def address(array: Array) -> int:
    """Where the array's elements start. Much faster than `array.ctypes.data` for writable arrays."""
    try:
        return _ADDRESS(_BYTE(array))  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):
        return int(array.ctypes.data)


def to_torch(array: Array, name: str) -> Any:
    """A torch tensor of the same memory (a copy where NumPy forbids writing); `name` is its element type."""
    module = torch()
    tensor = module.from_numpy(array if array.flags.writeable else array.copy())
    return tensor.view(module.bfloat16) if name == "bf16" else tensor
