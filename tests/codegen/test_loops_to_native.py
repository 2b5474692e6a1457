"""Native code against the interpreter: loops of all kinds, masks, guards, places, sizes known only at run time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from native_code import Array, check, run_native, targets

from bough.base.errors import InternalError
from bough.codegen import compile_functions
from bough.ir.bfloat import to_bf16
from bough.ir.dtypes import BF16, BOOL, F16, F32, F64, I8, I16, I32, I64, U8, DType
from bough.ir.expr import Apply, Cast, Const, Expr, Load, Var, add, apply, floordiv, minimum, mod, mul, select, sub
from bough.ir.loops import Alloc, Buffer, Fetch, For, Function, If, Invoke, Let, Slice, Stmt, Store
from bough.targets import Target

TARGETS = targets()
every_target = pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
I, J, K, L, N = (Var(x) for x in ("i", "j", "k", "l", "n"))
ZERO = Const(0)


def f32(value: float) -> Const:
    return Const(value, F32)


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def serial(var: str, stop: Expr | int, *body: Stmt) -> For:
    return For(var, ZERO, stop if not isinstance(stop, int) else Const(stop), body)


def parallel(var: str, stop: Expr | int, *body: Stmt) -> For:
    return For(var, ZERO, stop if not isinstance(stop, int) else Const(stop), body, "parallel")


def unroll(var: str, stop: int, *body: Stmt) -> For:
    return For(var, ZERO, Const(stop), body, "unroll")


def vector(var: str, stop: Expr | int, lanes: int, *body: Stmt) -> For:
    return For(var, ZERO, stop if not isinstance(stop, int) else Const(stop), body, "vector", lanes=lanes)


def tiles(length: Expr, lanes: int, body: Any) -> For:
    """A parallel loop over vectors of a dimension, the last one cut off; `body(position)` gives its statements."""
    position = add(mul(Var("t"), lanes), L)
    left = minimum(Const(lanes), sub(length, mul(Var("t"), lanes)))
    return parallel("t", floordiv(add(length, lanes - 1), lanes), vector("l", left, lanes, *body(position)))


def pointwise(value: Any, dtype: DType = F32, result: DType = F32, lanes: int = 16) -> Function:
    """y[i] = value(x[i]) for vectors of a symbolic size."""
    params = (Buffer("x", dtype, (N,), align=dtype.bytes), Buffer("y", result, (N,), align=result.bytes))
    return Function("f", ("n",), params, (tiles(N, lanes, lambda i: (Store("y", (i,), value(Load("x", (i,), dtype))),)),))


@every_target
@pytest.mark.parametrize("n", [0, 1, 7, 16, 17, 31, 48])
def test_pointwise_with_a_tail(target: Target, n: int) -> None:
    function = pointwise(lambda x: apply("add", apply("mul", x, f32(3.0)), f32(1.0)))
    check(function, {"x": random(n), "y": np.zeros(n, np.float32)}, {"n": n}, target)


@every_target
@pytest.mark.parametrize("narrow, wide", [(I32, I64), (I16, I32), (I8, I32), (U8, I32), (BF16, F32)])
def test_one_lane_of_a_narrowed_vector_stores_one_element(target: Target, narrow: DType, wide: DType) -> None:
    body = vector("l", 1, 16, Store("y", (L,), Cast(Load("x", (L,), wide), narrow)))
    params = (Buffer("x", wide, (1,), align=wide.bytes), Buffer("y", narrow, (2,), align=narrow.bytes))
    function = Function("f", (), params, (serial("i", 1, body),))
    check(function, {"x": np.ones(1, wide.numpy), "y": np.full(2, 7, narrow.numpy)}, target=target)


@pytest.mark.parametrize("lanes", [2, 3, 4, 5, 8, 16, 32])
def test_any_number_of_lanes(lanes: int) -> None:
    check(pointwise(lambda x: apply("neg", x), lanes=lanes), {"x": random(41), "y": random(41)}, {"n": 41})


@pytest.mark.parametrize("lanes", [1, 3, 6])
def test_vector_math_of_any_number_of_lanes(lanes: int) -> None:
    """Each lane has the bits that it has among 16."""
    function = pointwise(lambda x: apply("tanh", x), lanes=lanes)
    x = random(25)
    narrow, wide = {"x": x, "y": np.zeros_like(x)}, {"x": x, "y": np.zeros_like(x)}
    run_native(function, narrow, {"n": 25})
    run_native(pointwise(lambda x: apply("tanh", x)), wide, {"n": 25})
    np.testing.assert_array_equal(narrow["y"], wide["y"])


@every_target
def test_what_is_fetched_may_lie_outside(target: Target) -> None:
    ahead = Fetch("x", (add(mul(I, 1 << 20), -5),))
    body = (serial("i", N, ahead, Store("y", (I,), Load("x", (I,)))),)
    function = Function("f", ("n",), (Buffer("x", F32, (N,)), Buffer("y", F32, (N,))), body)
    check(function, {"x": random(9), "y": np.zeros(9, np.float32)}, {"n": 9}, target)


def test_nothing_is_written_behind_the_tail() -> None:
    body = (vector("l", N, 16, Store("y", (L,), f32(1.0))),)
    function = Function("f", ("n",), (Buffer("y", F32, (40,)),), body)
    y = check(function, {"y": np.zeros(40, np.float32)}, {"n": 5})["y"]
    assert y.sum() == 5


@every_target
def test_dynamic_strides(target: Target) -> None:
    m = Var("m")
    body = parallel("i", m, serial("j", N, Store("y", (J, I), apply("add", Load("x", (I, J)), Load("b", (J,))))))
    params = (Buffer("x", F32, (m, N)), Buffer("b", F32, (N,)), Buffer("y", F32, (N, m)))
    buffers = {"x": random(5, 7), "b": random(7), "y": np.zeros((7, 5), np.float32)}
    check(Function("f", ("m", "n"), params, (body,)), buffers, {"m": 5, "n": 7}, target)


@every_target
def test_gather_by_index(target: Target) -> None:
    at = Load("index", (I,), I64)
    row = vector(
        "l",
        minimum(Const(8), sub(Const(13), mul(J, 8))),
        8,
        Store("y", (I, add(mul(J, 8), L)), Load("x", (at, add(mul(J, 8), L)))),
    )
    body = parallel("i", N, serial("j", 2, row))
    params = (Buffer("x", F32, (50, 13)), Buffer("index", I64, (N,), align=8), Buffer("y", F32, (N, 13)))
    index = np.array([3, 49, 0, 7], np.int64)
    check(Function("f", ("n",), params, (body,)), {"x": random(50, 13), "index": index, "y": random(4, 13)}, {"n": 4}, target)


@every_target
@pytest.mark.parametrize("dtype", [F32, F64, I32, U8, BOOL, BF16])
def test_gather_and_scatter_of_lanes(target: Target, dtype: DType) -> None:
    """Lanes that take elements far apart: a reversed permutation in, a transposed one out."""
    source = Load("x", (Load("index", (add(mul(Var("t"), 8), L),), I64),), dtype)
    store = Store("y", (add(mul(Var("t"), 8), L), Const(2)), source)
    left = minimum(Const(8), sub(N, mul(Var("t"), 8)))
    body = serial("t", floordiv(add(N, 7), 8), vector("l", left, 8, store))
    b = dtype.bytes
    params = (Buffer("x", dtype, (N,), align=b), Buffer("index", I64, (N,), align=8), Buffer("y", dtype, (N, 3), align=b))
    values = (np.arange(21) * 37 % 19).astype(dtype.numpy)
    index = np.arange(20, -1, -1)
    y = np.zeros((21, 3), dtype.numpy)
    check(Function("f", ("n",), params, (body,)), {"x": values, "index": index, "y": y}, {"n": 21}, target)


@every_target
@pytest.mark.parametrize("step", [2, 3, 4, 5])
@pytest.mark.parametrize("lanes", [2, 3, 8, 16])
def test_every_few_elements(target: Target, step: int, lanes: int) -> None:
    """Nothing behind the last element is read: the arrays end there."""
    dtypes = (F32, I8, BOOL)
    size = step * (lanes - 1) + 1
    names = [f"x.{d}" for d in dtypes]
    stores = [Store(f"y.{d}", (L,), Load(f"x.{d}", (mul(L, step),), d)) for d in dtypes]
    params = [Buffer(n, d, (size,), align=d.bytes) for n, d in zip(names, dtypes)]
    params += [Buffer(f"y.{d}", d, (lanes,), align=d.bytes) for d in dtypes]
    function = Function("f", (), tuple(params), (vector("l", lanes, lanes, *stores),))
    buffers = {f"x.{d}": (np.arange(size) * 7 % 5).astype(d.numpy) for d in dtypes}
    check(function, buffers | {f"y.{d}": np.zeros(lanes, d.numpy) for d in dtypes}, None, target)


def test_strided_and_reversed_lanes() -> None:
    store = Store("y", (L,), apply("sub", Load("x", (mul(L, 3),)), Load("x", (sub(Const(60), mul(L, 2)),))))
    function = Function("f", (), (Buffer("x", F32, (64,)), Buffer("y", F32, (20,))), (vector("l", 16, 16, store),))
    check(function, {"x": random(64), "y": random(20)})


@every_target
def test_select_guards_loads_outside(target: Target) -> None:
    """Padding: the branch not taken would read outside, by lanes, by scalars, and with a guard inside a guard."""
    at = sub(add(mul(Var("t"), 16), L), 3)
    inside = Apply("and", (apply("ge", at, ZERO), apply("lt", at, N)), BOOL)
    value = select(inside, Load("x", (at,)), f32(7.0))
    row = select(apply("gt", N, Const(4)), select(inside, Load("x", (at,)), Load("x", (Const(0),))), f32(-1.0))
    left = minimum(Const(16), sub(add(N, 6), mul(Var("t"), 16)))
    stores = (Store("y", (add(at, 3),), value), Store("z", (add(at, 3),), row))
    body = parallel("t", floordiv(add(N, 21), 16), vector("l", left, 16, *stores))
    params = (Buffer("x", F32, (N,)), Buffer("y", F32, (add(N, 6),)), Buffer("z", F32, (add(N, 6),)))
    for n in (1, 4, 5, 16, 29):
        y = np.zeros(n + 6, np.float32)
        check(Function("f", ("n",), params, (body,)), {"x": random(n), "y": y, "z": y}, {"n": n}, target)


@pytest.mark.parametrize("comparison", ["lt", "le", "gt", "ge", "eq", "ne"])
@pytest.mark.parametrize("boundary", [-16, 0, 15, 16, 17, 32, 48, 64])
def test_vectors_on_either_side_of_a_boundary(comparison: str, boundary: int) -> None:
    """y[i] = x[i] if i < boundary else 0, forwards and backwards; the boundary is known or a multiple of what the call says."""
    position = add(mul(Var("t"), 16), L)
    sides = []
    for n, bound in enumerate((Const(boundary), mul(N, boundary))):
        for m, (a, b) in enumerate(((position, bound), (bound, position))):
            value = select(apply(comparison, a, b), Load("x", (position,)), f32(0))
            sides.append(Store("y", (Const(2 * n + m), position), value))
    body = parallel("t", 3, vector("l", 16, 16, *sides))
    function = Function("f", ("n",), (Buffer("x", F32, (48,)), Buffer("y", F32, (4, 48))), (body,))
    check(function, {"x": random(48), "y": random(4, 48)}, {"n": 1})


def test_guarded_load_of_an_empty_buffer() -> None:
    value = select(apply("lt", L, N), Load("x", (Const(0),)), f32(2.0))
    function = Function(
        "f", ("n",), (Buffer("x", F32, (N,)), Buffer("y", F32, (8,))), (vector("l", 8, 8, Store("y", (L,), value)),)
    )
    check(function, {"x": random(0), "y": random(8)}, {"n": 0})


def test_scalar_guard() -> None:
    value = select(apply("lt", I, N), Load("x", (I,)), f32(0.5))
    function = Function("f", ("n",), (Buffer("x", F32, (N,)), Buffer("y", F32, (9,))), (serial("i", 9, Store("y", (I,), value)),))
    check(function, {"x": random(4), "y": random(9)}, {"n": 4})


@every_target
def test_if_within_a_vector_loop(target: Target) -> None:
    """Lanes go different ways; locals, inner loops and uniform branches inside."""
    x = Load("x", (L,))
    positive = (
        Let("twice", apply("add", x, x)),
        serial("k", 3, Store("y", (L,), apply("add", Load("y", (L,)), Var("twice", F32)))),
    )
    negative = (If(apply("gt", N, Const(5)), (Store("y", (L,), apply("neg", x)),), (Store("y", (L,), f32(9.0)),)),)
    body = vector("l", N, 16, If(apply("gt", x, f32(0.0)), positive, negative))
    for n in (0, 3, 11, 16):
        function = Function("f", ("n",), (Buffer("x", F32, (16,)), Buffer("y", F32, (16,))), (body,))
        check(function, {"x": random(16), "y": random(16, seed=1)}, {"n": n}, target)


def test_vector_loop_that_has_no_vector_form() -> None:
    """A loop whose bounds differ between lanes runs lane after lane."""
    inner = For("k", ZERO, add(L, 1), (Store("y", (L,), apply("add", Load("y", (L,)), Load("x", (K,)))),))
    function = Function("f", (), (Buffer("x", F32, (8,)), Buffer("y", F32, (8,))), (vector("l", 8, 8, inner),))
    check(function, {"x": random(8), "y": np.zeros(8, np.float32)})


@every_target
def test_register_tile(target: Target) -> None:
    """Accumulators in registers across the loop over k, rows and columns left over."""
    lanes, rows = max(target.lanes, 4), 3
    r, v = Var("r"), Var("v")
    column = add(mul(J, 2 * lanes), add(mul(v, lanes), L))
    left = minimum(Const(lanes), sub(N, add(mul(J, 2 * lanes), mul(v, lanes))))
    acc = Load("acc", (r, v, L))

    def tile(statement: Stmt, stop: Expr) -> Stmt:
        return unroll("r", rows, unroll("v", 2, vector("l", stop, lanes, statement)))

    product = Apply("fma", (Load("x", (add(mul(I, rows), r), K)), Load("w", (K, column)), acc), F32)
    step = tile(Store("acc", (r, v, L), product), left)
    body = parallel(
        "j",
        floordiv(add(N, 2 * lanes - 1), 2 * lanes),
        serial(
            "i",
            2,
            Alloc(Buffer("acc", F32, (rows, 2, lanes), "register", 64)),
            tile(Store("acc", (r, v, L), f32(0.0)), Const(lanes)),
            serial("k", 5, step),
            tile(Store("y", (add(mul(I, rows), r), column), apply("max", acc, f32(0.0))), left),
        ),
    )
    params = (Buffer("x", F32, (6, 5)), Buffer("w", F32, (5, N)), Buffer("y", F32, (6, N)))
    for n in (1, 2 * lanes, 5 * lanes - 1):
        buffers = {"x": random(6, 5), "w": random(5, n, seed=1), "y": np.zeros((6, n), np.float32)}
        check(Function("f", ("n",), params, (body,)), buffers, {"n": n}, target)


def test_register_buffers_that_are_no_vectors() -> None:
    """Scalars, odd widths, and elements taken one by one, at places known only at run time."""
    body = (
        Alloc(Buffer("s", F32, (), "register")),
        Alloc(Buffer("t", F32, (2, 5), "register")),
        Store("s", (), f32(1.5)),
        serial("i", 2, serial("j", 5, Store("t", (I, J), Load("x", (I, J))))),
        unroll("i", 2, vector("l", 5, 8, Store("t", (I, L), apply("mul", Load("t", (I, L)), Load("s", ()))))),
        vector("l", 4, 4, Store("t", (Const(1), L), apply("neg", Load("t", (Const(1), add(L, 1)))))),
        serial("i", 2, serial("j", 5, Store("y", (I, J), Load("t", (I, J))))),
    )
    function = Function("f", (), (Buffer("x", F32, (2, 5)), Buffer("y", F32, (2, 5))), body)
    check(function, {"x": random(2, 5), "y": random(2, 5)})


def test_halving_in_scratch() -> None:
    """A row sum as the scheduler writes it: lanes combined by halving."""
    staged = Load("s", (L,))
    fold: list[Stmt] = []
    for half in (4, 2, 1):
        pair = apply("add", staged, Load("s", (add(L, half),)))
        fold.append(vector("l", half, half, Store("s", (L,), pair)))
    body = parallel(
        "i",
        N,
        Alloc(Buffer("s", F32, (8,), "scratch", 64)),
        vector("l", 8, 8, Store("s", (L,), Load("x", (I, L)))),
        *fold,
        Store("y", (I,), Load("s", (ZERO,))),
    )
    function = Function("f", ("n",), (Buffer("x", F32, (N, 8)), Buffer("y", F32, (N,))), (body,))
    check(function, {"x": random(3, 8), "y": random(3)}, {"n": 3})


def test_parallel_inside_serial_if_and_let() -> None:
    """The values of the host part travel to the phases: loop variables, scalars, loaded values."""
    phase = parallel(
        "i", Var("width"), Store("y", (Var("step"), I), apply("add", Var("first", F32), Cast(add(I, Var("odd")), F32)))
    )
    host = (
        Let("width", sub(N, 1)),
        serial(
            "step",
            4,
            Let("odd", mod(Var("step"), 2)),
            Let("first", Load("x", (Var("step"),))),
            If(apply("ne", Var("step"), Const(2)), (phase,), (parallel("i", N, Store("y", (Var("step"), I), f32(-1.0))),)),
        ),
    )
    function = Function("f", ("n",), (Buffer("x", F32, (4,)), Buffer("y", F32, (4, N))), host)
    for n in (1, 6):
        check(function, {"x": random(4), "y": random(4, n)}, {"n": n})


def test_parallel_loop_with_start_and_step() -> None:
    body = For("i", Const(3), N, (Store("y", (I,), Cast(I, F32)),), "parallel", step=4)
    function = Function("f", ("n",), (Buffer("y", F32, (N,)),), (body,))
    for n in (1, 3, 4, 8, 20):
        check(function, {"y": np.zeros(n, np.float32)}, {"n": n})


def test_scratch_of_the_host_is_seen_by_phases() -> None:
    body = (
        Alloc(Buffer("s", F32, (4,), "scratch")),
        serial("j", 4, Store("s", (J,), Load("x", (J,)))),
        parallel("i", 4, Store("y", (I,), apply("neg", Load("s", (sub(Const(3), I),))))),
    )
    function = Function("f", (), (Buffer("x", F32, (4,)), Buffer("y", F32, (4,))), body)
    check(function, {"x": random(4), "y": random(4)})


def test_packing_rearranges_lanes() -> None:
    """Index arithmetic on the lane: division and remainder by what the lanes cross, and by what they do not."""
    flat = add(mul(Var("t"), 16), L)
    for width in (3, 5, 8, 16, 24, 32, 48):
        index = (floordiv(flat, width), mod(flat, width))
        body = parallel("t", 12, vector("l", 16, 16, Store("y", (flat,), Load("x", index))))
        function = Function("f", (), (Buffer("x", F32, (192 // width + 1, width)), Buffer("y", F32, (192,))), (body,))
        check(function, {"x": random(192 // width + 1, width), "y": random(192)})


def test_division_by_sizes_known_at_run_time() -> None:
    flat = add(mul(Var("t"), 8), L)
    store = Store("y", (flat,), Load("x", (floordiv(flat, N), mod(flat, N))))
    function = Function(
        "f", ("n",), (Buffer("x", F32, (24, N)), Buffer("y", F32, (24,))), (serial("t", 3, vector("l", 8, 8, store)),)
    )
    for n in (1, 3, 7):
        check(function, {"x": random(24, n), "y": random(24)}, {"n": n})


@pytest.mark.parametrize("dtype", [I64, I32, I16, I8, U8])
@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize(
    "function", ["floordiv", "mod", "div", "add", "sub", "mul", "min", "max", "lt", "eq", "shl", "shr", "pow"]
)
def test_integer_functions(dtype: DType, lanes: int, function: str) -> None:
    """Negative operands, divisors of zero, shifts by too much."""
    low, high = (0, 255) if dtype == U8 else (-(1 << (dtype.bits - 1)), (1 << (dtype.bits - 1)) - 1)
    a = np.array([7, 8, 0, 100, 1, 2, high, high, low, low, 3, 5, 11, 90, 64, 2], dtype.numpy)
    b = np.array([2, 3, 5, 0, 70, 1, 2, 1, 1, 3, 4, 7, 3, 9, 3, 7], dtype.numpy)
    if dtype != U8:
        signs = np.array([1, -1, 1, -1, 1, 1, 1, -1, 1, 1, -1, -1, 1, 1, -1, -1], dtype.numpy)
        a, b = a * np.roll(signs, 3), b * signs
    if function == "pow":
        b = np.abs(b % 9)
    at = add(mul(I, lanes), L)
    value = apply(function, Load("a", (at,), dtype), Load("b", (at,), dtype))
    result = value.dtype
    align = dtype.bytes
    params = (Buffer("a", dtype, (16,), align=align), Buffer("b", dtype, (16,), align=align), Buffer("y", result, (16,), align=1))
    body = serial("i", 16 // lanes, vector("l", lanes, lanes, Store("y", (at,), value)))
    check(Function("f", (), params, (body,)), {"a": a, "b": b, "y": np.zeros(16, result.numpy)})


@pytest.mark.parametrize("divisor", [1, 2, 3, 8, 10, -3, 0])
def test_division_of_negative_numbers_by_constants(divisor: int) -> None:
    x = Load("x", (I,), I64)
    body = serial(
        "i",
        9,
        Store("y", (I, ZERO), Apply("floordiv", (x, Const(divisor)), I64)),
        Store("y", (I, Const(1)), Apply("mod", (x, Const(divisor)), I64)),
    )
    function = Function("f", (), (Buffer("x", I64, (9,), align=8), Buffer("y", I64, (9, 2), align=8)), (body,))
    check(function, {"x": np.array([-17, -9, -8, -1, 0, 1, 8, 9, 17]), "y": np.zeros((9, 2), np.int64)})


FLOAT_SPECIALS = np.array(
    [0.0, -0.0, 1.5, -2.5, 0.5, -0.5, np.inf, -np.inf, np.nan, 3e38, 1e-40, -7.0, 2.0, 100.0, 0.1, -3.7], np.float32
)


@every_target
@pytest.mark.parametrize("function", ["min", "max", "lt", "le", "eq", "ne", "gt", "ge", "add", "div", "mod", "floordiv"])
def test_float_functions_of_two(target: Target, function: str) -> None:
    y_of = Load("b", (J, add(mul(I, 8), L)))
    value = apply(function, Load("a", (add(mul(I, 8), L),)), y_of)
    params = (Buffer("a", F32, (16,)), Buffer("b", F32, (16, 16)), Buffer("y", value.dtype, (16, 16), align=1))
    body = serial("j", 16, serial("i", 2, vector("l", 8, 8, Store("y", (J, add(mul(I, 8), L)), value))))
    b = np.stack([np.roll(FLOAT_SPECIALS, n) for n in range(16)])
    check(
        Function("f", (), params, (body,)),
        {"a": FLOAT_SPECIALS, "b": b, "y": np.zeros((16, 16), value.dtype.numpy)},
        None,
        target,
    )


@pytest.mark.parametrize(
    "function", ["neg", "abs", "floor", "ceil", "round", "trunc", "sign", "isnan", "isinf", "sqrt", "reciprocal"]
)
@pytest.mark.parametrize("dtype", [F32, F64])
def test_float_functions_of_one(dtype: DType, function: str) -> None:
    value = pointwise(lambda x: apply(function, x), dtype, BOOL if function.startswith("is") else dtype)
    result = np.zeros(16, np.bool_ if function.startswith("is") else dtype.numpy)
    check(value, {"x": FLOAT_SPECIALS.astype(dtype.numpy), "y": result}, {"n": 16})


@pytest.mark.parametrize("constant", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("function", ["min", "max"])
def test_extrema_with_a_constant(function: str, constant: float) -> None:
    for swap in (False, True):

        def value(x: Expr, swap: bool = swap) -> Expr:
            return apply(function, f32(constant), x) if swap else apply(function, x, f32(constant))

        check(pointwise(value), {"x": FLOAT_SPECIALS, "y": np.zeros(16, np.float32)}, {"n": 16})


REAL = ["exp", "expm1", "log", "log1p", "log2", "tanh", "sigmoid", "silu", "gelu", "gelu_tanh", "erf", "erfc", "sin", "cos", "tan",
        "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "rsqrt", "exp2", "log10", "lgamma"]  # fmt: skip


@pytest.mark.parametrize("function", REAL)
@pytest.mark.parametrize("dtype", [F32, F64])
def test_real_functions(dtype: DType, function: str) -> None:
    x = np.concatenate([np.linspace(-5, 5, 21), FLOAT_SPECIALS]).astype(dtype.numpy)
    if function in ("log", "log2", "log10", "rsqrt", "acosh"):
        x = np.abs(x)
    y = np.zeros_like(x)
    check(pointwise(lambda e: apply(function, e), dtype, dtype), {"x": x, "y": y}, {"n": len(x)}, None, 1e-6)


@pytest.mark.parametrize("function", ["pow", "atan2"])
def test_real_functions_of_two(function: str) -> None:
    value = pointwise(lambda e: apply(function, apply("abs", e), f32(1.5)))
    x = np.linspace(-3, 3, 19).astype(np.float32)
    check(value, {"x": x, "y": np.zeros_like(x)}, {"n": 19}, None, 1e-6)


CAST_TYPES = [F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL]


@pytest.mark.parametrize("source", CAST_TYPES, ids=str)
@pytest.mark.parametrize("result", CAST_TYPES, ids=str)
def test_casts(source: DType, result: DType) -> None:
    numbers = np.array([0, 1, 2, 3, 100, 17, 5, 1, 0, 127, 8], np.float64)
    if source.kind in ("float", "int"):
        numbers = np.concatenate([numbers, [-1, -100, -7]])
    if source.is_float:
        numbers = np.concatenate([numbers, [0.5, 1.00390625, 1.01171875, 2.75, 63.5]])
    if result.kind == "uint":
        numbers = np.abs(numbers)
    x = to_bf16(numbers) if source == BF16 else numbers.astype(source.numpy)
    y = np.zeros(len(x), result.numpy)
    check(pointwise(lambda e: Cast(e, result), source, result), {"x": x, "y": y}, {"n": len(x)})


def test_bf16_is_rounded_after_each_operation() -> None:
    x = to_bf16(np.concatenate([random(40), FLOAT_SPECIALS]))
    value = pointwise(lambda e: Apply("add", (Apply("mul", (e, e), BF16), Const(0.296875, BF16)), BF16), BF16, BF16)
    check(value, {"x": x, "y": np.zeros_like(x)}, {"n": len(x)})


def test_bool_logic() -> None:
    def value(x: Expr) -> Expr:
        return Apply("and", (apply("gt", x, f32(-1.0)), Apply("not", (apply("gt", x, f32(1.0)),), BOOL)), BOOL)

    check(pointwise(value, F32, BOOL), {"x": random(37), "y": np.zeros(37, np.bool_)}, {"n": 37})


def test_lane_number_as_a_value() -> None:
    body = vector("l", 11, 16, Store("y", (L,), Cast(add(mul(L, 3), N), F32)), Store("z", (L,), mul(L, L)))
    function = Function("f", ("n",), (Buffer("y", F32, (11,)), Buffer("z", I64, (11,), align=8)), (body,))
    check(function, {"y": random(11), "z": np.zeros(11, np.int64)}, {"n": 5})


@every_target
def test_instructions_of_the_target(target: Target) -> None:
    """A tile written with instruction calls: registers by value, memory by pointer, scalars."""
    name = target.instructions[0].name.split(".")[0]
    lanes = target.lanes
    r, first = Var("r"), (ZERO,)
    body = (
        Alloc(Buffer("acc", F32, (2, lanes), "register", 64)),
        Alloc(Buffer("w", F32, (lanes,), "register", 64)),
        unroll("r", 2, vector("l", lanes, lanes, Store("acc", (r, L), f32(0.5)))),
        serial(
            "k",
            N,
            Invoke(f"{name}.load", (Slice("b", (K, ZERO), (1,)), Slice("w", first, (0,)))),
            unroll("r", 2, Invoke(f"{name}.fma", (Slice("acc", (r, ZERO), (1,)), Slice("a", (r, K)), Slice("w", first, (0,))))),
        ),
        unroll("r", 2, Invoke(f"{name}.store", (Slice("acc", (r, ZERO), (1,)), Slice("y", (r, ZERO), (1,))))),
    )
    params = (Buffer("a", F32, (2, N)), Buffer("b", F32, (N, lanes)), Buffer("y", F32, (2, lanes)))
    buffers = {"a": random(2, 9), "b": random(9, lanes), "y": random(2, lanes)}
    check(Function("f", ("n",), params, (body)), buffers, {"n": 9}, target)


DOTS = {"avx512.dpbusd": (U8, I8, I32, 4), "avx512.dpbf16ps": (BF16, BF16, F32, 2)}


@pytest.mark.parametrize("name", DOTS)
def test_dot_products_of_narrow_types(name: str) -> None:
    """Operands of two dimensions in one register, types narrower than those of the accumulator."""
    target = next((t for t in TARGETS if any(i.name == name for i in t.instructions)), None)
    if target is None:
        pytest.skip(f"this machine has no {name}")
    left, right, result, depth = DOTS[name]
    acc, a, b = (f"{n}.register" for n in ("acc", "a", "b"))
    lane, q = Var("lane"), Var("q")
    flat = Buffer("a", left, (16, depth), align=1), Buffer("b", right, (16, depth), align=1)

    def copy(source: str, into: str, dtype: DType) -> Stmt:
        index = (lane, q)
        return serial("lane", 16, serial("q", depth, Store(into, index, Load(source, index, dtype))))

    body = (
        Alloc(Buffer(acc, result, (16,), "register")),
        Alloc(Buffer(a, left, (16, depth), "register")),
        Alloc(Buffer(b, right, (16, depth), "register")),
        serial("lane", 16, Store(acc, (lane,), Const(2, result))),
        copy("a", a, left),
        copy("b", b, right),
        Invoke(name, (Slice(acc, (ZERO,), (0,)), Slice(a, (ZERO, ZERO), (0, 1)), Slice(b, (ZERO, ZERO), (0, 1)))),
        serial("lane", 16, Store("y", (lane,), Load(acc, (lane,), result))),
    )
    function = Function("f", (), (*flat, Buffer("y", result, (16,))), body)
    numbers = np.arange(16 * depth).reshape(16, depth)
    sides = [to_bf16(v) if t == BF16 else v.astype(t.numpy) for v, t in ((numbers, left), (numbers % 7 - 3, right))]
    check(function, {"a": sides[0], "b": sides[1], "y": np.zeros(16, result.numpy)}, None, target)


def test_wrong_slices_are_named() -> None:
    target = TARGETS[-1]
    wrong = Invoke(f"{target.instructions[0].name}", (Slice("y", (ZERO,), (0,)),))
    function = Function("f", (), (Buffer("y", F32, (64,)),), (wrong,))
    with pytest.raises(InternalError, match="operands"):
        compile_functions([function], target, team="")


def test_unknown_names_are_refused() -> None:
    function = Function("f", (), (Buffer("y", F32, (4,)),), (Store("y", (I,), f32(0.0)),))
    with pytest.raises(InternalError, match="variable i"):
        compile_functions([function], TARGETS[-1], team="")
