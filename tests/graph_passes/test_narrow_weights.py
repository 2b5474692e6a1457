"""Weights in fewer bits: the kernels that come out, and what they compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bough.graph_passes.narrow_weights import narrow_weights
from bough.ir.interpret_sequence import run_sequence
from bough.ir.kernel_text import print_kernel
from bough.ir.sequence import Sequence, kernels
from bough.ir.sequence_text import parse_sequence
from bough.ir.verify_sequence import verify_sequence

LINEAR = """
sequence main(x: f32[3, 7], row: i64[3]) -> (y, z)
  const w: f32[5, 7]
  const b: f32[5]
  temporary y: f32[3, 5]
  temporary z: f32[3, 7]
  kernel linear(x: f32[3, 7], w: f32[5, 7], b: f32[5]) -> (y: f32[3, 5])
    axes i: 3, j: 5, k: 7
    s = sum(k) x[i, k] * w[j, k]
    y[i, j] = s + b[j]
  kernel rows(row: i64[3], w: f32[5, 7]) -> (z: f32[3, 7])
    axes i: 3, k: 7
    z[i, k] = w[row[i], k]
"""
BF16 = """
kernel linear(x: f32[3, 7], w.bf16: bf16[5, 7], b: f32[5]) -> (y: f32[3, 5])
  axes i: 3, j: 5, k: 7
  s = sum(k) x[i, k] * f32(w.bf16[j, k])
  y[i, j] = s + b[j]
"""
I8 = """
kernel linear(x: f32[3, 7], w.i8: i8[5, 7], w.scale: f32[5], b: f32[5]) -> (y: f32[3, 5])
  axes i: 3, j: 5, k: 7
  s.sum = sum(k) x[i, k] * f32(w.i8[j, k])
  s = s.sum * w.scale[j]
  y[i, j] = s + b[j]
"""
I8_ROWS = """
kernel rows(row: i64[3], w.i8: i8[5, 7], w.scale: f32[5]) -> (z: f32[3, 7])
  axes i: 3, k: 7
  z[i, k] = f32(w.i8[row[i], k]) * w.scale[row[i]]
"""
BOTH_WAYS = """
sequence main(x: f32[3, 7], u: f32[3, 5]) -> (y, z)
  const w: f32[5, 7]
  temporary y: f32[3, 5]
  temporary z: f32[3, 7]
  kernel there(x: f32[3, 7], w: f32[5, 7]) -> (y: f32[3, 5])
    axes i: 3, j: 5, k: 7
    s = sum(k) x[i, k] * w[j, k]
    y[i, j] = s
  kernel back(u: f32[3, 5], w: f32[5, 7]) -> (z: f32[3, 7])
    axes i: 3, k: 7, j: 5
    s = sum(j) u[i, j] * w[j, k]
    z[i, k] = s
"""


def of(text: str, **changes: Any) -> Sequence:
    rng = np.random.default_rng(0)
    constants = {"w": rng.standard_normal((5, 7)).astype(np.float32), "b": rng.standard_normal(5).astype(np.float32)}
    return parse_sequence(text, constants | changes)


def inputs() -> list[np.ndarray[Any, Any]]:
    return [np.random.default_rng(1).standard_normal((3, 7)).astype(np.float32), np.array([4, 0, 2])]


@pytest.mark.parametrize(("precision", "wanted", "bound"), [("bfloat16", BF16, 2.0**-8), ("int8", I8, 1 / 64)])
def test_a_weight_of_a_product(precision: str, wanted: str, bound: float) -> None:
    before = of(LINEAR)
    after = narrow_weights(before, precision)
    verify_sequence(after)
    assert print_kernel(kernels(after.steps)[0]).strip() == wanted.strip()
    assert "w" not in after.constants and after.constants["b"] is before.constants["b"]
    expected, found = (run_sequence(s, inputs()) for s in (before, after))
    for e, f in zip(expected, found, strict=True):
        assert 0 < np.abs(e - f).max() <= bound * np.abs(e).max()


def test_its_rows_are_read_with_their_factors() -> None:
    after = narrow_weights(of(LINEAR), "int8")
    assert print_kernel(kernels(after.steps)[1]).strip() == I8_ROWS.strip()


def test_each_channel_has_its_own_factor() -> None:
    w = np.diag([1e-3, 1.0, 1e3, 0.0, -127.0]).astype(np.float32)
    after = narrow_weights(of(LINEAR, w=np.pad(w, ((0, 0), (0, 2)))), "int8")
    assert np.diag(after.constants["w.i8"]).tolist() == [127, 127, 127, 0, -127]
    assert after.constants["w.scale"] == pytest.approx([1e-3 / 127, 1 / 127, 1e3 / 127, 1, 1])


@pytest.mark.parametrize(("precision", "narrowed"), [("int8", False), ("bfloat16", True)])
def test_sums_along_either_dimension_have_no_factor_in_common(precision: str, narrowed: bool) -> None:
    assert ("w" not in narrow_weights(of(BOTH_WAYS), precision).constants) == narrowed


@pytest.mark.parametrize("value", [np.nan, np.inf, 3.4e38])
def test_what_has_no_narrow_value_stays(value: float) -> None:
    w = np.full((5, 7), value, np.float32)
    assert "w" in narrow_weights(of(LINEAR, w=w), "bfloat16").constants


def test_float32_changes_nothing() -> None:
    before = of(LINEAR)
    assert narrow_weights(before, "float32") is before
