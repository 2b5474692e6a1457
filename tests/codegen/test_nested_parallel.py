"""Parallel loops inside the iterations of another, and buffers in the bytes of one: text, verifier, interpreter and native code."""

from __future__ import annotations

import numpy as np
import pytest
from native_code import check

from bough.base.errors import InternalError
from bough.ir.interpret_loops import run_loops
from bough.ir.loops_text import parse_loops, print_loops
from bough.ir.verify_loops import verify_loops

TEXT = """
func shares() (x: f32[6, 40], y: f32[6, 40], total: i64[6], room: u8[960] align 64)
  parallel share in 0..3
    within room from share * 320 held: f32[40] align 64
    within room from share * 320 + 192 number: i64[1] align 64
    for turn in 0..2
      n = share * 2 + turn
      parallel chunk in 0..5
        vector l in 0..8 lanes 8
          held[chunk * 8 + l] = x[n, chunk * 8 + l] * 2.0
      parallel chunk in 0..1
        number[0] = n
      parallel chunk in 0..40
        y[n, chunk] = held[39 - chunk] + 1.0
      for k in 0..1
        total[n] = number[0] + 1
"""


def arrays() -> dict[str, np.ndarray]:
    x = np.random.default_rng(0).standard_normal((6, 40), dtype=np.float32)
    return {"x": x, "y": np.zeros((6, 40), np.float32), "total": np.zeros(6, np.int64), "room": np.zeros(960, np.uint8)}


def test_text_comes_back() -> None:
    function = parse_loops(TEXT)
    assert print_loops(function).strip() == TEXT.strip()
    verify_loops(function)


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_each_share_has_its_own(seed: int | None) -> None:
    buffers = arrays()
    assert run_loops(parse_loops(TEXT), buffers, shuffle=seed) == 0
    np.testing.assert_array_equal(buffers["y"], buffers["x"][:, ::-1] * 2 + 1)
    assert buffers["total"].tolist() == [1, 2, 3, 4, 5, 6]


def test_native_code_agrees() -> None:
    check(parse_loops(TEXT), arrays())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("room: u8[960]", "room: i8[960]", "room holds no bytes"),
        ("held: f32[40] align 64\n", "held: f32[40] in scratch align 64\n", "held is no part of a buffer in memory"),
        ("    for turn in 0..2\n", "    vector turn in 0..2 lanes 2\n", "a parallel loop stands in a vector loop"),
    ],
)
def test_broken_loops(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(InternalError, match=message):
        verify_loops(parse_loops(TEXT.replace(old, new, 1)))


def test_a_buffer_outside_the_bytes() -> None:
    with pytest.raises(InternalError, match="outside one of 960"):
        run_loops(parse_loops(TEXT.replace("share * 320 + 192", "share * 320 + 320")), arrays())
