"""Random expressions inside vector loops: native code has the bits of the interpreter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_code import check, targets

from bough.ir.dtypes import BF16, BOOL, F32, F64, I32, I64, U8, DType
from bough.ir.expr import Apply, Cast, Const, Expr, Load, Var, add, apply, minimum, mul, sub
from bough.ir.functions import FUNCTIONS, result_type
from bough.ir.loops import Buffer, For, Function, If, Let, Store
from bough.targets import Target

SIZES = {F32: 13, I64: 9, BOOL: 5, I32: 7, U8: 11}
NAMES = {t: f"array.{t}" for t in SIZES}
EXACT = [
    "add",
    "sub",
    "mul",
    "neg",
    "abs",
    "min",
    "max",
    "floor",
    "sign",
    "and",
    "or",
    "xor",
    "not",
    "lt",
    "ge",
    "eq",
    "isnan",
    "select",
]
EXACT_INTEGER = ["floordiv", "mod", "shl", "shr", "div"]
LANE, STEP, SIZE = Var("lane"), Var("step"), Var("n")
LOCALS = {I64: Var("local.i64"), F32: Var("local.f32", F32)}


@st.composite
def values(draw: st.DrawFn, dtype: DType, depth: int, local: bool = True) -> Expr:
    """An expression whose loads stay inside: their indices are taken modulo the array's size."""
    kinds = ["literal", "variable"]
    if depth:
        kinds += ["apply", "apply", "apply", "load", "load", "cast"]
    kind = draw(st.sampled_from(kinds))
    if kind == "variable" and dtype == I64:
        return draw(st.sampled_from([LANE, STEP, SIZE, *([LOCALS[I64]] if local else [])]))
    if kind == "variable" and dtype == F32 and local:
        return LOCALS[F32]
    if kind == "load" and dtype in SIZES:
        index = draw(indices(depth - 1, local))
        return Load(NAMES[dtype], (apply("mod", index, Const(SIZES[dtype])),), dtype)
    if kind == "cast":
        sources = [I64, I32, U8, BOOL] if not dtype.is_float else [I32, BOOL, F32]
        return Cast(draw(values(draw(st.sampled_from(sources)), depth - 1, local)), dtype)
    if kind == "apply":
        names = EXACT + (EXACT_INTEGER if dtype.is_integer else [])
        fitting = [
            f
            for n in names
            if ((f := FUNCTIONS[n]).result == "bool" and dtype == BOOL) or (f.result == "same" and dtype.kind in f.kinds)
        ]
        function = draw(st.sampled_from(fitting))
        if function.name == "select":
            types = [BOOL, dtype, dtype]
        elif function.result == "bool":
            types = [draw(st.sampled_from([F32, I64]))] * function.arity
        else:
            types = [dtype] * function.arity
        args = tuple(draw(values(t, depth - 1, local)) for t in types)
        return Apply(function.name, args, result_type(function.name, *types))
    if dtype == BOOL:
        return Const(draw(st.booleans()), BOOL)
    if dtype.is_float:
        return Const(draw(st.sampled_from([0.0, 1.0, -2.5, 0.375, float("inf")])), dtype)
    return Const(draw(st.integers(0, 40)), dtype)


@st.composite
def indices(draw: st.DrawFn, depth: int, local: bool) -> Expr:
    """Mostly what schedules write: sums of multiples, divided."""
    if draw(st.integers(0, 2)) == 0:
        return draw(values(I64, max(depth, 0), local))
    total = add(mul(LANE, draw(st.integers(0, 3))), mul(STEP, draw(st.integers(0, 16))))
    total = add(total, draw(st.integers(0, 9)))
    function = draw(st.sampled_from(["none", "floordiv", "mod"]))
    return total if function == "none" else apply(function, total, Const(draw(st.integers(1, 20))))


@st.composite
def functions(draw: st.DrawFn) -> Function:
    lanes = draw(st.sampled_from([2, 4, 8, 16]))
    dtype = draw(st.sampled_from([F32, F32, I64, BOOL, I32, F64, BF16]))
    result = Buffer("y", dtype, (3, lanes), align=dtype.bytes)
    inputs = tuple(Buffer(NAMES[t], t, (s,), align=t.bytes) for t, s in SIZES.items())
    store = Store("y", (STEP, LANE), draw(values(dtype, 4)))
    body = (
        Let("local.i64", draw(values(I64, 2, False))),
        Let("local.f32", draw(values(F32, 2, False))),
        If(draw(values(BOOL, 2)), (store,)) if draw(st.booleans()) else store,
    )
    stop = draw(st.sampled_from([Const(lanes), Const(lanes - 1), minimum(Const(lanes), sub(SIZE, mul(STEP, lanes)))]))
    loop = For("lane", Const(0), stop, body, "vector", lanes=lanes)
    kind = draw(st.sampled_from(["serial", "parallel", "unroll"]))
    return Function("f", ("n",), (*inputs, result), (For("step", Const(0), Const(3), (loop,), kind),))


@pytest.mark.parametrize("target", targets()[:1] + targets()[-1:], ids=lambda t: t.name)
@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(functions(), st.integers(1, 40))
def test_random_vector_loops(target: Target, function: Function, n: int) -> None:
    rng = np.random.default_rng(n)
    buffers = {
        NAMES[F32]: rng.choice(np.array([0.0, 1.5, -2.25, np.nan, np.inf, -3.0, 1e30, 0.5], np.float32), SIZES[F32]),
        NAMES[I64]: rng.integers(-20, 60, SIZES[I64]),
        NAMES[BOOL]: rng.integers(0, 2, SIZES[BOOL]).astype(np.bool_),
        NAMES[I32]: rng.integers(-9, 9, SIZES[I32]).astype(np.int32),
        NAMES[U8]: rng.integers(0, 255, SIZES[U8]).astype(np.uint8),
    }
    y = function.params[-1]
    buffers["y"] = np.zeros([int(e) for e in y.shape if isinstance(e, int)], y.dtype.numpy)
    check(function, buffers, {"n": n}, target)
