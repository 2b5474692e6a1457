"""Blocks come back when nothing refers to them, and not before."""

from __future__ import annotations

import gc

import numpy as np
import torch

from bough.runtime.results import KEPT, LARGE, Blocks


def test_a_block_is_used_again_when_its_array_is_gone():
    blocks = Blocks()
    first = blocks.array((LARGE,), "u8")
    address = first.ctypes.data
    del first
    assert blocks.array((LARGE,), "u8").ctypes.data == address


def test_views_and_tensors_keep_their_block():
    blocks = Blocks()
    array = blocks.array((4, LARGE), "f32")
    array[:] = 7
    view, tensor = array[1:, 5], torch.from_numpy(array)[2:]
    del array
    other = blocks.array((4, LARGE), "f32")
    other[:] = 3
    assert (view == 7).all() and (tensor == 7).all()
    address = tensor.data_ptr() - 2 * 4 * LARGE
    del view, tensor
    gc.collect()
    assert blocks.array((4, LARGE), "f32").ctypes.data == address


def test_what_is_kept_is_bounded_and_sizes_are_respected():
    blocks = Blocks()
    for _ in range(4):
        arrays = [blocks.array((KEPT // 3,), "u8") for _ in range(4)]
        del arrays
    assert sum(b.size for b in blocks._free) <= KEPT
    assert blocks.array((3, 0), "f32").shape == (3, 0)
    assert blocks.array((5,), "bf16").dtype == np.uint16
