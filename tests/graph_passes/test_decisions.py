"""Passes over decisions: what they change, as text, and that programs mean the same behind them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_control import RandomControl

from bough import ops
from bough.graph_passes.decisions import fold_decisions, hoist, sink
from bough.graph_passes.values import drop_dead
from bough.ir.interpret_program import CheckFailed, run_program
from bough.ir.program import Program
from bough.ir.program_text import parse_program, print_program
from bough.ir.verify_program import verify_program

Pass = Callable[[Program], Program]
CONSTANTS = {
    "zero": np.array(0), "one": np.array(1), "yes": np.array(True), "no": np.array(False),
    "w": np.eye(4, dtype=np.float32),
}  # fmt: skip
HEADER = """func main(x: f32[4], n: i64[], c: bool[]) -> ({results})
  const zero: i64[]
  const one: i64[]
  const yes: bool[]
  const no: bool[]
  const w: f32[4, 4]
"""


def after(steps: Pass | list[Pass], body: str, results: str) -> str:
    """The body's text behind passes and without what is dead, for which it must mean the same on several inputs."""
    program = parse_program(HEADER.format(results=results) + body.strip("\n") + "\n", CONSTANTS)
    verify_program(program, ops.infer)
    new = program
    for step in [steps] if callable(steps) else steps:
        new = step(new)
        verify_program(new, ops.infer)
    new = drop_dead(new)
    verify_program(new, ops.infer)
    for n in (0, 1, 3):
        for c in (False, True):
            args = [np.array([1, -2, 3, -4], np.float32), np.array(n), np.array(c)]
            assert outcome(new, args) == outcome(program, args)
    lines = print_program(new).splitlines()
    return "\n".join(line for line in lines[1:] if not line.startswith("  const"))


def outcome(program: Program, args: list[np.ndarray]) -> object:
    try:
        return [a.tolist() for a in run_program(program, args, ops.evaluate, turns=50)]
    except CheckFailed as failed:
        return failed.error, failed.message


def test_sink_moves_a_chain_into_the_branch_that_uses_it() -> None:
    body = """
  a: f32[4] = neg(x)
  b: f32[4] = relu(a)
  both: f32[4] = tanh(x)
  if c
    d: f32[4] = add(b, both)
  else
    if c
      e: f32[4] = mul(both, both)
    join f: f32[4] = e, x
  join y: f32[4] = d, f
"""
    assert after(sink, body, "y") == """\
  both: f32[4] = tanh(x)
  if c
    a: f32[4] = neg(x)
    b: f32[4] = relu(a)
    d: f32[4] = add(b, both)
  else
    if c
      e: f32[4] = mul(both, both)
    join f: f32[4] = e, x
  join y: f32[4] = d, f"""


def test_sink_goes_as_deep_as_it_can_but_not_into_loops() -> None:
    body = """
  a: f32[4] = neg(x)
  b: f32[4] = tanh(x)
  if c
    if c
      d: f32[4] = relu(a)
    join e: f32[4] = d, x
    while
      carry i: i64[] = zero
      carry s: f32[4] = x
      more: bool[] = lt(i, n)
      test more
      i2: i64[] = add(i, one)
      s2: f32[4] = add(s, b)
      next i = i2 -> last: i64[]
      next s = s2 -> sum: f32[4]
    g: f32[4] = add(e, sum)
  join y: f32[4] = g, x
"""
    text = after(sink, body, "y")
    assert text.startswith("  if c\n    b: f32[4] = tanh(x)\n    if c\n      a: f32[4] = neg(x)\n      d: f32[4] = relu(a)")


def test_known_conditions_vanish() -> None:
    body = """
  sure: bool[] = logical_or(c, yes)
  if sure
    a: f32[4] = neg(x)
    if sure
      a2: f32[4] = relu(a)
    join a3: f32[4] = a2, x
  join y: f32[4] = a3, x
  if c
    nc: bool[] = logical_not(c)
    if nc
      u: f32[4] = tanh(x)
    join v: f32[4] = u, y
  join z: f32[4] = v, y
  check yes "ValueError" "never"
"""
    assert after(fold_decisions, body, "y, z") == "  a: f32[4] = neg(x)\n  a2: f32[4] = relu(a)"


def test_a_flag_that_repeats_the_condition_is_the_condition() -> None:
    """What staging makes of an early return: a flag, and all that follows where it is not set."""
    body = """
  if c
    a: f32[4] = neg(x)
  else
    b: f32[4] = tanh(x)
    filler: f32[4] = full(shape=(4,), value=0.0, dtype=f32)
  join returned: bool[] = yes, no
  join result: f32[4] = a, filler
  join left: f32[4] = filler2, b
  go: bool[] = logical_not(returned)
  if go
    d: f32[4] = relu(left)
  join y: f32[4] = d, result
""".replace("  if c\n", "  filler2: f32[4] = full(shape=(4,), value=0.0, dtype=f32)\n  if c\n", 1)
    text = after([fold_decisions, drop_dead, sink, fold_decisions], body, "y")
    assert text == """\
  if c
    a: f32[4] = neg(x)
  else
    b: f32[4] = tanh(x)
    d: f32[4] = relu(b)
  join y: f32[4] = a, d"""


def test_states_that_never_change_leave_the_loop() -> None:
    body = """
  while
    carry i: i64[] = zero
    carry kept: f32[4] = x
    carry j: i64[] = zero
    carry deep: f32[4] = x
    more: bool[] = lt(i, n)
    test more
    i2: i64[] = add(i, one)
    if c
    join same: f32[4] = deep, deep
    next i = i2 -> last: i64[]
    next kept = kept -> kept2: f32[4]
    next j = i2 -> last2: i64[]
    next deep = same -> deep2: f32[4]
  y: f32[4] = add(kept2, deep2)
"""
    text = after(fold_decisions, body, "y, last, last2")
    assert [line.split(":")[0].strip() for line in text.splitlines() if "carry" in line] == ["carry i"]
    assert "y: f32[4] = add(x, x)" in text


def test_what_does_not_change_is_computed_before_the_loop() -> None:
    body = """
  while
    carry i: i64[] = zero
    carry s: f32[1, 4] = s0
    more: bool[] = lt(i, n)
    test more
    row: f32[1, 4] = reshape(x, shape=(1, 4))
    p: f32[1, 4] = linear(row, w, none)
    wide: f32[1, 4] = expand(row, shape=(1, 4))
    t: f32[1, 4] = tanh(p)
    picked: f32[4] = take_at(w, n, axis=0)
    s2: f32[1, 4] = add(s, t)
    s3: f32[1, 4] = add(s2, wide)
    i2: i64[] = add(i, one)
    next i = i2 -> last: i64[]
    next s = s3 -> y: f32[1, 4]
""".replace("  while", "  s0: f32[1, 4] = full(shape=(1, 4), value=0.0, dtype=f32)\n  while", 1)
    text = after(hoist, body, "y")
    before, _, inside = text.partition("  while\n")
    assert "linear" in before and "tanh" in before and "row:" in before
    assert "wide" in inside and "s2" in inside


def test_dead_values_go() -> None:
    body = """
  unused: f32[4] = tanh(x)
  if c
    a: f32[4] = neg(x)
    b: f32[4] = relu(x)
  else
    check c "ValueError" "no c"
  join y: f32[4] = a, x
  join z: f32[4] = b, x
  while
    carry i: i64[] = zero
    carry dead: f32[4] = x
    more: bool[] = lt(i, n)
    test more
    i2: i64[] = add(i, one)
    dead2: f32[4] = add(dead, x)
    next i = i2 -> last: i64[]
    next dead = dead2 -> dead3: f32[4]
  size k = last in 0..
"""
    assert after([], body, "y") == """\
  if c
    a: f32[4] = neg(x)
  else
    check c "ValueError" "no c"
  join y: f32[4] = a, x
  while
    carry i: i64[] = zero
    more: bool[] = lt(i, n)
    test more
    i2: i64[] = add(i, one)
    next i = i2 -> last: i64[]"""


def test_static_programs_come_out_as_they_are() -> None:
    program = parse_program("func main(x: f32[4]) -> (y)\n  y: f32[4] = neg(x)\n")
    for step in (fold_decisions, drop_dead, sink, hoist):
        assert step(program).functions["main"] is program.functions["main"]


@pytest.mark.parametrize("steps", [[fold_decisions], [drop_dead], [sink], [hoist], [fold_decisions, drop_dead, sink, fold_decisions, hoist]])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_random_programs_mean_the_same(steps: list[Pass], seed: int) -> None:
    program = RandomControl(Random(seed)).program()
    before = print_program(program)
    new = program
    for step in steps:
        new = step(new)
        verify_program(new, ops.infer)
    assert print_program(program) == before, "a pass changes the program that it is given"
    for n in (0, 1, 3):
        args = [np.array([0.5, -0.25, 1.0], np.float32), np.array(n)]
        assert outcome(new, args) == outcome(program, args)
