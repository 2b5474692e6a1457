"""Constants in the safetensors format (a JSON header, then the bytes), read without copying.

Source: https://github.com/huggingface/safetensors, "Format". Tensors whose size is a multiple of 64 bytes come first, so that
they start at multiples of 64 within the data and compiled code can use them in place.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import IO

import numpy as np

from bough.runtime.arrays import ALIGNMENT, NUMPY, Array
from bough.runtime.errors import damaged
from bough.runtime.manifest import Tensor

_LONGEST_HEADER = 100_000_000
_NAMES = {name: name.upper() for name in NUMPY}


@dataclass(frozen=True, slots=True)
class Contents:
    """A file of arrays: its header, then what follows."""

    header: bytes
    arrays: tuple[Array, ...]

    @staticmethod
    def of(tensors: Sequence[Tensor], arrays: Mapping[str, Array]) -> Contents:
        """The arrays that `tensors` describes."""
        order = sorted(tensors, key=lambda tensor: arrays[tensor.name].nbytes % ALIGNMENT != 0)
        header, position = {}, 0
        for tensor in order:
            end = position + arrays[tensor.name].nbytes
            header[tensor.name] = {
                "dtype": _NAMES[tensor.dtype],
                "shape": list(tensor.shape),
                "data_offsets": [position, end],
            }
            position = end
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-(len(text) + 8) % ALIGNMENT)
        return Contents(struct.pack("<Q", len(text)) + text, tuple(arrays[tensor.name] for tensor in order))

    @property
    def size(self) -> int:
        return len(self.header) + sum(array.nbytes for array in self.arrays)

    def write(self, file: IO[bytes]) -> None:
        file.write(self.header)
        for array in self.arrays:
            file.write(np.ascontiguousarray(array).data.cast("B") if array.size else b"")


def read(data: memoryview, tensors: Sequence[Tensor]) -> dict[str, Array]:
    """The arrays that `tensors` describes, as views of `data`. Raises `LoadError` where data and description differ."""
    if len(data) < 8:
        raise damaged("the file of constants", "it is too short")
    (length,) = struct.unpack_from("<Q", data)
    if length > min(_LONGEST_HEADER, len(data) - 8):
        raise damaged("the file of constants", f"its header claims {length} bytes")
    try:
        header = json.loads(bytes(data[8 : 8 + length]))
    except (ValueError, RecursionError):
        raise damaged("the file of constants", "its header is no JSON") from None
    contents = data[8 + length :]
    arrays: dict[str, Array] = {}
    for tensor in tensors:
        entry = header.get(tensor.name) if isinstance(header, dict) else None
        if not isinstance(entry, dict):
            raise damaged("the file of constants", f"{tensor.name} is missing")
        dtype, shape = NUMPY[tensor.dtype], tuple(int(size) for size in tensor.shape if isinstance(size, int))
        if entry.get("dtype") != _NAMES[tensor.dtype] or entry.get("shape") != list(shape):
            raise damaged("the file of constants", f"{tensor.name} has another element type or shape than the manifest says")
        offsets = entry.get("data_offsets")
        if not isinstance(offsets, list) or len(offsets) != 2 or any(type(offset) is not int for offset in offsets):
            raise damaged("the file of constants", f"{tensor.name} has no place")
        start, end = offsets
        if not 0 <= start <= end <= len(contents) or end - start != prod(shape) * dtype.itemsize:
            raise damaged("the file of constants", f"{tensor.name} lies at bytes {start} to {end} of {len(contents)}")
        try:
            arrays[tensor.name] = np.frombuffer(contents[start:end], dtype=dtype).reshape(shape)
        except (ValueError, OverflowError):  # an empty array whose other sizes are beyond bounds
            raise damaged("the file of constants", f"{tensor.name} has the shape {list(shape)}") from None
    return arrays
