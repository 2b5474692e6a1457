"""Whiles and fails of the host part: text, verifier, interpreter and native code agree."""

from __future__ import annotations

import numpy as np
import pytest
from native_code import check

from bough.base.errors import InternalError
from bough.ir.interpret_loops import run_loops
from bough.ir.loops_text import parse_loops, print_loops
from bough.ir.verify_loops import verify_loops

TEXT = """
func collatz(limit) (x: i64[1], steps: i64[1], seen: f32[64])
  while turn
    at = x[0]
    test at > 1
    if turn >= limit
      fail 3
    parallel p in 0..64
      if p == turn
        seen[p] = seen[p] + 1.0
    if at % 2 == 0
      x[0] = at // 2
    else
      x[0] = at * 3 + 1
    steps[0] = turn + 1
    for k in 0..1
      if x[0] > 1000
        fail 7
"""


def arrays(start: int) -> dict[str, np.ndarray]:
    return {"x": np.array([start]), "steps": np.zeros(1, np.int64), "seen": np.zeros(64, np.float32)}


def test_text_comes_back() -> None:
    function = parse_loops(TEXT)
    assert print_loops(function).strip() == TEXT.strip()
    verify_loops(function)


@pytest.mark.parametrize(("start", "status", "steps"), [(1, 0, 0), (6, 0, 8), (7, 0, 16), (27, 3, 20), (999, 7, 1)])
def test_native_code_agrees(start: int, status: int, steps: int) -> None:
    function, buffers = parse_loops(TEXT), arrays(start)
    assert run_loops(function, buffers, {"limit": 20}) == status
    assert buffers["steps"][0] == steps
    check(function, arrays(start), {"limit": 20})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fail 3", "fail 0", "0 is no failure"),
        ("test at > 1", "test at", "at has type i64, not bool"),
        ("        seen[p] = seen[p] + 1.0", "        fail 4", "this stands in a parallel or vector loop"),
        ("turn + 1", "turns + 1", "turns is not defined"),
    ],
)
def test_broken_control(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(InternalError, match=message):
        verify_loops(parse_loops(TEXT.replace(old, new)))
