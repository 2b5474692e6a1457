"""Sequences: texts come back, broken ones are refused."""

from __future__ import annotations

import numpy as np
import pytest

from bough.base.errors import InternalError
from bough.ir.interpret_sequence import run_sequence
from bough.ir.sequence_text import parse_sequence, print_sequence
from bough.ir.text import ParseError
from bough.ir.verify_sequence import verify_sequence

TEXT = """
sequence main(x: f32[batch, 3, 4]) -> (y)
  dims batch: 1..64
  const w: f32[4, 4]
  temporary h: f32[2, batch, 4]
  temporary y: f32[batch, 4]
  kernel clear() -> (h: f32[2, batch, 4])
    axes s: 2, i: batch, j: 4
    h[s, i, j] = 0.0
  repeat t in 0..3
    kernel step(x: f32[batch, 3, 4], w: f32[16], h: f32[2, batch, 4]) -> (h: f32[2, batch, 4])
      axes i: batch, j: 4, k: 4
      r = sum(k) h[t % 2, i, k] * w[j * 4 + k]
      h[(t + 1) % 2, i, j] = x[i, t, j] + r
  kernel copy(h: f32[2, batch, 4]) -> (y: f32[batch, 4])
    axes i: batch, j: 4
    y[i, j] = h[1, i, j]
"""


def test_texts_come_back_and_run() -> None:
    rng = np.random.default_rng(0)
    w, x = rng.standard_normal((4, 4), dtype=np.float32), rng.standard_normal((2, 3, 4), dtype=np.float32)
    sequence = parse_sequence(TEXT, {"w": w})
    assert print_sequence(sequence).strip() == TEXT.strip()
    verify_sequence(sequence)
    (y,) = run_sequence(sequence, [x], {"batch": 2})
    h = np.zeros((2, 4), np.float32)
    for t in range(3):
        h = x[:, t] + h @ w.T
    np.testing.assert_allclose(y, h, rtol=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("temporary y", "temporary w", "w is defined twice"),
        ("-> (y)", "-> (z)", "the result z is defined nowhere"),
        ("repeat t", "repeat batch", "batch is defined twice in: repeat batch in 0..3"),
        ("batch: 1..64", "other: 1..64", "batch is not defined in: x"),
        ("x[i, t, j]", "x[i, u, j]", "u is not defined in: h"),
        ("w: f32[16]", "w: f32[15]", r"w is f32\[15\], elsewhere f32\[4, 4\] in kernel step"),
        ("kernel clear() -> (h: f32[2, batch, 4])", "kernel clear() -> (h: f64[2, batch, 4])", "0.0 has type f32, not f64"),
        ("  temporary y: f32[batch, 4]\n", "", "kernel copy names y, which is defined nowhere"),
    ],
)
def test_broken_sequences(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(InternalError, match=message):
        verify_sequence(parse_sequence(TEXT.replace(old, new)))


LEVELS = """
sequence levels(first: i64[rows + 1], x: f32[rows, 4]) -> (y)
  dims rows: 0..
  temporary y: f32[rows, 4]
  temporary z: f32[rows, 4]
  define half = (first[rows] - first[0]) // 2 nominal 8
  repeat t in 0..half
    define here = t + half nominal 4
    beside
      kernel sum(first: i64[rows + 1], x: f32[rows, 4], y: f32[rows, 4]) -> (y: f32[rows, 4])
        axes n: rows, j: 4, k: first[n + 1] - first[n]
        s = sum(k) x[first[n] + k, j]
        y[n, j] = y[n, j] + s
      group
        kernel one(x: f32[rows, 4]) -> (z: f32[rows, 4])
          axes n: rows, j: 4
          z[n, j] = x[n, j]
        kernel two(z: f32[rows, 4]) -> (z: f32[rows, 4])
          axes n: rows, j: 4
          apart z
          z[n, j] = z[n, (j + here) % 4]
"""


def test_definitions_and_ragged_axes_come_back_and_run() -> None:
    sequence = parse_sequence(LEVELS)
    assert print_sequence(sequence).strip() == LEVELS.strip()
    verify_sequence(sequence)
    first, x = np.array([0, 2, 2, 3]), np.arange(12, dtype=np.float32).reshape(3, 4)
    (y,) = run_sequence(sequence, [first, x], {"rows": 3})
    np.testing.assert_array_equal(y, [x[0] + x[1], np.zeros(4), x[2]])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("define here", "define half", "half is defined twice in: define half = t"),
        ("= t + half", "= t + there", "there is not defined in: define here"),
        ("= t + half", "= first[t, 0]", "first has 1 dimensions, its index has 2 in: define here"),
        ("0..half", "0..here", "here is not defined in: repeat t"),
        ("temporary z: f32[rows, 4]", "temporary z: f32[half, 4]", "half is not defined in: z"),
        ("- first[n]", "- x[n, 0]", "x is no array here in: axis k"),
        ("first[n + 1] -", "first[k] -", "k is not defined in: axis k"),
        ("s = sum(k) x[first[n] + k, j]", "s = x[n, j]", "the extent of a free axis is loaded in: axis k"),
        ("apart z", "apart y", "y is no input in: apart y"),
        ("          apart z\n", "", "z is read elsewhere than at"),
    ],
)
def test_broken_levels(old: str, new: str, message: str) -> None:
    assert old in LEVELS
    with pytest.raises(InternalError, match=message):
        verify_sequence(parse_sequence(LEVELS.replace(old, new)))


def test_wrong_texts() -> None:
    with pytest.raises(ParseError, match="line 10, column 15: a loop starts from 0"):
        parse_sequence(TEXT.replace("0..3", "1..3"))
