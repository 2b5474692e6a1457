"""The loop interpreter against plain NumPy and against the kernel interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bough.base.errors import InternalError
from bough.ir.bfloat import from_bf16, to_bf16
from bough.ir.dtypes import BF16, BOOL, F32, I64
from bough.ir.expr import Apply, Cast, Const, Expr, Load, Var, add, apply, floordiv, minimum, mul, select, sub
from bough.ir.interpret_loops import run_loops
from bough.ir.kernel import Axis, Kernel, Operand
from bough.ir.kernel import Store as KernelStore
from bough.ir.loops import Alloc, Buffer, For, Function, If, Invoke, Let, LoopKind, Slice, Stmt, Store

Array = np.ndarray[Any, Any]
i, j, k, lane, n = (Var(name) for name in ("i", "j", "k", "l", "n"))


def loop(var: str, stop: Expr | int, *body: Stmt, kind: LoopKind = "serial", lanes: int = 0, step: int = 1) -> For:
    end = Const(stop) if isinstance(stop, int) else stop
    return For(var, Const(0), end, body, kind, step, lanes)


def load(name: str, *index: Expr) -> Load:
    return Load(name, index, F32)


def function(*body: Stmt, **shapes: Any) -> Function:
    return Function("f", ("n",), tuple(Buffer(name, F32, shape) for name, shape in shapes.items()), body)


def fma(lanes: int = 4) -> Kernel:
    """acc[i] += a * b[i]"""
    acc = Operand("acc", F32, (lanes,), "register")
    value = Apply("fma", (load("a"), load("b", i), load("acc", i)), F32)
    inputs = (acc, Operand("a", F32, (), "register"), Operand("b", F32, (lanes,), "register"))
    return Kernel("test.fma", (Axis("i", lanes),), inputs, (acc,), (KernelStore("acc", (i,), value),))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("kind", ["serial", "vector"])
@pytest.mark.parametrize("size", [0, 3, 8, 13])
def test_tails_of_vector_loops(rng: np.random.Generator, kind: LoopKind, size: int) -> None:
    at = add(mul(i, 8), lane)
    body = loop(
        "l", minimum(8, sub(n, mul(i, 8))),
        Let("v", apply("mul", load("x", at), load("x", at))),
        Store("y", (at,), apply("tanh", Var("v", F32))),
        kind=kind, lanes=8,
    )  # fmt: skip
    f = function(loop("i", floordiv(add(n, 7), 8), body, kind="parallel"), x=(n,), y=(n,))
    x, y = rng.standard_normal(size, dtype=np.float32), np.zeros(size, np.float32)
    run_loops(f, {"x": x, "y": y}, shuffle=3)
    np.testing.assert_allclose(y, np.tanh(x * x), rtol=1e-6)


@pytest.mark.parametrize("kind", ["serial", "vector"])
def test_lanes_may_gather_guard_and_scatter(kind: LoopKind) -> None:
    """y[2 * (3 - lane)] = x[l - 1] where that exists, else the lane"""
    value = select(apply("ge", lane, Const(1)), load("x", sub(lane, 1)), Cast(lane, F32))
    f = function(loop("l", 4, Store("y", (mul(sub(3, lane), 2),), value), kind=kind, lanes=4), x=(3,), y=(8,))
    y = np.zeros(8, np.float32)
    run_loops(f, {"x": np.array([5, 6, 7], np.float32), "y": y}, {"n": 0})
    np.testing.assert_array_equal(y, [7, 0, 6, 0, 5, 0, 0, 0])


def test_a_local_keeps_its_value_when_its_buffer_changes() -> None:
    body = (Let("v", load("x", lane)), Store("x", (lane,), Const(0.0, F32)), Store("y", (lane,), Var("v", F32)))
    f = function(loop("l", 4, *body, kind="vector", lanes=4), x=(4,), y=(4,))
    x, y = np.arange(4, dtype=np.float32), np.zeros(4, np.float32)
    run_loops(f, {"x": x, "y": y}, {"n": 0})
    np.testing.assert_array_equal(y, range(4))
    assert not x.any()


def test_instructions_run_on_slices_and_are_observed(rng: np.random.Generator) -> None:
    clear = loop("r", 2, loop("l", 4, Store("acc", (Var("r"), lane), Const(0.0, F32)), kind="vector", lanes=4))
    step = Invoke("test.fma", (Slice("acc", (Var("r"), Const(0)), (1,)), Slice("x", (Var("r"), k)),
                               Slice("w", (k, Const(0)), (1,))))  # fmt: skip
    out = loop("r", 2, loop("l", 4, Store("y", (Var("r"), lane), load("acc", Var("r"), lane)), kind="vector", lanes=4))
    body = (
        Alloc(Buffer("acc", F32, (2, 4), "register")),
        clear,
        loop("k", n, loop("r", 2, step, kind="unroll")),
        out,
    )
    f = function(*body, x=(2, n), w=(n, 4), y=(2, 4))
    x, w = rng.standard_normal((2, 5), dtype=np.float32), rng.standard_normal((5, 4), dtype=np.float32)
    y, seen = np.zeros((2, 4), np.float32), []
    run_loops(f, {"x": x, "w": w, "y": y}, {}, {"test.fma": fma()}, observer=seen.append)
    np.testing.assert_allclose(y, x @ w, rtol=1e-5)
    assert seen == ["test.fma"] * 10


def test_slices_may_transpose() -> None:
    move = Kernel(
        "move", (Axis("i", 2), Axis("j", 3)), (Operand("a", F32, (2, 3)),), (Operand("b", F32, (2, 3)),),
        (KernelStore("b", (i, j), load("a", i, j)),),
    )  # fmt: skip
    zero = (Const(0), Const(0))
    f = function(Invoke("move", (Slice("x", zero, (1, 0)), Slice("y", zero, (0, 1)))), x=(3, 2), y=(2, 3))
    x, y = np.arange(6, dtype=np.float32).reshape(3, 2), np.zeros((2, 3), np.float32)
    run_loops(f, {"x": x, "y": y}, {"n": 0}, {"move": move})
    np.testing.assert_array_equal(y, x.T)


def test_branches_and_bf16() -> None:
    x_buffer, y_buffer = Buffer("x", BF16, (4,)), Buffer("y", BF16, (4,))
    double = apply("mul", Cast(Load("x", (i,), BF16), F32), Const(2.0, F32))
    even = apply("eq", apply("mod", i, Const(2)), Const(0))
    body = If(even, (Store("y", (i,), Cast(double, BF16)),), (Store("y", (i,), Load("x", (i,), BF16)),))
    f = Function("f", (), (x_buffer, y_buffer), (loop("i", 4, body),))
    x, y = to_bf16(np.arange(4, dtype=np.float32)), np.zeros(4, np.uint16)
    run_loops(f, {"x": x, "y": y})
    np.testing.assert_array_equal(from_bf16(y), [0, 1, 4, 3])


def test_fresh_buffers_show_reads_before_writes() -> None:
    f = function(Alloc(Buffer("a", F32, (2,), "scratch")), Store("y", (), load("a", Const(1))), y=())
    y = np.zeros((), np.float32)
    run_loops(f, {"y": y}, {"n": 0})
    assert np.isnan(y)


def test_deep_nests() -> None:
    names = [f"i{d}" for d in range(40)]
    body: Stmt = Store("y", (), apply("add", load("y"), Const(1.0, F32)))
    for name in names:
        body = loop(name, 2 if name in names[:3] else 1, Let(f"{name}.next", add(Var(name), 1)), body)
    y = np.zeros((), np.float32)
    run_loops(function(body, y=()), {"y": y}, {"n": 0})
    assert y == 8


def test_conditions_on_host_values() -> None:
    condition = apply("not", apply("and", apply("lt", n, Const(3)), Apply("isnan", (load("y"),), BOOL)))
    y = np.zeros((), np.float32)
    run_loops(function(If(condition, (Store("y", (), Const(1.0, F32)),)), y=()), {"y": y}, {"n": 2})
    assert y == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (Store("y", (sub(i, 1),), Const(1.0, F32)), "index -1 is negative"),
        (Store("y", (add(i, 2),), Const(1.0, F32)), "out of bounds"),
        (loop("l", 4, Store("y", (add(lane, i),), Const(1.0, F32)), kind="vector", lanes=4), "outside a dimension"),
        (loop("l", 3, Store("y", (lane,), Const(1.0, F32)), kind="vector", lanes=2), "a vector loop of 2 lanes runs 3"),
        (loop("l", 3, If(Const(True, BOOL), ()), kind="vector", lanes=2), "a vector loop of 2 lanes runs 3"),
        (loop("l", 3, Store("y", (lane,), load("y", Apply("mul", (lane, lane), I64))), kind="vector", lanes=4), "outside"),
        (Invoke("no.such", ()), "unknown instruction no.such"),
    ],
)
def test_what_goes_outside_is_an_error(body: Stmt, message: str) -> None:
    with pytest.raises(InternalError, match=message):
        run_loops(function(loop("i", 3, body), y=(4,)), {"y": np.zeros(4, np.float32)}, {"n": 0})


def test_wrong_buffers_are_named() -> None:
    with pytest.raises(InternalError, match="without a buffer for x"):
        run_loops(function(x=(3,)), {}, {"n": 0})
    with pytest.raises(InternalError, match="x holds float64"):
        run_loops(function(x=(3,)), {"x": np.zeros(3)}, {"n": 0})
    with pytest.raises(InternalError, match="without a value for n"):
        run_loops(function(x=(3,)), {"x": np.zeros(3, np.float32)})
