"""Simplification equals evaluation, on random expressions; and it finds what schedules rely on."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bough.ir.dtypes import BF16, BOOL, F16, F32, F64, I8, I32, I64, U8, DType
from bough.ir.evaluate import evaluate
from bough.ir.expr import (
    Apply,
    Cast,
    Const,
    Expr,
    Load,
    Var,
    add,
    apply,
    floordiv,
    maximum,
    minimum,
    mod,
    mul,
    select,
    sub,
)
from bough.rewrite import Facts, Interval, affine, bounds, prove, simplify

i, j, k, n, m, t = (Var(name) for name in "ijknmt")
RANGES = {"i": range(0, 4), "j": range(-2, 3), "k": range(5, 7), "n": range(1, 4)}
FACTS: Facts = {name: Interval(r.start, r.stop - 1) for name, r in RANGES.items()} | {
    "i": Interval(0, add(n, 0)), "k": Interval(Const(5), add(n, 3)),
}  # fmt: skip


def points() -> dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """All assignments of the variables that FACTS allows."""
    every = product(*RANGES.values())
    allowed = [p for p in every if p[0] <= p[3] and 5 <= p[2] <= p[3] + 3]
    return {name: np.array([p[at] for p in allowed]) for at, name in enumerate(RANGES)}


def conditions(numbers: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    comparison = st.builds(apply, st.sampled_from(["lt", "le", "gt", "ge", "eq", "ne"]), numbers, numbers)
    both = st.builds(apply, st.sampled_from(["and", "or", "xor"]), comparison, comparison)
    return comparison | both | comparison.map(lambda c: apply("not", c))


def grow(numbers: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    divisor = st.integers(1, 8).map(Const) | numbers
    return (
        st.builds(add, numbers, numbers)
        | st.builds(sub, numbers, numbers)
        | st.builds(mul, numbers, st.integers(-4, 8))
        | st.builds(mul, numbers, numbers)
        | st.builds(floordiv, numbers, divisor)
        | st.builds(mod, numbers, divisor)
        | st.builds(minimum, numbers, numbers)
        | st.builds(maximum, numbers, numbers)
        | st.builds(select, conditions(numbers), numbers, numbers)
        | numbers.map(lambda e: apply("neg", e))
        | numbers.map(lambda e: Cast(apply("lt", e, Const(3)), I64))
    )


INTEGERS = st.recursive(
    st.integers(-9, 20).map(Const) | st.sampled_from([Var(name) for name in RANGES]), grow, max_leaves=10
)


@settings(max_examples=600, deadline=None)
@given(INTEGERS)
def test_integers_keep_their_value_and_lie_in_their_range(e: Expr) -> None:
    at = points()
    expected = np.broadcast_to(evaluate(e, at), at["i"].shape)
    np.testing.assert_array_equal(np.broadcast_to(evaluate(simplify(e, FACTS), at), expected.shape), expected)
    low, high = bounds(e, FACTS)
    assert low <= expected.min() and expected.max() <= high


@settings(max_examples=200, deadline=None)
@given(conditions(INTEGERS))
def test_conditions_keep_their_value(e: Expr) -> None:
    at = points()
    expected = np.broadcast_to(evaluate(e, at), at["i"].shape)
    np.testing.assert_array_equal(np.broadcast_to(evaluate(simplify(e, FACTS), at), expected.shape), expected)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(INTEGERS)
def test_what_is_simple_stays_the_same_object(e: Expr) -> None:
    once = simplify(e)
    assert simplify(once) is once


TILE: Facts = {
    "n": Interval(1, None),
    "m": Interval(1, 1024),
    "i": Interval.of_extent(n),
    "j": Interval.of_extent(m),
    "t": Interval(0, sub(floordiv(add(n, 15), 16), 1)),
    "k": Interval.of_extent(minimum(16, sub(n, mul(t, 16)))),
    "v": Interval(0, 15),
}
v = Var("v")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (add(mul(add(i, 1), 4), sub(j, mul(i, 4))), add(j, 4)),
        (floordiv(add(mul(t, 16), v), 16), t),
        (mod(add(mul(t, 16), v), 16), v),
        (add(mul(floordiv(i, 16), 16), mod(i, 16)), i),
        (floordiv(add(mul(i, m), j), m), i),
        (mod(add(mul(i, m), j), m), j),
        (floordiv(floordiv(i, 4), 8), floordiv(i, 32)),
        (minimum(i, n), i),
        (maximum(sub(j, m), 0), Const(0)),
        (apply("lt", add(mul(t, 16), k), n), Const(True, BOOL)),
        (apply("lt", k, Const(16)), Const(True, BOOL)),
        (apply("lt", add(mul(i, m), j), mul(n, m)), Const(True, BOOL)),
        (apply("ge", mul(floordiv(i, 8), 8), n), Const(False, BOOL)),
        (apply("lt", add(i, 3), add(j, 5)), apply("lt", i, add(j, 2))),
        (select(apply("lt", i, n), j, t), j),
        (floordiv(add(mul(i, 4), 6), 8), floordiv(add(mul(i, 2), 3), 4)),
        (
            add(add(mul(add(mul(floordiv(i, 12), 4), mod(floordiv(i, 3), 4)), 3), mod(i, 3)), 1),
            add(i, 1),
        ),
    ],
)
def test_index_arithmetic(before: Expr, after: Expr) -> None:
    new = simplify(before, TILE)
    assert new == simplify(after, TILE)
    assert new == after or not isinstance(after, Const | Var)


def test_what_is_not_known_is_not_proved() -> None:
    by_zero = add(mul(Apply("floordiv", (i, Const(0)), I64), 0), Apply("mod", (i, Const(0)), I64))
    assert evaluate(simplify(sub(1, by_zero)), {"i": np.int64(5)}) == 1
    assert prove(apply("le", i, sub(n, 1)), TILE)
    assert not prove(apply("le", i, sub(n, 2)), TILE)
    assert not prove(apply("lt", i, n))


def test_affine() -> None:
    x = Var("x")
    e = add(add(mul(i, 3), mul(add(i, j), n)), sub(x, 4))
    assert affine(e, {"i", "j", "k"}) == ({"i": add(n, 3), "j": n}, sub(x, 4))
    assert affine(add(i, sub(j, i)), ["i", "j"]) == ({"j": 1}, Const(0))
    assert affine(mul(i, j), {"i", "j"}) is None
    assert affine(mul(i, j), {"i"}) == ({"i": j}, Const(0))
    assert affine(floordiv(i, 2), {"i"}) is None
    assert affine(Load("p", (i,), I64), {"i"}) is None


VALUES = [0.0, -0.0, 1.0, -1.5, math.inf, -math.inf, math.nan]
X, Y = Var("x", F32), Var("y", F32)


def grow_floats(floats: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    two = st.sampled_from(["add", "sub", "mul", "div", "min", "max"])
    condition = st.builds(apply, st.sampled_from(["lt", "eq"]), floats, floats)
    return (
        st.builds(apply, two, floats, floats)
        | st.builds(apply, st.sampled_from(["neg", "abs", "exp"]), floats)
        | st.builds(select, condition, floats, floats)
        | floats.map(lambda e: Cast(Cast(e, F64), F32))
    )


FLOATS = st.recursive(
    st.sampled_from(VALUES).map(lambda value: Const(value, F32)) | st.sampled_from([X, Y]), grow_floats, max_leaves=6
)


@settings(max_examples=300, deadline=None)
@given(FLOATS)
def test_floats_keep_every_bit(e: Expr) -> None:
    x, y = (g.ravel() for g in np.meshgrid(np.array(VALUES, np.float32), np.array(VALUES, np.float32)))
    before = np.broadcast_to(evaluate(e, {"x": x, "y": y}), x.shape)
    after = np.broadcast_to(evaluate(simplify(e), {"x": x, "y": y}), x.shape)
    assert after.dtype == np.float32
    same = (before.view(np.int32) == after.view(np.int32)) | (np.isnan(before) & np.isnan(after))
    assert same.all()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (apply("mul", Const(1.0, F32), X), X),
        (apply("add", X, Const(-0.0, F32)), X),
        (apply("sub", X, Const(0.0, F32)), X),
        (apply("neg", apply("neg", X)), X),
        (apply("mul", Const(2.0, F32), Const(4.0, F32)), Const(8.0, F32)),
        (select(apply("lt", Const(1), Const(2)), X, Y), X),
        (apply("and", Var("b", BOOL), Const(True, BOOL)), Var("b", BOOL)),
        (apply("and", Var("b", U8), Const(255, U8)), Var("b", U8)),
        (apply("mul", Var("b", I32), Const(0, I32)), Const(0, I32)),
        (Cast(Cast(Var("b", BF16), F32), BF16), Var("b", BF16)),
        (Load("p", (add(i, sub(j, i)),), F32), Load("p", (j,), F32)),
    ],
)
def test_exact_rules(before: Expr, after: Expr) -> None:
    assert simplify(before) == after


@pytest.mark.parametrize(
    "e",
    [
        apply("add", X, Const(0.0, F32)),
        apply("mul", X, Const(0.0, F32)),
        apply("sub", X, X),
        select(apply("lt", X, Y), Const(0.0, F32), Const(-0.0, F32)),
        Cast(Cast(Var("b", F32), F16), F32),
        Cast(Cast(Var("b", I32), F32), I32),
        Cast(Cast(Var("b", U8), I8), U8),
        Apply("fma", (X, Y, X), F32),
    ],
)
def test_inexact_algebra_is_left_alone(e: Expr) -> None:
    assert simplify(e) is e


def test_literals_are_equal_by_their_bits() -> None:
    assert Const(0.0, F32) != Const(-0.0, F32) and Const(math.nan, F32) == Const(-math.nan, F32)
    assert hash(Const(math.nan, F32)) == hash(Const(float("nan"), F32))
    assert Const(1, F32) == Const(1.0, F32) != Const(1.0, F64) and Const(0) == Const(0)


@pytest.mark.parametrize("dtype", [F32, I32, I64, BOOL])
def test_constants_keep_their_type(dtype: DType) -> None:
    folded = simplify(Apply("max", (Const(1, dtype), Const(0, dtype)), dtype))
    assert isinstance(folded, Const) and folded.dtype == dtype
