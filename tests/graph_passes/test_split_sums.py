"""Sums over joined rows in parts: the same terms, without guards."""

from __future__ import annotations

import numpy as np

from bough.graph_passes.split_sums import is_concatenation, split_sums
from bough.ir.interpret_kernel import run_kernel
from bough.ir.kernel import Kernel
from bough.ir.kernel_text import parse_kernel, print_kernel
from bough.ir.verify_kernel import verify_kernel

TWO = """
kernel joined(a: f32[9, 4], b: f32[9, 4], i: i64[n], w: f32[5, 7]) -> (y: f32[n, 5], z: f32[n, 5])
  axes m: n, j: 5, k: 7
  s = sum(k) select(k < 4, a[i[m], k], b[i[m], k - 4]) * w[j, k]
  t = sum(k) a[i[m], 0] * w[j, k]
  y[m, j] = s
  z[m, j] = t
"""

SPLIT = """
kernel joined(a: f32[9, 4], b: f32[9, 4], i: i64[n], w: f32[5, 7]) -> (y: f32[n, 5], z: f32[n, 5])
  axes m: n, j: 5, `k.0`: 4, `k.1`: 3
  `s.0` = sum(`k.0`) a[i[m], `k.0`] * w[j, `k.0`]
  `s.1` = sum(`k.1`) b[i[m], `k.1`] * w[j, `k.1` + 4]
  s = `s.0` + `s.1`
  `t.0` = sum(`k.0`) a[i[m], 0] * w[j, `k.0`]
  `t.1` = sum(`k.1`) a[i[m], 0] * w[j, `k.1` + 4]
  t = `t.0` + `t.1`
  y[m, j] = s
  z[m, j] = t
"""


def check_same(before: Kernel, after: Kernel) -> None:
    verify_kernel(after)
    rng = np.random.default_rng(0)
    arrays = {o.name: rng.standard_normal([e if isinstance(e, int) else 6 for e in o.shape]).astype(np.float32) for o in before.inputs}
    arrays["i"] = rng.integers(0, 9, 6)
    expected, got = run_kernel(before, arrays), run_kernel(after, arrays)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-5)


def test_a_sum_over_two_rows_is_two_sums() -> None:
    kernel = parse_kernel(TWO)
    after = split_sums(kernel)
    assert print_kernel(after).replace("`", "").strip() == SPLIT.replace("`", "").strip()
    check_same(kernel, after)


def test_three_rows_make_three_sums() -> None:
    choice = "select(k < 4, a[i[m], k], select(k < 6, b[i[m], k - 4], a[i[m], k - 6]))"
    kernel = parse_kernel(TWO.replace("select(k < 4, a[i[m], k], b[i[m], k - 4])", choice))
    after = split_sums(kernel)
    assert "select" not in print_kernel(after)
    assert len(after.reductions) == 6
    check_same(kernel, after)


def test_what_is_no_choice_stays() -> None:
    kernel = parse_kernel(TWO.replace("k < 4", "j < 4").replace("k - 4", "k % 4"))
    assert split_sums(kernel) is kernel


def test_concatenations_of_gathered_rows_are_told() -> None:
    text = """
    kernel cat(a: f32[9, 4], i: i64[n]) -> (y: f32[n, 8])
      axes m: n, k: 8
      y[m, k] = select(k < 4, a[i[m], k], a[m, k - 4])
    """
    assert is_concatenation(parse_kernel(text))
    assert not is_concatenation(parse_kernel(text.replace("i[m]", "m")))
    assert not is_concatenation(parse_kernel(text.replace("= select", "= neg(select").replace("k - 4])", "k - 4]))")))


MATRIX = """
kernel joined(a: f32[9, 4], b: f32[9, 4], i: i64[n], v: f32[n, 5, 8], w: f32[5, 8]) -> (y: f32[n, 5])
  axes m: n, j: 5, k: 8
  s = sum(k) select(k < 4, a[i[m], k], b[i[m], k - 4]) * v[m, j, k]
  t = sum(k) select(k < 4, a[i[m], k], b[i[m], k - 4]) * w[j, k]
  y[m, j] = s + t
"""


def test_a_matrix_that_is_read_once_keeps_one_sum() -> None:
    kernel = parse_kernel(MATRIX)
    after = split_sums(kernel)
    text = print_kernel(after)
    assert "s = sum(k.0) a[i[m], k.0] * v[m, j, k.0] + b[i[m], k.0] * v[m, j, k.0 + 4]" in text.replace("`", "")
    assert "select" not in text and len(after.reductions) == 2
    check_same(kernel, after)


def test_parts_of_different_lengths_are_sums_of_their_own() -> None:
    kernel = parse_kernel(MATRIX.replace("k < 4", "k < 3").replace("k - 4", "k - 3").replace("b: f32[9, 4]", "b: f32[9, 8]"))
    after = split_sums(kernel)
    assert len(after.reductions) == 4
    check_same(kernel, after)
