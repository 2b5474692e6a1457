"""Arrays with room for their padding: the texts that come out, that nothing else changes, and what stays a copy."""

from __future__ import annotations

import numpy as np
import pytest

from bough.graph_passes.effects import Region, fills
from bough.graph_passes.exposed import exposed
from bough.graph_passes.pad_in_place import pad_in_place
from bough.ir.expr import Var, add
from bough.ir.interpret_sequence import run_sequence
from bough.ir.kernel_text import print_kernel
from bough.ir.sequence import Sequence, kernels
from bough.ir.sequence_text import parse_sequence
from bough.ir.verify_sequence import verify_sequence

MAKE = """
  kernel make(x: f32[2, 5, 3]) -> (t: f32[2, 5, 3])
    axes n: 2, p: 5, c: 3
    t[n, p, c] = x[n, p, c] * 2.0"""
PAD = """
  kernel pad(t: f32[2, 5, 3]) -> (u: f32[2, 7, 3])
    axes n: 2, i: 7, c: 3
    u[n, i, c] = select(and(i >= 1, i < 6), t[n, i - 1, c], 0.0)"""
SUM = """
  kernel sums(u: f32[2, 7, 3], t: f32[2, 5, 3]) -> (y: f32[2, 5])
    axes n: 2, p: 5, r: 3, c: 3
    s = sum(r, c) u[n, p + r, c]
    m = sum(c) t[n, p, c]
    y[n, p] = s + m"""
HEAD = """
sequence main(x: f32[2, 5, 3]) -> (y)
  temporary t: f32[2, 5, 3]
  temporary u: f32[2, 7, 3]
  temporary y: f32[2, 5]"""
AFTER = """
kernel make(x: f32[2, 5, 3]) -> (u: f32[2, 7, 3])
  axes n: 2, p: 5, c: 3
  u[n, p + 1, c] = x[n, p, c] * 2.0
kernel pad.border() -> (u: f32[2, 7, 3])
  axes n: 2, i: 1, c: 3
  u[n, i, c] = 0.0
  u[n, i + 6, c] = 0.0
kernel sums(u: f32[2, 7, 3]) -> (y: f32[2, 5])
  axes n: 2, p: 5, r: 3, c: 3
  s = sum(r, c) u[n, p + r, c]
  m = sum(c) u[n, p + 1, c]
  y[n, p] = s + m
"""


def same_results(before: Sequence, after: Sequence, *inputs: np.ndarray) -> None:
    verify_sequence(after)
    for expected, result in zip(run_sequence(before, list(inputs)), run_sequence(after, list(inputs)), strict=True):
        assert expected.tobytes() == result.tobytes()


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def test_who_makes_it_leaves_room() -> None:
    before = parse_sequence(HEAD + MAKE + PAD + SUM)
    after = pad_in_place(before)
    assert "\n".join(map(print_kernel, kernels(after.steps))).split() == AFTER.split()
    assert set(after.temporaries) == {"u", "y"}
    same_results(before, after, numbers(2, 5, 3))


def test_border_and_inside_are_all_of_it() -> None:
    """Nothing of the array comes from a turn before."""
    assert "u" not in exposed(pad_in_place(parse_sequence(HEAD + MAKE + PAD + SUM)).steps)


def test_largest_padding_serves_all() -> None:
    text = """
sequence main(x: f32[4, 5, 3]) -> (y)
  temporary t: f32[4, 5, 3]
  temporary u: f32[6, 7, 3]
  temporary v: f32[4, 9, 3]
  temporary y: f32[4, 5, 3]
  kernel make(x: f32[4, 5, 3]) -> (t: f32[4, 5, 3])
    axes p: 4, q: 5, c: 3
    t[p, q, c] = x[p, q, c] * 2.0
  kernel small(t: f32[4, 5, 3]) -> (u: f32[6, 7, 3])
    axes i: 6, j: 7, c: 3
    u[i, j, c] = select(and(and(and(i >= 1, i < 5), j >= 1), j < 6), t[i - 1, j - 1, c], 0.0)
  kernel large(t: f32[4, 5, 3]) -> (v: f32[4, 9, 3])
    axes i: 4, j: 9, c: 3
    v[i, j, c] = select(and(j >= 3, j < 8), t[i, j - 3, c], 0.0)
  kernel sums(u: f32[6, 7, 3], v: f32[4, 9, 3], t: f32[4, 5, 3]) -> (y: f32[4, 5, 3])
    axes p: 4, q: 5, c: 3, r: 3, s: 3
    a = sum(r, s) u[p + r, q + s, c]
    y[p, q, c] = a + v[p, q + 4, c] * t[p, q, c]
"""
    before = parse_sequence(text)
    after = pad_in_place(before)
    assert set(after.temporaries) == {"u", "y"} and after.temporaries["u"].shape == (6, 9, 3)
    assert exposed(after.steps) == {"x"}
    same_results(before, after, numbers(4, 5, 3))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-> (y)", "-> (y, t)"),  # it is returned
        ("t[n, i - 1, c]", "t[n, i - 1, 2 - c]"),
        ("i < 6", "i < 5"),
        ("t[n, i - 1, c], 0.0", "t[n, i - 1, c], t[n, 0, c]"),
        (PAD + SUM, PAD + SUM + MAKE.replace("2.0", "3.0") + SUM.replace("sums", "again")),  # it changes after the copy
    ],
)
def test_what_stays_a_copy(old: str, new: str) -> None:
    text = HEAD + MAKE + PAD + SUM
    assert old in text
    before = parse_sequence(text.replace(old, new))
    assert [k.name for k in kernels(pad_in_place(before).steps)] == [k.name for k in kernels(before.steps)]


def test_innermost_dimension_is_copied() -> None:
    text = """
sequence main(x: f32[5, 3]) -> (y)
  temporary t: f32[5, 3]
  temporary u: f32[5, 5]
  temporary y: f32[5]
  kernel make(x: f32[5, 3]) -> (t: f32[5, 3])
    axes p: 5, c: 3
    t[p, c] = x[p, c] * 2.0
  kernel pad(t: f32[5, 3]) -> (u: f32[5, 5])
    axes p: 5, i: 5
    u[p, i] = select(and(i >= 1, i < 4), t[p, i - 1], 0.0)
  kernel sums(u: f32[5, 5]) -> (y: f32[5])
    axes p: 5, i: 5
    s = sum(i) u[p, i]
    y[p] = s
"""
    before = parse_sequence(text)
    assert [k.name for k in kernels(pad_in_place(before).steps)] == ["make", "pad", "sums"]


def test_parts_that_are_all_of_an_array_in_several_shapes() -> None:
    def part(shape: tuple[int, ...], *spans: tuple[int, int] | None) -> Region:
        return shape, tuple(None if s is None else (add(Var("#0"), s[0]), (s[1],)) for s in spans)

    inside, sides = part((6, 7, 3), (1, 4), (1, 5), None), [part((6, 7, 3), (1, 4), (n, 1), None) for n in (0, 6)]
    ends = [part((1, 6, 21), None, (n, 1), None) for n in (0, 5)]
    assert fills([inside, *sides, *ends])
    assert fills([ends[0], part((126,), (21, 105))]) is False  # not along a dimension of all
    assert fills([ends[0], part((6, 21), (1, 5), None)])
    assert not fills([inside, *sides, ends[0]])
    assert not fills([inside, *sides, *ends, ends[0]])
    assert not fills([part((6, 7, 3), (0, 5), None, None), part((6, 21), (4, 2), None)])  # they meet
    assert not fills([part((6, 7), None, (0, 3)), part((7, 6), None, (0, 3))])
