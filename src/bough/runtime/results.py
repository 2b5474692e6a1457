"""Memory for large results, used again once the caller has let go of it.

A fresh large array costs more than many kernels: the system clears every page when it is first written. Results above
`LARGE` bytes come from blocks that return here when the last array or tensor over them is gone.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Sequence

import numpy as np

from bough.runtime.arrays import NUMPY, Array, allocate

LARGE = 1 << 19
"""Bytes from which on a result comes from a block."""
KEPT = 1 << 29
"""Bytes of unused blocks kept at the most; the oldest go first."""


class Blocks:
    """Blocks of memory by size. Safe for use by several threads."""

    def __init__(self) -> None:
        self._free: list[Array] = []
        self._lock = threading.Lock()

    def array(self, shape: Sequence[int], dtype: str) -> Array:
        """An uninitialised array; its memory comes back here when nothing refers to it any more."""
        held = NUMPY[dtype]
        size = held.itemsize
        for extent in shape:
            size *= extent
        block = self._take(size)
        owner = (ctypes.c_char * size).from_buffer(block.data)
        weakref.finalize(owner, self._give, block).atexit = False
        return np.frombuffer(memoryview(owner), held).reshape(shape)

    def _take(self, size: int) -> Array:
        with self._lock:
            for n in range(len(self._free) - 1, -1, -1):
                if size <= self._free[n].size <= size + size // 8:
                    return self._free.pop(n)
        return allocate(size)

    def _give(self, block: Array) -> None:
        with self._lock:
            self._free.append(block)
            while sum(b.size for b in self._free) > KEPT:
                self._free.pop(0)


RESULTS = Blocks()
"""The blocks of this process."""
