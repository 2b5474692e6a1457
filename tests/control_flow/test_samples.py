"""Sequences for many samples give, row by row, what those for one give."""

from __future__ import annotations

import numpy as np
import pytest

from bough.control_flow import over_samples
from bough.control_flow.samples import written_whole
from bough.ir.interpret_sequence import run_sequence
from bough.ir.sequence_text import parse_sequence, print_sequence
from bough.ir.verify_sequence import verify_sequence

BRANCH = """sequence main(x: f32[4]) -> (y)
  temporary c: bool[]
  temporary t: f32[4]
  temporary y: f32[4]
  kernel large(x: f32[4]) -> (c: bool[])
    axes i: 4
    s = sum(i) x[i]
    c[] = s > 0.0
  if c[]
    kernel double(x: f32[4]) -> (t: f32[4])
      axes i: 4
      t[i] = x[i] * 2.0
    kernel first(t: f32[4]) -> (y: f32[4])
      axes i: 4
      y[i] = t[i] + 1.0
  else
    kernel second(x: f32[4]) -> (y: f32[4])
      axes i: 4
      y[i] = x[3 - i] - 5.0
"""

NESTED_LOOPS = """sequence main(x: f32[], bound: i64[]) -> (total, turns)
  temporary going: bool[]
  temporary more: bool[]
  temporary total: f32[]
  temporary inner: i64[]
  temporary turns: i64[]
  kernel start(x: f32[]) -> (total: f32[], turns: i64[])
    total[] = x[]
    turns[] = 0
  while turn
    kernel test(total: f32[], turns: i64[], bound: i64[]) -> (going: bool[])
      going[] = and(total[] < 20.0, turns[] < bound[])
    test going[]
    kernel clear() -> (inner: i64[])
      inner[] = 0
    while again
      kernel ask(inner: i64[], turns: i64[]) -> (more: bool[])
        more[] = inner[] < turns[] % 3
      test more[]
      kernel grow(total: f32[], inner: i64[]) -> (total: f32[], inner: i64[])
        total[] = total[] * 1.5 + 1.0
        inner[] = inner[] + 1
    kernel next(turns: i64[], total: f32[]) -> (turns: i64[], total: f32[])
      turns[] = turns[] + 1
      total[] = total[] + 0.25
"""

SIZES = """sequence main(x: f32[6], n: i64[]) -> (y, s, z)
  temporary y: f32[6]
  temporary z: f32[12]
  temporary s: f32[]
  kernel clear() -> (y: f32[6])
    axes i: 6
    y[i] = 0.0
  kernel empty() -> (z: f32[12])
    axes i: 12
    z[i] = 0.0
  define size = n[] nominal 4
  check size <= 6 else "capacity"
  kernel scale(x: f32[6]) -> (y: f32[6])
    axes i: size
    y[i] = x[size - 1 - i] * 2.0
  kernel add(x: f32[6], y: f32[6]) -> (s: f32[])
    axes k: size
    t = sum(k) x[k] * y[k]
    s[] = t
  kernel join(x: f32[6]) -> (z: f32[12])
    axes i: size
    z[i] = x[i]
  kernel twice(x: f32[6]) -> (z: f32[12])
    axes i: size
    z[i + size] = 3.0 * x[i]
  repeat step in 0..size
    kernel bump(x: f32[6], s: f32[]) -> (s: f32[])
      s[] = s[] + x[step]
"""


TURNS = """sequence main(x: f32[6], n: i64[]) -> (total)
  temporary total: f32[]
  temporary new: f32[6]
  temporary old: f32[6]
  kernel clear() -> (total: f32[])
    total[] = 0.0
  define size = n[] nominal 4
  check size <= 6 else "capacity"
  repeat step in 0..size
    kernel fill(x: f32[6]) -> (new: f32[6])
      axes i: size - step
      new[i] = x[i]
    kernel before(old: f32[6], total: f32[]) -> (total: f32[])
      axes k: size
      t = sum(k) old[k]
      total[] = total[] + t
    kernel now(new: f32[6], total: f32[]) -> (total: f32[])
      axes k: size - step
      t = sum(k) new[k]
      total[] = total[] + t
    kernel keep(x: f32[6]) -> (old: f32[6])
      axes i: size
      old[i] = x[i]
"""


LENGTHS = """sequence main(x: f32[words, 3], w: f32[3, 3], bound: f32[]) -> (y, most, fits)
  dims words: 0..9
  temporary y: f32[words, 3]
  temporary h: f32[words, 3]
  temporary fits: f32[2, words]
  temporary most: f32[3]
  temporary going: bool[]
  kernel project(x: f32[words, 3], w: f32[3, 3]) -> (h: f32[words, 3])
    axes i: words, j: 3, k: 3
    s = sum(k) x[i, k] * w[j, k]
    h[i, j] = s
  kernel reverse(h: f32[words, 3]) -> (y: f32[words, 3])
    axes i: words, j: 3
    y[i, j] = h[words - 1 - i, j]
  kernel fit(h: f32[words, 3]) -> (fits: f32[2, words])
    axes a: 2, i: words, k: 3
    s = sum(k) h[i, k] * h[words - 1, k]
    fits[a, i] = s
  kernel best(h: f32[words, 3]) -> (most: f32[3])
    axes j: 3, i: words
    m = max(i) h[i, j]
    most[j] = m
  repeat t in 0..words
    kernel more(most: f32[3], bound: f32[]) -> (going: bool[])
      going[] = most[0] < bound[]
    if going[]
      kernel add(h: f32[words, 3], most: f32[3]) -> (most: f32[3])
        axes j: 3
        most[j] = most[j] + abs(h[t, j]) + 0.5
"""


def test_inputs_of_different_sizes() -> None:
    rng = np.random.default_rng(0)
    one, lengths = parse_sequence(LENGTHS), (3, 0, 9, 1, 3)
    many = over_samples(one)
    verify_sequence(many)
    assert print_sequence(parse_sequence(print_sequence(many))) == print_sequence(many)
    samples = [
        (rng.standard_normal((n, 3)).astype(np.float32), rng.standard_normal((3, 3)).astype(np.float32), np.float32(2.0))
        for n in lengths
    ]
    padded = [np.pad(x, ((0, max(lengths) - len(x)), (0, 0)), constant_values=np.nan) for x, _, _ in samples]
    rest = [np.stack([s[n] for s in samples]) for n in (1, 2)]
    inputs = [np.stack(padded), *rest, np.array(lengths)]
    y, most, fits = run_sequence(many, inputs, {"words": max(lengths), many.dims[-1].name: len(lengths)})
    for n, sample in enumerate(samples):
        alone = run_sequence(one, list(sample), {"words": lengths[n]})
        np.testing.assert_array_equal(y[n, : lengths[n]], alone[0])
        np.testing.assert_array_equal(most[n], alone[1])
        np.testing.assert_array_equal(fits[n, :, : lengths[n]], alone[2])


def compare(text: str, samples: list[tuple[np.ndarray, ...]]) -> None:
    one = parse_sequence(text)
    many = over_samples(one)
    verify_sequence(many)
    assert print_sequence(parse_sequence(print_sequence(many))) == print_sequence(many)
    stacked = [np.stack(column) for column in zip(*samples)]
    results = run_sequence(many, stacked, {many.dims[-1].name: len(samples)})
    for n, sample in enumerate(samples):
        for whole, alone in zip(results, run_sequence(one, list(sample))):
            np.testing.assert_array_equal(whole[n], alone)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_branches(count: int) -> None:
    rng = np.random.default_rng(count)
    compare(BRANCH, [(rng.standard_normal(4).astype(np.float32),) for _ in range(count)])


def test_nested_loops_of_different_length() -> None:
    rng = np.random.default_rng(0)
    compare(NESTED_LOOPS, [(np.float32(rng.standard_normal() * 5), np.int64(rng.integers(0, 9))) for _ in range(9)])


def test_sizes_of_their_own() -> None:
    rng = np.random.default_rng(0)
    compare(SIZES, [(rng.standard_normal(6).astype(np.float32), np.int64(n)) for n in (0, 3, 6, 1, 5)])


def test_arrays_whose_rest_means_nothing() -> None:
    """Not those that several kernels write, nor those of which a turn reads what the turn before has written."""
    assert written_whole(parse_sequence(LENGTHS)) == {"y", "fits", "going"}
    assert written_whole(parse_sequence(SIZES)) == set()
    assert written_whole(parse_sequence(TURNS)) == {"new"}
