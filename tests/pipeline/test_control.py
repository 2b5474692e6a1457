"""Branches, loops, sizes and checks that depend on computed values, from Programs to native code."""

from __future__ import annotations

import numpy as np
import pytest
from native_programs import Array, Native

from bough.base.errors import InputError

W = (np.random.default_rng(1).standard_normal((8, 8)) * 0.3).astype(np.float32)


def floats(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


BRANCH = """
func main(x: f32[4, 8], limit: f32[]) -> (y, kept)
  const w: f32[8, 8]
  h: f32[4, 8] = linear(x, w, none)
  amount: f32[] = reduce_sum(h, axes=(0, 1), keep=false)
  large: bool[] = gt(amount, limit)
  if large
    a: f32[4, 8] = tanh(h)
    b: f32[4, 8] = add(a, x)
  else
    c: f32[4, 8] = exp(x)
  join r: f32[4, 8] = b, c
  join kept: f32[4, 8] = x, h
  y: f32[4, 8] = add(r, x)
"""


def test_branches() -> None:
    native = Native(BRANCH, {"w": W})
    for limit in (-1e9, 1e9, 0.0):
        native.call(floats(4, 8), np.float32(limit))


LOOP = """
func main(x: f32[8], most: i64[]) -> (h_last, i_last, before_last)
  const w: f32[8, 8]
  const zero: i64[]
  const one: i64[]
  while
    carry h: f32[8] = x
    carry before: f32[8] = x
    carry i: i64[] = zero
    more: bool[] = lt(i, most)
    test more
    row: f32[1, 8] = reshape(h, shape=(1, 8))
    product: f32[1, 8] = linear(row, w, none)
    flat: f32[8] = reshape(product, shape=(8,))
    h2: f32[8] = add(flat, before)
    i2: i64[] = add(i, one)
    next h = h2 -> h_last: f32[8]
    next before = h -> before_last: f32[8]
    next i = i2 -> i_last: i64[]
"""


def test_loops_give_all_states_their_next_values_at_once() -> None:
    native = Native(LOOP, {"w": W, "one": np.array(1), "zero": np.array(0)})
    for most in (0, 1, 2, 7):
        native.call(floats(8), np.int64(most))


def test_a_loop_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOUGH_TURNS", "1000")
    native = Native(LOOP, {"w": W, "one": np.array(1), "zero": np.array(0)})
    native.executable(floats(8), np.int64(1000))
    with pytest.raises(InputError, match=r"BGH-IN-015.*a loop has run 1000 times"):
        native.executable(floats(8), np.int64(1001))


GROW = """
func main(x: f32[batch, 1, 8], most: i64[]) -> (rows_last, halved, mean)
  dims batch: 1..
  const w: f32[8, 8]
  const one: i64[]
  while
    carry rows: f32[batch, n, 8] = x
    carry last: f32[batch, 1, 8] = x
    carry count: i64[] = one
    size n = count in 1..
    more: bool[] = lt(count, most)
    test more
    product: f32[batch, 1, 8] = linear(last, w, none)
    new: f32[batch, 1, 8] = tanh(product)
    rows2: f32[batch, n + 1, 8] = concat(rows, new, axis=1)
    mean2: f32[batch, 1, 8] = reduce_mean(rows2, axes=(1,), keep=true)
    last2: f32[batch, 1, 8] = add(mean2, new)
    count2: i64[] = add(count, one)
    next rows = rows2 -> rows_last: f32[batch, m, 8]
    next last = last2 -> last_last: f32[batch, 1, 8]
    next count = count2 -> count_last: i64[]
  size m = count_last in 1..
  half: f32[batch, m, 8] = mul(rows_last, rows_last)
  halved: f32[batch, m * 8] = reshape(half, shape=(batch, m * 8))
  mean: f32[batch, 8] = reduce_mean(rows_last, axes=(1,), keep=false)
"""


def test_sizes_that_loops_compute() -> None:
    native = Native(GROW, {"w": W, "one": np.array(1)})
    for most in (1, 2, 9, 30):
        native.call(floats(3, 1, 8), np.int64(most))


def test_a_call_that_needs_more_capacity_gets_it() -> None:
    native = Native(GROW, {"w": W, "one": np.array(1)})
    rows, halved, _ = native.executable(floats(2, 1, 8), np.int64(1000))
    assert rows.shape == (2, 1000, 8) and halved.shape == (2, 8000) and np.isfinite(rows).all()
    again = native.executable(floats(2, 1, 8), np.int64(1000))
    np.testing.assert_array_equal(again[0], rows)


BOUNDED = """
func main(x: f32[20, 3], count: i64[]) -> (head, sums)
  size n = count in 0..20
  head: f32[n, 3] = slice(x, axis=0, start=0, stop=n, step=1)
  sums: f32[3] = reduce_sum(head, axes=(0,), keep=false)
"""


def test_sizes_with_a_bound() -> None:
    native = Native(BOUNDED)
    for count in (0, 1, 13, 20):
        native.call(floats(20, 3), np.int64(count))
    for count in (-1, 21):
        with pytest.raises(InputError, match="RuntimeError"):
            native.executable(floats(20, 3), np.int64(count))


CHECK = """
func main(x: f32[4]) -> (y)
  const zero: f32[]
  amount: f32[] = reduce_sum(x, axes=(0,), keep=false)
  positive: bool[] = gt(amount, zero)
  check positive "AssertionError" "must be positive"
  y: f32[4] = div(x, amount)
"""


def test_checks_raise_what_the_model_would() -> None:
    native = Native(CHECK, {"zero": np.float32(0)})
    native.call(np.ones(4, np.float32))
    with pytest.raises(AssertionError, match="must be positive") as caught:
        native.executable(-np.ones(4, np.float32))
    assert isinstance(caught.value, InputError) and caught.value.code == "BGH-IN-012"


NESTED = """
func main(x: f32[8], most: i64[]) -> (h_last)
  const two: i64[]
  const zero: i64[]
  const one: i64[]
  while
    carry h: f32[8] = x
    carry i: i64[] = zero
    more: bool[] = lt(i, most)
    test more
    while
      carry g: f32[8] = h
      carry j: i64[] = zero
      going: bool[] = lt(j, i)
      test going
      g2: f32[8] = sin(g)
      j2: i64[] = add(j, one)
      next g = g2 -> g_last: f32[8]
      next j = j2 -> j_last: i64[]
    rest: i64[] = mod(i, two)
    odd: bool[] = eq(rest, one)
    if odd
      first: f32[8] = add(g_last, x)
    else
      amount: f32[] = reduce_sum(g_last, axes=(0,), keep=false)
      large: bool[] = gt(amount, amount)
      if large
        same: f32[8] = exp(g_last)
      else
        other: f32[8] = cos(h)
      join inner: f32[8] = same, other
    join h2: f32[8] = first, inner
    i2: i64[] = add(i, one)
    next h = h2 -> h_last: f32[8]
    next i = i2 -> i_last: i64[]
"""


def test_control_inside_control() -> None:
    native = Native(NESTED, {"one": np.array(1), "zero": np.array(0), "two": np.array(2)})
    for most in (0, 1, 2, 3, 6):
        native.call(floats(8), np.int64(most))
