"""Fewer axes and dimensions."""

from __future__ import annotations

import numpy as np

from bough.graph_passes.normalize import normalize
from bough.ir.interpret_kernel import run_kernel
from bough.ir.kernel_text import parse_kernel, print_kernel

FLAT = """kernel best(x: f32[3, 4, 5], last: i64[3]) -> (y: f32[3])
  axes i: 3, k: 20
  m = max(k) select(x[i, last[i] // 5, last[i] % 5] > x[i, k // 5, k % 5], x[i, k // 5, k % 5], 0.0)
  y[i] = m
"""


def test_dimensions_that_are_read_as_one_become_one() -> None:
    kernel = parse_kernel(FLAT)
    joined = normalize(kernel)
    assert "x: f32[3, 20]" in print_kernel(joined) and "//" not in print_kernel(joined)
    rng = np.random.default_rng(0)
    x, last = rng.standard_normal((3, 4, 5)).astype(np.float32), np.array([7, 0, 19])
    before, after = run_kernel(kernel, {"x": x, "last": last}), run_kernel(joined, {"x": x.reshape(3, 20), "last": last})
    np.testing.assert_array_equal(before["y"], after["y"])


def test_dimensions_that_are_also_read_apart_stay() -> None:
    kernel = parse_kernel(FLAT.replace("last[i] // 5, last[i] % 5]", "0, 1]"))
    assert normalize(kernel) == kernel
