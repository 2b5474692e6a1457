"""Stores across the vectors of a register tile: native code writes what the interpreter writes, and nothing beside it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_code import check, targets

from bough.ir.dtypes import BF16, F32, F64, I32, I64, U8, DType
from bough.ir.expr import Const, Expr, Load, Var, add, mul, sub
from bough.ir.loops import Buffer, For, Function, Stmt, Store
from bough.targets import Target

R, V, LANE, N = Var("r"), Var("v"), Var("lane"), Var("n")
BOTH = pytest.mark.parametrize("target", targets()[:1] + targets()[-1:], ids=lambda t: t.name)


def tile(rows: int, count: int, lanes: int, body: tuple[Stmt, ...], stop: Expr) -> For:
    by_lane = For("lane", Const(0), stop, body, "vector", lanes=lanes)
    by_vector = For("v", Const(0), Const(count), (by_lane,), "unroll")
    return For("r", Const(0), Const(rows), (by_vector,), "unroll")


def element(lanes: int) -> Expr:
    """The number of the element along the vectors."""
    return add(mul(V, lanes), LANE)


def numbers(dtype: DType, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 200, shape).astype(np.float32).astype(dtype.numpy)


@BOTH
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.integers(1, 19), st.integers(1, 3), st.sampled_from([2, 4, 8, 16]), st.integers(0, 3), st.integers(0, 2),
    st.sampled_from([F32, F32, F64, I32, I64, U8, BF16]), st.sampled_from(["whole", "constant", "computed"]),
)  # fmt: skip
def test_transposed_tile(
    target: Target, rows: int, count: int, lanes: int, gap: int, first: int, dtype: DType, stop: str
) -> None:
    """y[j, i + first] = x[i, j], rows of y with a gap between them."""
    width = count * lanes
    stops: dict[str, Expr] = {"whole": Const(lanes), "constant": Const(lanes - 1), "computed": sub(N, mul(V, lanes))}
    y = Buffer("y", dtype, (width, rows + gap), align=dtype.bytes)
    x = Buffer("x", dtype, (rows, width), align=dtype.bytes)
    # the gap may be before the rows
    store = Store("y", (element(lanes), add(R, min(first, gap))), Load("x", (R, element(lanes)), dtype))
    function = Function("f", ("n",), (x, y), (tile(rows, count, lanes, (store,), stops[stop]),))
    if stop == "computed" and count > 1:
        return  # a vector loop stops at its lanes at the latest
    check(function, {"x": numbers(dtype, (rows, width)), "y": np.zeros((width, rows + gap), dtype.numpy)}, {"n": lanes - 1},
          target)  # fmt: skip


@BOTH
def test_elements_written_twice(target: Target) -> None:
    """The last store to an element stays, in the order of the loops: rows one after the other, and lanes that overlap."""
    x, y = Buffer("x", F32, (4, 8)), Buffer("y", F32, (40,))
    for place in (add(mul(LANE, 2), R), mul(LANE, 3), add(mul(LANE, 2), mul(R, 2))):
        store = Store("y", (place,), Load("x", (R, LANE), F32))
        function = Function("f", (), (x, y), (tile(4, 1, 8, (store,), Const(8)),))
        check(function, {"x": numbers(F32, (4, 8)), "y": np.zeros(40, np.float32)}, {}, target)


@BOTH
def test_two_stores_make_one_row(target: Target) -> None:
    """Two statements whose elements alternate, as the columns of Winograd's results do."""
    x, y = Buffer("x", F32, (4, 16)), Buffer("y", F32, (16, 8))
    value = Load("x", (R, LANE), F32)
    stores = tuple(Store("y", (LANE, add(mul(R, 2), n)), add(value, Const(float(n), F32))) for n in range(2))
    function = Function("f", (), (x, y), (tile(4, 1, 16, stores, Const(16)),))
    check(function, {"x": numbers(F32, (4, 16)), "y": np.zeros((16, 8), np.float32)}, {}, target)


@BOTH
def test_a_loop_that_reads_what_it_writes(target: Target) -> None:
    """Rows that build on the row before."""
    x, y = Buffer("x", F32, (4, 8)), Buffer("y", F32, (8, 5))
    value = add(Load("x", (R, LANE), F32), Load("y", (LANE, R), F32))
    function = Function("f", (), (x, y), (tile(4, 1, 8, (Store("y", (LANE, add(R, 1)), value),), Const(8)),))
    check(function, {"x": numbers(F32, (4, 8)), "y": np.zeros((8, 5), np.float32)}, {}, target)
