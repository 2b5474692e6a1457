"""Exact algebra in kernels: what it changes, as text, and what it must leave."""

from __future__ import annotations

import numpy as np

from bough.graph_passes.simplify import simplify_scalars
from bough.ir.interpret_sequence import run_sequence
from bough.ir.sequence_text import parse_sequence, print_sequence

TEXT = """\
sequence main(x: f32[4], z: f32[4]) -> (y, k)
  temporary y: f32[4]
  temporary k: f32[4]
  kernel first(x: f32[4], z: f32[4]) -> (y: f32[4], k: f32[4])
    axes i: 4
    y[i] = {value}
    k[i] = {kept}
"""
"""A kernel of two values."""


def simplified(value: str, kept: str) -> list[str]:
    """Both values behind the pass, with which they have the same bits (which NaN it is aside)."""
    before = parse_sequence(TEXT.format(value=value, kept=kept))
    after = simplify_scalars(before)
    x = np.array([-0.0, np.nan, np.inf, 3], np.float32)
    z = np.array([1, -0.0, np.nan, -np.inf], np.float32)
    for a, b in zip(run_sequence(before, [x, z]), run_sequence(after, [x, z]), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(np.signbit(a), np.signbit(b))
    return [line.partition(" = ")[2] for line in print_sequence(after).splitlines() if " = " in line]


def test_what_does_nothing_goes() -> None:
    assert simplified("x[i] * 1.0 + -0.0", "select(true, neg(neg(x[i])), z[i])") == ["x[i]", "x[i]"]
    assert simplified("f32(f64(x[i])) - 0.0", "max(z[i], z[i]) / 1.0") == ["x[i]", "z[i]"]


def test_what_only_seems_to_do_nothing_stays() -> None:
    for value in ("x[i] + 0.0", "x[i] * 0.0", "x[i] - x[i]", "x[i] / x[i]", "x[i] - -0.0", "x[i] + z[i] - z[i]"):
        assert simplified(value, value) == [value, value]


def test_operands_that_are_no_longer_read() -> None:
    text = print_sequence(simplify_scalars(parse_sequence(TEXT.format(value="select(false, z[i], x[i])", kept="x[i]"))))
    assert "kernel first(x: f32[4]) -> " in text
