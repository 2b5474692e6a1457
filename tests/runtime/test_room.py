"""Arrays side by side in large blocks."""

from __future__ import annotations

import numpy as np
import pytest

from bough.runtime.arrays import ALIGNMENT, BLOCK, Room

F32 = np.dtype(np.float32)


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (0, 4), (1000, 7)])
def test_arrays_are_zero_aligned_and_apart(shape: tuple[int, ...]) -> None:
    room = Room()
    arrays = [room.zeros(shape, F32) for _ in range(5)]
    for n, a in enumerate(arrays):
        assert a.shape == shape and a.dtype == F32 and a.ctypes.data % ALIGNMENT == 0 and not a.any()
        a[...] = n + 1
    assert all((a == n + 1).all() for n, a in enumerate(arrays))


def test_small_arrays_share_a_block() -> None:
    room = Room()
    first, second = room.zeros((100, 100), F32), room.zeros((30,), np.dtype(np.uint16))
    assert second.ctypes.data - first.ctypes.data == -(-first.nbytes // ALIGNMENT) * ALIGNMENT


def test_what_does_not_fit_begins_another_block_and_large_arrays_have_their_own() -> None:
    room = Room()
    small = room.zeros((BLOCK // 3,), np.dtype(np.uint8))
    large = room.zeros((BLOCK,), np.dtype(np.uint8))
    after, last = (room.zeros((BLOCK // 2,), np.dtype(np.uint8)) for _ in range(2))
    assert large.nbytes == BLOCK and not large.any()
    small[:], large[:], after[:], last[:] = 1, 2, 3, 4
    assert [set(a.tolist()) for a in (small, after, last)] == [{1}, {3}, {4}] and (large == 2).all()
