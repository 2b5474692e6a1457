"""Sliding windows over the trailing dimensions of an array: the meaning of pooling and of convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.lib.stride_tricks import sliding_window_view

from bough.ops.operator import Array


def sliding_windows(x: Array, size: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Array:
    """All windows of `size` elements, `dilation` apart, that lie inside x and start at multiples of `stride`.

    The result has a position of the window in place of each of the last `len(size)` dimensions, and behind these the
    window's own dimensions.
    """
    reach = [d * (n - 1) + 1 for d, n in zip(dilation, size, strict=True)]
    every: tuple[Any, ...] = (..., *(slice(None, None, s) for s in stride), *(slice(None, None, d) for d in dilation))
    view: Array = sliding_window_view(x, reach, tuple(range(x.ndim - len(size), x.ndim)))[every]
    return view
