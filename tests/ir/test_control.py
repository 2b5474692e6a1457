"""Branches, loops and computed sizes of the Program level: texts, what the verifier refuses, what they mean."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_control import RandomControl

from bough import ops
from bough.base.errors import InternalError
from bough.ir.interpret_program import CheckFailed, run_program
from bough.ir.program import If, Size, While
from bough.ir.program_text import parse_program, print_program, same_program
from bough.ir.text import ParseError
from bough.ir.verify_program import verify_program

TEXT = """
func main(x: f32[8], n: i64[], long: bool[]) -> (y, kept, collected, squares)
  dims capacity: 1..
  const zero: i64[]
  const one: i64[]
  if long
    a: f32[8] = relu(x)
    two: i64[] = add(one, one)
  else
    b: f32[8] = neg(x)
    if long
    else
      unused: f32[8] = neg(b)
  join y: f32[8] = a, b
  join count: i64[] = two, n
  if long
  join kept: f32[8] = y, x
  check long "AssertionError" "not \\"long\\""
  empty: f32[0, 8] = full(shape=(0, 8), value=0.0, dtype=f32)
  while
    carry i: i64[] = zero
    carry rows: f32[k, 8] = empty
    size k = i in 0..
    more: bool[] = lt(i, n)
    test more
    row: f32[1, 8] = reshape(x, shape=(1, 8))
    longer: f32[k + 1, 8] = concat(rows, row, axis=0)
    next_i: i64[] = add(i, one)
    next i = next_i -> last: i64[]
    next rows = longer -> collected: f32[m, 8]
  size m = last in 0..
  size bounded = count in 1..max(8, capacity)
  squares: f32[m, 8] = mul(collected, collected)
"""
CONSTANTS = {"zero": np.array(0), "one": np.array(1)}
X = np.arange(-4, 4, dtype=np.float32)


def test_texts_come_back() -> None:
    program = parse_program(TEXT, CONSTANTS)
    assert print_program(program).strip() == TEXT.strip()
    verify_program(program, ops.infer)
    body = program.functions["main"].body
    assert [type(n) for n in body if isinstance(n, (If, While, Size))] == [If, If, While, Size, Size]


def test_meaning() -> None:
    program = parse_program(TEXT, CONSTANTS)
    y, kept, collected, squares = run_program(program, [X, np.array(3), np.array(True)], ops.evaluate, given={"capacity": 9})
    np.testing.assert_array_equal(y, np.maximum(X, 0))
    np.testing.assert_array_equal(kept, y)
    np.testing.assert_array_equal(collected, [X] * 3)
    np.testing.assert_array_equal(squares, [X * X] * 3)
    with pytest.raises(CheckFailed, match='AssertionError: not "long"'):
        run_program(program, [X, np.array(3), np.array(False)], ops.evaluate, given={"capacity": 9})


def test_a_size_outside_its_bounds_ends_the_call() -> None:
    text = "func main(n: i64[]) -> (y)\n  size k = n in 1..3\n  y: f32[k] = full(shape=(k,), value=1.0, dtype=f32)\n"
    program = parse_program(text)
    assert run_program(program, [np.array(2)], ops.evaluate)[0].shape == (2,)
    for wrong in (0, 4, -1):
        with pytest.raises(CheckFailed, match=r"the computed size .* is not in 1\.\.3"):
            run_program(program, [np.array(wrong)], ops.evaluate)


def test_a_loop_without_end_is_an_error() -> None:
    program = parse_program("func main(go: bool[]) -> ()\n  while\n    test go\n")
    assert run_program(program, [np.array(False)], ops.evaluate) == ()
    with pytest.raises(CheckFailed, match="RuntimeError: a loop did not end within 10 turns"):
        run_program(program, [np.array(True)], ops.evaluate, turns=10)


def test_a_condition_that_is_nan() -> None:
    """Comparisons with NaN are false, as in Python."""
    text = """
func main(x: f32[]) -> (y)
  const zero: f32[]
  above: bool[] = gt(x, zero)
  if above
    a: f32[] = neg(x)
  join y: f32[] = a, zero
"""
    assert run_program(parse_program(text), [np.array(np.nan, np.float32)], ops.evaluate)[0] == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    test more\n", "", "line 20, column 3: this loop tests nothing"),
        ("join y: f32[8] = a, b", "join y: f32[8] = a", "expected ','"),
        ("    next i = next_i -> last: i64[]\n", "", "a carried value of this loop has no next value"),
        ('"AssertionError" ', "", "expected a string"),
        ("in 0..\n    more", "in ..\n    more", "expected an integer"),
    ],
)
def test_wrong_texts(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(ParseError, match=message):
        parse_program(TEXT.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("join y: f32[8] = a, b", "join y: f32[8] = a, a", "a has no value yet"),
        ("join y: f32[8] = a, b", "join y: f32[9] = a, b", r"y is f32\[9\] and f32\[8\]"),
        ("if long\n    a", "if n\n    a", r"n is i64\[\], not bool\[\],"),
        ("unused: f32[8] = neg(b)", "unused: f32[8] = neg(a)", "a has no value yet"),
        ("squares: f32[m, 8] = mul(collected, collected)", "squares: f32[8] = neg(row)", "row has no value yet"),
        ("join kept: f32[8] = y, x", "join kept: f32[8] = a, x", "a has no value yet"),
        ("check long", "check n", r"n is i64\[\], not bool\[\],"),
        ("size bounded = count", "size bounded = long", r"long is bool\[\], not i64\[\],"),
        ("size bounded = count", "size m = count", "the size m is defined twice"),
        ("max(8, capacity)", "max(8, k)", "k is not defined"),
        ("  size m = last in 0..\n", "", "m is not defined"),
        ("    size k = i in 0..\n", "", "k is not defined"),
        ("longer: f32[k + 1, 8] = concat(rows, row, axis=0)", "longer: f32[k] = neg(i)", "the results are"),
        ("next rows = longer", "next rows = next_i", r"rows is f32\[k, 8\] and i64\[\]"),
        ("squares: f32[m, 8] =", "squares: f32[k, 8] =", "the results are|k is not defined"),
    ],
)
def test_wrong_programs(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(InternalError, match=message):
        verify_program(parse_program(TEXT.replace(old, new, 1)), ops.infer)


def test_golden(golden: Callable[[str, str], None]) -> None:
    golden("control_program", print_program(parse_program(TEXT, CONSTANTS), hashes=True))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32))
def test_random_programs_come_back(seed: int) -> None:
    program = RandomControl(Random(seed)).program()
    verify_program(program, ops.infer)
    function = program.functions["main"]
    again = parse_program(print_program(program), {v.name: a for v, a in function.constants.items()})
    assert same_program(program, again)
    args = [np.array([0.5, -0.25, 1.0], np.float32), np.array(seed % 4)]
    try:
        wanted = run_program(program, args, ops.evaluate, turns=100)
    except CheckFailed as failed:
        with pytest.raises(CheckFailed, match=failed.message):
            run_program(again, args, ops.evaluate, turns=100)
        return
    for a, b in zip(run_program(again, args, ops.evaluate), wanted, strict=True):
        np.testing.assert_array_equal(a, b)
