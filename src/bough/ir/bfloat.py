"""bf16 in NumPy, which has no such type: arrays of uint16 bit patterns, converted at loads and stores."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def from_bf16(bits: Any) -> Array:
    """The float32 values of bit patterns; exact."""
    return (np.asarray(bits, np.uint16).astype(np.uint32) << 16).view(np.float32)


def to_bf16(values: Any) -> Array:
    """The bit patterns of the nearest bf16 values, ties to even; NaN stays NaN. Float64 is rounded to f32 first."""
    values = np.asarray(values, np.float32)
    bits = values.view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    return np.asarray(np.where(np.isnan(values), (bits >> 16) | 0x40, rounded), np.uint16)
