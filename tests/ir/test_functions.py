"""The table of functions: exact where it can be, PyTorch's special values, never an exception on a value."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bough.ir.bfloat import from_bf16, to_bf16
from bough.ir.dtypes import BF16, BOOL, DTYPES, F32, I8, I32, I64, U8, DType
from bough.ir.evaluate import convert, evaluate
from bough.ir.expr import Apply, Cast, Const, Expr, Var
from bough.ir.functions import FUNCTIONS, REDUCTION_FUNCTIONS, reduction_unit, result_type

INF, NAN = math.inf, math.nan
floats32 = st.floats(width=32)


def call(name: str, *args: Any) -> Any:
    with np.errstate(all="ignore"):
        return FUNCTIONS[name].evaluate(*args)


def special_values(dtype: DType) -> Any:
    kind = np.float32 if dtype == BF16 else dtype.numpy
    if dtype.is_float:
        return np.array([0.0, -0.0, 1.0, -2.5, 3e38 if dtype.bits > 16 else 6e4, INF, -INF, NAN], kind)
    if dtype == BOOL:
        return np.array([True, False])
    limits = np.iinfo(dtype.numpy)
    return np.array([0, 1, 2, 7, limits.max, limits.min, max(limits.min, -1)], kind)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_takes_every_value_of_its_types(name: str) -> None:
    function = FUNCTIONS[name]
    for dtype in DTYPES.values():
        if dtype.kind not in function.kinds or dtype == BF16:
            continue
        values = special_values(dtype)
        operands = list(np.meshgrid(*[values] * function.arity))
        if name == "select":
            operands[0] = operands[0] != 0
        result = call(name, *operands)
        assert result.shape == operands[0].shape
        assert result.dtype == result_type(name, *[dtype] * function.arity).numpy, dtype
        scalars = call(name, *(o.flat[0] for o in operands))
        assert np.array_equal(scalars, result.flat[0], equal_nan=dtype.is_float)


@given(floats32, floats32, floats32)
@settings(max_examples=500, deadline=None)
def test_fused_multiply_add_rounds_once(a: float, b: float, c: float) -> None:
    fused = call("fma", *(np.float32(x) for x in (a, b, c)))
    if not all(map(math.isfinite, (a, b, c))):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(fused, np.float32(np.float64(a) * b + c))
        return
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    assert fused == nearest_float32(exact)


@pytest.mark.parametrize(
    ("a", "b", "c"),
    [
        (1 + 2**-12, 1 + 2**-12, 2.0**-60), (1 + 2**-12, 1 + 2**-12, -(2.0**-60)),
        (1 + 2**-23, 1 - 2**-23, 2.0**30), (2.0**-75, 2.0**-74, 2.0**-149), (3.0, 2.0**-126, 2.0**-149 * 3),
    ],
)  # fmt: skip
def test_fused_multiply_add_at_the_edges(a: float, b: float, c: float) -> None:
    assert call("fma", *(np.float32(x) for x in (a, b, c))) == nearest_float32(Fraction(a) * Fraction(b) + Fraction(c))


def nearest_float32(exact: Fraction) -> np.float32:
    """Ties to even, by comparing with the neighbours of a first guess."""
    with np.errstate(over="ignore"):
        guess = np.float32(float(exact)) if abs(exact) < 2**130 else np.float32(math.copysign(INF, exact))
    if np.isinf(guess):
        return guess if abs(exact) >= Fraction(2) ** 128 - Fraction(2) ** 103 else np.copysign(np.float32(2**128 - 2**104), guess)
    with np.errstate(over="ignore"):
        near = [np.nextafter(guess, np.float32(-INF)), guess, np.nextafter(guess, np.float32(INF))]
    finite = [x for x in near if np.isfinite(x)]
    return min(finite, key=lambda x: (abs(Fraction(float(x)) - exact), int(x.view(np.int32)) & 1))


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("floordiv", (np.array([7, -7, 7, -7]), np.array([2, 2, -2, -2])), [3, -4, -4, 3]),
        ("mod", (np.array([7, -7, 7, -7]), np.array([2, 2, -2, -2])), [1, 1, -1, -1]),
        ("div", (np.array([7, -7, 7, -7]), np.array([2, 2, -2, -2])), [3, -3, -3, 3]),
        ("mod", (np.array([7.5, -7.5]), np.array([2.0, 2.0])), [1.5, 0.5]),
        ("floordiv", (np.array([5, -5]), np.array([0, 0])), [0, 0]),
        ("pow", (np.array([2, -1, -1, 0, 2]), np.array([-1, -3, -2, 3, 10])), [0, -1, 1, 0, 1024]),
        ("round", (np.array([0.5, 1.5, 2.5, -0.5]),), [0, 2, 2, 0]),
        ("trunc", (np.array([1.7, -1.7]),), [1, -1]),
        ("max", (np.array([1.0, NAN]), np.array([NAN, 2.0])), [NAN, NAN]),
        ("not", (np.array([True, False]),), [False, True]),
        ("not", (np.array([0, 5]),), [-1, -6]),
        ("shr", (np.array([-8, 8]), np.array([1, 70])), [-4, 0]),
        ("sign", (np.array([NAN, -2.0, INF]),), [0, -1, 1]),
        ("gelu", (np.array([-20.0, 0.0, 20.0]),), [-20 * math.erfc(20 / math.sqrt(2)) / 2, 0, 20]),
        ("gelu", (np.array([INF, -INF]),), [INF, NAN]),
        ("silu", (np.array([INF, -INF]),), [INF, NAN]),
        ("sigmoid", (np.array([-740.0, 740.0, -INF]),), [math.exp(-740), 1, 0]),
    ],
)
def test_values(name: str, args: tuple[Any, ...], expected: list[float]) -> None:
    np.testing.assert_allclose(call(name, *args), expected, rtol=1e-13)


@settings(deadline=None)
@given(st.floats(-30, 30, width=32))
def test_irrational_functions_are_rounded_once(x: float) -> None:
    value = np.float32(x)
    for name, exact in {"exp": math.exp, "erf": math.erf, "tanh": math.tanh, "sin": math.sin, "erfc": math.erfc}.items():
        assert call(name, value) == np.float32(exact(x)) or name != "erf"
        np.testing.assert_array_almost_equal_nulp(call(name, value), np.float32(exact(x)), 1)


@pytest.mark.parametrize("dtype", [F32, I64, I32, I8, U8, BOOL])
@pytest.mark.parametrize("reduction", list(REDUCTION_FUNCTIONS))
def test_units_of_reductions(reduction: Any, dtype: DType) -> None:
    function = FUNCTIONS[REDUCTION_FUNCTIONS[reduction]]
    if dtype.kind not in function.kinds or (reduction in ("any", "all") and dtype != BOOL):
        return
    unit = np.array(reduction_unit(reduction, dtype)).astype(dtype.numpy)
    values = special_values(dtype)
    np.testing.assert_array_equal(call(function.name, np.broadcast_to(unit, values.shape), values), values)


@pytest.mark.parametrize("name", [n for n, f in FUNCTIONS.items() if f.unit is not None or f.zero is not None])
def test_units_and_zeros_are_exact(name: str) -> None:
    function = FUNCTIONS[name]
    for dtype in DTYPES.values():
        if dtype.kind not in function.kinds or dtype == BF16:
            continue
        values = special_values(dtype)
        if function.unit is not None:
            all_ones = function.unit is True and dtype.is_integer
            unit = np.broadcast_to(np.array(-1 if all_ones else function.unit).astype(dtype.numpy), values.shape)
            sides = [(values, unit), (unit, values)] if function.commutative else [(values, unit)]
            for side in sides:
                result = call(name, *side)
                np.testing.assert_array_equal(result, values)
                assert not dtype.is_float or (np.signbit(result) == np.signbit(values))[~np.isnan(values)].all()


def test_bf16_rounds_to_even() -> None:
    values = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 3.4e38, INF, -0.0], np.float32)
    expected = np.array([1.0, 1.0, 1 + 2**-6, 1 + 2**-7, INF, INF, -0.0], np.float32)
    np.testing.assert_array_equal(from_bf16(to_bf16(values)), expected)
    assert np.isnan(from_bf16(to_bf16(np.array([NAN, -NAN], np.float32)))).all()
    patterns = np.arange(1 << 16, dtype=np.uint16)
    numbers = from_bf16(patterns)
    np.testing.assert_array_equal(to_bf16(numbers)[~np.isnan(numbers)], patterns[~np.isnan(numbers)])


def test_casts() -> None:
    x = np.array([1.9, -1.9, 0.0], np.float32)
    np.testing.assert_array_equal(convert(x, F32, I32), [1, -1, 0])
    np.testing.assert_array_equal(convert(x, F32, BOOL), [True, True, False])
    np.testing.assert_array_equal(convert(np.array([300, -1]), I64, U8), [44, 255])
    np.testing.assert_array_equal(convert(np.array([1.01], np.float32), F32, BF16), [np.float32(1.0078125)])
    np.testing.assert_array_equal(convert(x, F32, BF16, "float64"), x)


def test_bf16_expressions_round_after_each_step() -> None:
    x: Expr = Var("x", BF16)
    e = Apply("add", (Apply("add", (x, Const(2.0**-8, BF16)), BF16), Const(2.0**-8, BF16)), BF16)
    assert evaluate(e, {"x": np.float32(1)}) == 1
    assert evaluate(Cast(e, F32), {"x": np.float32(1)}) == 1
