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


def test_wrong_texts() -> None:
    with pytest.raises(ParseError, match="line 10, column 15: a loop starts from 0"):
        parse_sequence(TEXT.replace("0..3", "1..3"))
