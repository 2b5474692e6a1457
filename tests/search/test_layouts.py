"""Which arrays are laid out anew, and that the choice depends on nothing that it must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough.ir.interpret_sequence import run_sequence
from bough.ir.sequence import Sequence, kernels
from bough.ir.sequence_text import parse_sequence
from bough.ir.verify_sequence import verify_sequence
from bough.search.layouts import Known, alike, choose_layouts

NETWORK = """
sequence main(x: f32[{n}, {c}, {h}, {h}]) -> (y)
  const w: f32[{k}, {c}, 3, 3]
  const u: f32[{k}, 3, 3]
  temporary a: f32[{n}, {k}, {p}, {p}]
  temporary b: f32[{n}, {k}, {q}, {q}]
  temporary y: f32[{n}, {k}]
  kernel convolution(x: f32[{n}, {c}, {h}, {h}], w: f32[{k}, {c}, 3, 3]) -> (a: f32[{n}, {k}, {p}, {p}])
    axes n: {n}, k: {k}, i: {p}, j: {p}, r: 3, s: 3, c: {c}
    t = sum(r, s, c) x[n, c, i + r, j + s] * w[k, c, r, s]
    a[n, k, i, j] = max(t, 0.0)
  kernel depthwise(a: f32[{n}, {k}, {p}, {p}], u: f32[{k}, 3, 3]) -> (b: f32[{n}, {k}, {q}, {q}])
    axes n: {n}, k: {k}, i: {q}, j: {q}, r: 3, s: 3
    t = sum(r, s) a[n, k, i + r, j + s] * u[k, r, s]
    b[n, k, i, j] = t
  kernel mean(b: f32[{n}, {k}, {q}, {q}]) -> (y: f32[{n}, {k}])
    axes n: {n}, k: {k}, i: {q}, j: {q}
    t = sum(i, j) b[n, k, i, j]
    y[n, k] = t
"""


def network(n: int, c: int, k: int, h: int) -> Sequence:
    random = np.random.default_rng(n + c + k + h)
    weights = {name: random.standard_normal(shape).astype(np.float32) for name, shape in (("w", (k, c, 3, 3)), ("u", (k, 3, 3)))}
    return parse_sequence(NETWORK.format(n=n, c=c, k=k, h=h, p=h - 2, q=h - 4), weights)


def chosen(sequence: Sequence, lanes: int = 16) -> Sequence:
    return choose_layouts(sequence, Known(lanes, frozenset(sequence.constants), {}))


def test_dimensions_over_which_one_axis_runs_belong_together() -> None:
    s = network(2, 3, 32, 12)
    arrays = {n: o for n, o in s.temporaries.items() if n != "y"}
    assert alike(kernels(s.steps), arrays, frozenset("wu")) == [frozenset({("a", 1), ("b", 1)})]


@pytest.mark.parametrize("n", [1, 2, 8, 64])
def test_channels_come_last_whatever_the_batch(n: int) -> None:
    after = chosen(network(n, 3, 64, 30))
    assert [after.temporaries[t].shape for t in "ab"] == [(n, 28, 28, 64), (n, 26, 26, 64)]


@pytest.mark.parametrize("n", [1, 2, 8, 64])
def test_few_channels_stay_where_they_are(n: int) -> None:
    s = network(n, 3, 2, 68)
    assert chosen(s) is s or chosen(s).temporaries == s.temporaries


def test_scalar_code_has_no_use_for_layouts() -> None:
    s = network(1, 3, 64, 12)
    assert chosen(s, lanes=1) is s


@given(n=st.integers(1, 2), c=st.integers(1, 4), k=st.sampled_from([1, 3, 8, 17]), h=st.integers(5, 8))
def test_the_result_is_the_same_bit_for_bit(n: int, c: int, k: int, h: int) -> None:
    before = network(n, c, k, h)
    after = chosen(before)
    verify_sequence(after)
    x = np.random.default_rng(0).standard_normal((n, c, h, h)).astype(np.float32)
    (expected,), (result,) = run_sequence(before, [x]), run_sequence(after, [x])
    assert expected.tobytes() == result.tobytes()
