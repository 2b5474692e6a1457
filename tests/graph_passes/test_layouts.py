"""Arrays with their dimensions in another order: the texts that come out, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from bough.graph_passes.layouts import movable, with_orders
from bough.ir.interpret_sequence import run_sequence
from bough.ir.kernel_text import print_kernel
from bough.ir.sequence import kernels
from bough.ir.sequence_text import parse_sequence
from bough.ir.verify_sequence import verify_sequence

CONVOLUTION = """
sequence main(x: f32[2, 3, 6]) -> (y)
  const w: f32[4, 3, 3]
  temporary t: f32[2, 4, 4]
  temporary y: f32[2, 4]
  kernel convolution(x: f32[2, 3, 6], w: f32[4, 3, 3]) -> (t: f32[2, 4, 4])
    axes n: 2, k: 4, p: 4, r: 3, c: 3
    s = sum(r, c) x[n, c, p + r] * w[k, c, r]
    t[n, k, p] = max(s, 0.0)
  kernel pool(t: f32[2, 4, 4]) -> (y: f32[2, 4])
    axes n: 2, k: 4, p: 4
    m = max(p) t[n, k, p]
    y[n, k] = m
"""
LAST = """
kernel convolution(x: f32[2, 3, 6], w: f32[4, 3, 3]) -> (t: f32[2, 4, 4])
  axes n: 2, p: 4, k: 4, r: 3, c: 3
  s = sum(r, c) x[n, c, p + r] * w[k, c, r]
  t[n, p, k] = max(s, 0.0)
kernel pool(t: f32[2, 4, 4]) -> (y: f32[2, 4])
  axes n: 2, k: 4, p: 4
  m = max(p) t[n, p, k]
  y[n, k] = m
"""
WEIGHT = np.random.default_rng(0).standard_normal((4, 3, 3)).astype(np.float32)


def test_every_kernel_reads_and_stores_at_permuted_places() -> None:
    before = parse_sequence(CONVOLUTION, {"w": WEIGHT})
    after = with_orders(before, {"t": (0, 2, 1)})
    verify_sequence(after)
    assert "\n".join(map(print_kernel, kernels(after.steps))).split() == LAST.split()
    x = np.random.default_rng(1).standard_normal((2, 3, 6)).astype(np.float32)
    (expected,), (result,) = run_sequence(before, [x]), run_sequence(after, [x])
    assert expected.tobytes() == result.tobytes()


@pytest.mark.parametrize(("name", "free"), [("x", False), ("t", True), ("y", False), ("w", False)])
def test_what_others_see_stays(name: str, free: bool) -> None:
    assert (name in movable(parse_sequence(CONVOLUTION, {"w": WEIGHT}))) == free


def test_what_the_host_reads_stays() -> None:
    text = """
    sequence main(x: i64[2, 3]) -> (y)
      temporary t: i64[2, 3]
      temporary y: i64[2, 3]
      kernel k(x: i64[2, 3]) -> (t: i64[2, 3])
        axes i: 2, j: 3
        t[i, j] = x[i, j]
      define n = t[1, 2] nominal 2
      kernel l(t: i64[2, 3]) -> (y: i64[2, 3])
        axes i: 2, j: 3
        y[i, j] = t[i, j] + n
    """
    assert movable(parse_sequence("\n".join(line[4:] for line in text.splitlines()))) == {}
