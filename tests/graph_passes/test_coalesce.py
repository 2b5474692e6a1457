"""Arrays become one where nothing needs both, and only there; what is kept is not written again."""

from __future__ import annotations

import numpy as np
import pytest

from bough.graph_passes.coalesce import coalesce, coalesce_appends
from bough.graph_passes.fuse import fuse
from bough.graph_passes.liveness import live_after
from bough.graph_passes.plan_memory import live_spans
from bough.ir.interpret_sequence import Failed, run_sequence
from bough.ir.sequence import Sequence, kernels
from bough.ir.sequence_text import parse_sequence, print_sequence
from bough.ir.verify_sequence import verify_sequence

LOOP = """
sequence main(x: f32[8], most: i64[]) -> (h)
  temporary h: f32[8]
  temporary h2: f32[8]
  temporary more: bool[]
  kernel start(x: f32[8]) -> (h: f32[8])
    axes i: 8
    h[i] = x[i]
  while turn
    kernel test(most: i64[]) -> (more: bool[])
      more[] = turn < most[]
    test more[]
    kernel body(h: f32[8]) -> (h2: f32[8])
      axes i: 8
      h2[i] = h[READ] * 0.5
    kernel next(h2: f32[8]) -> (h: f32[8])
      axes i: 8
      h[i] = h2[i]
"""


def checked(sequence: Sequence, *inputs: np.ndarray, **sizes: int) -> Sequence:
    """The sequence after both passes around fusion, which means the same."""
    verify_sequence(sequence)
    expected = run_sequence(sequence, list(inputs), sizes)
    for change in (coalesce_appends, fuse, coalesce):
        sequence = change(sequence)
        verify_sequence(sequence)
        for got, want in zip(run_sequence(sequence, list(inputs), sizes), expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6)
    return sequence


@pytest.mark.parametrize(("read", "copies"), [("i", 0), ("7 - i", 1)])
def test_a_state_is_updated_in_place_where_each_element_needs_itself_alone(read: str, copies: int) -> None:
    sequence = checked(parse_sequence(LOOP.replace("READ", read)), np.arange(8, dtype=np.float32), np.array(3))
    assert len(kernels(sequence.steps)) == 3 + copies


GROW = """
sequence main(x: f32[1, 4], most: i64[]) -> (rows, n)
  dims capacity: 1..
  computed count
  temporary rows: f32[capacity, 4]
  temporary rows2: f32[capacity, 4]
  temporary mean: f32[4]
  temporary n: i64[]
  temporary n2: i64[]
  temporary more: bool[]
  partly rows, rows2
  kernel start(x: f32[1, 4]) -> (rows: f32[capacity, 4])
    axes i: 1, j: 4
    rows[i, j] = x[i, j]
  kernel one() -> (n: i64[])
    n[] = 1
  while turn
    define size = n[] nominal 64
    check size + 1 <= capacity else "capacity"
    kernel test(n: i64[], most: i64[]) -> (more: bool[])
      more[] = n[] < most[]
    test more[]
    kernel mean(rows: f32[capacity, 4]) -> (mean: f32[4])
      axes j: 4, k: size
      s = sum(k) rows[k, j]
      mean[j] = s / f32(size) + 1.0
    kernel concat(rows: f32[capacity, 4], mean: f32[4]) -> (rows2: f32[capacity, 4])
      axes i: size + 1, j: 4
      rows2[i, j] = select(i < size, rows[i, j], mean[j])
    kernel count(n: i64[]) -> (n2: i64[])
      n2[] = n[] + 1
    kernel next(rows2: f32[capacity, 4]) -> (rows: f32[capacity, 4])
      axes i: size + 1, j: 4
      rows[i, j] = rows2[i, j]
    kernel nextn(n2: i64[]) -> (n: i64[])
      n[] = n2[]
"""


def test_a_row_is_appended_without_touching_the_others() -> None:
    sequence = checked(parse_sequence(GROW), np.ones((1, 4), np.float32), np.array(6), capacity=8)
    text = print_sequence(sequence)
    assert "rows2" not in sequence.temporaries or "rows" not in sequence.temporaries
    assert "i + size, j]" in text and "select" not in text
    with pytest.raises(Failed, match="capacity"):
        run_sequence(sequence, [np.ones((1, 4), np.float32), np.array(9)], {"capacity": 8})


def test_rows_that_are_still_needed_are_not_changed() -> None:
    """The old rows are read behind the new ones: both stay."""
    late = """    kernel late(rows: f32[capacity, 4]) -> (mean: f32[4])
      axes j: 4, k: size
      s = sum(k) rows[k, j]
      mean[j] = s
    kernel next(rows2"""
    text = GROW.replace("    kernel next(rows2", late).replace("-> (rows, n)", "-> (rows, mean, n)")
    sequence = checked(parse_sequence(text), np.ones((1, 4), np.float32), np.array(6), capacity=8)
    assert {"rows", "rows2"} <= sequence.temporaries.keys()


UPDATE = """
sequence main(x: f32[4, 8], new: f32[8], at: i64[]) -> (y)
  temporary y: f32[4, 8]
  temporary y2: f32[4, 8]
  temporary k: i64[]
  kernel start(x: f32[4, 8]) -> (y: f32[4, 8])
    axes i: 4, j: 8
    y[i, j] = x[i, j]
  kernel number(at: i64[]) -> (k: i64[])
    k[] = select(at[] < 0, at[] + 4, at[])
  if at[] < 100
    kernel set(y: f32[4, 8], new: f32[8], k: i64[]) -> (y2: f32[4, 8])
      axes i: 4, j: 8
      y2[i, j] = select(k[] == i, new[j] * 2.0, y[i, j])
    kernel next(y2: f32[4, 8]) -> (y: f32[4, 8])
      axes i: 4, j: 8
      y[i, j] = y2[i, j]
"""


@pytest.mark.parametrize("at", [0, 3, -1, 4, 100])
def test_one_row_is_changed_without_touching_the_others(at: int) -> None:
    rng = np.random.default_rng(0)
    x, new = rng.standard_normal((4, 8), dtype=np.float32), rng.standard_normal(8, dtype=np.float32)
    text = print_sequence(checked(parse_sequence(UPDATE), x, new, np.array(at)))
    assert "y2" not in text and "[`y.at`, j] = new[j] * 2.0" in text.replace("y2.at", "y.at").replace("[y.at", "[`y.at`")


BRANCH = """
sequence main(x: f32[8], y: f32[8]) -> (r)
  temporary a: f32[8]
  temporary r: f32[8]
  temporary go: bool[]
  kernel first(x: f32[8]) -> (a: f32[8])
    axes i: 8
    a[i] = x[i] + 1.0
  kernel test(x: f32[8]) -> (go: bool[])
    go[] = x[0] > 0.0
  if go[]
    kernel then(a: f32[8], y: f32[8]) -> (r: f32[8])
      axes i: 8
      r[i] = a[i] * y[i]
  else
    kernel otherwise(a: f32[8]) -> (r: f32[8])
      axes i: 8
      r[i] = a[i]
"""


@pytest.mark.parametrize("sign", [1, -1])
def test_a_branch_that_gives_what_it_was_given_does_nothing(sign: int) -> None:
    sequence = checked(parse_sequence(BRANCH), sign * np.arange(1, 9, dtype=np.float32), np.arange(8, dtype=np.float32))
    assert [k.name for k in kernels(sequence.steps)] == ["first", "test", "then"]


def test_what_is_live() -> None:
    sequence = parse_sequence(BRANCH)
    alive = [set(live) for live in live_after(sequence)]
    assert alive == [{"a", "x", "y"}, {"a", "go", "y"}, {"r"}, {"r"}]


def test_branches_share_memory_and_loops_keep_theirs() -> None:
    text = """
sequence main(x: f32[8]) -> (r)
  temporary kept: f32[8]
  temporary a: f32[8]
  temporary b: f32[8]
  temporary r: f32[8]
  kernel first(x: f32[8]) -> (kept: f32[8])
    axes i: 8
    kept[i] = x[i]
  repeat t in 0..3
    if x[0] > 0.0
      kernel one(x: f32[8]) -> (a: f32[8])
        axes i: 8
        a[i] = x[7 - i]
      kernel two(a: f32[8]) -> (r: f32[8])
        axes i: 8
        r[i] = a[7 - i]
    else
      kernel three(kept: f32[8]) -> (b: f32[8])
        axes i: 8
        b[i] = kept[7 - i]
      kernel four(b: f32[8]) -> (r: f32[8])
        axes i: 8
        r[i] = b[7 - i]
"""
    sequence = parse_sequence(text)
    verify_sequence(sequence)
    spans = live_spans(sequence)
    assert spans["a"][1] < spans["b"][0]
    assert spans["kept"][0] == 0 and spans["kept"][1] >= spans["b"][1]


def test_a_row_is_not_where_its_array_begins() -> None:
    text = """
sequence main(x: f32[4, 8], at: i64[]) -> (r)
  temporary rows: f32[4, 8]
  temporary row: f32[1, 8]
  temporary r: f32[8]
  kernel first(x: f32[4, 8]) -> (rows: f32[4, 8])
    axes i: 4, j: 8
    rows[i, j] = x[i, 7 - j]
  if at[] < 2
    kernel take(rows: f32[4, 8]) -> (row: f32[1, 8])
      axes i: 1, j: 8
      row[i, j] = rows[i + 3, j]
    kernel use(row: f32[1, 8]) -> (r: f32[8])
      axes j: 8
      r[j] = row[0, 7 - j]
  else
    kernel zero() -> (r: f32[8])
      axes j: 8
      r[j] = 0.0
"""
    rng = np.random.default_rng(0)
    checked(parse_sequence(text), rng.standard_normal((4, 8), dtype=np.float32), np.array(1))
