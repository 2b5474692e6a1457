"""The program interpreter with a table of three operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from bough.base.errors import InternalError
from bough.ir.dtypes import F32, I64
from bough.ir.expr import Var, add, mul
from bough.ir.interpret_program import run_program
from bough.ir.program import Assign, Dim, Function, Loop, Program, TensorType, Value

Array = np.ndarray[Any, Any]


def evaluate(
    op: str, args: Sequence[Array | None], attributes: Mapping[str, Any], results: tuple[TensorType, ...]
) -> tuple[Array, ...]:
    a = [np.asarray(x) for x in args]
    match op:
        case "add":
            value = a[0] + a[1]
        case "at":
            value = a[0][int(a[1])]
        case _:
            value = np.broadcast_to(a[0], attributes["shape"])
    assert value.shape == results[0].shape
    return (value,)


def value(name: str, *shape: Any, dtype: Any = F32) -> Value:
    return Value(name, TensorType(dtype, shape))


def running_sums(reverse: bool) -> Program:
    """Prefix (or suffix) sums of the rows of x, from a weight, and the last one."""
    n, m = Var("n"), Var("m")
    x, start, first = value("x", n, m), value("start"), value("first", m)
    index, row, state, new = value("t", dtype=I64), value("row", m), value("s", m), value("s2", m)
    last, sums = value("last", m), value("sums", n, m)
    twice, wide = value("twice", n, mul(m, 2)), value("wide", add(n, 1))
    body = [Assign((row,), "at", (x, index)), Assign((new,), "add", (state, row))]
    nodes: list[Any] = [
        Assign((first,), "broadcast", (start,), {"shape": (m,)}),
        Loop(index, n, (state,), (first,), (new,), (last,), (new,), (sums,), body, reverse),
        Assign((wide,), "broadcast", (start,), {"shape": (add(n, 1),)}),
    ]
    function = Function(
        "main", (x, twice), {start: np.array(1.0, np.float32)}, nodes, (sums, last, wide), (Dim("n"), Dim("m"))
    )
    return Program({"main": function})


@pytest.mark.parametrize("n", [0, 1, 4])
def test_loops_carry_and_collect(n: int) -> None:
    x = np.arange(3 * n, dtype=np.float32).reshape(n, 3)
    sums, last, wide = run_program(running_sums(False), [x, np.zeros((n, 6), np.float32)], evaluate)
    np.testing.assert_array_equal(sums, 1 + np.cumsum(x, 0))
    np.testing.assert_array_equal(last, 1 + x.sum(0))
    assert wide.shape == (n + 1,)


def test_reversed_loops_and_the_reference() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    args = [x, np.zeros((2, 6), np.float32)]
    sums, *_ = run_program(running_sums(True), args, evaluate, "float64")
    assert sums.dtype == np.float64
    np.testing.assert_array_equal(sums, 1 + np.cumsum(x[::-1], 0)[::-1])


def test_wrong_arguments() -> None:
    with pytest.raises(InternalError, match="takes 2 arguments"):
        run_program(running_sums(False), [], evaluate)
    with pytest.raises(InternalError, match=r"twice has shape \(2, 3\), not \(2, 6\)"):
        run_program(running_sums(False), [np.zeros((2, 3), np.float32)] * 2, evaluate)
