"""The kernel interpreter against plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bough.base.errors import InternalError
from bough.ir import interpret_kernel
from bough.ir.bfloat import from_bf16, to_bf16
from bough.ir.dtypes import BF16, F32, I64, DType
from bough.ir.expr import Apply, Cast, Const, Expr, Load, Var, add, apply, mul, select, sub
from bough.ir.interpret_kernel import run_kernel
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Store

Array = np.ndarray[Any, Any]
i, j, k = Var("i"), Var("j"), Var("k")


def load(name: str, *index: Expr, dtype: DType = F32) -> Load:
    return Load(name, index, dtype)


def linear(accumulate: bool = False) -> Kernel:
    """y[i, j] = b[j] + sum(k) x[i, k] * w[j, k], or added to y."""
    y = Operand("y", F32, (Var("batch"), 5))
    product = Reduce("sum", ("k",), apply("mul", load("x", i, k), load("w", j, k)))
    start = load("y", i, j) if accumulate else load("b", j)
    return Kernel(
        "linear",
        (Axis("i", Var("batch")), Axis("j", 5), Axis("k", 7)),
        (
            Operand("x", F32, (Var("batch"), 7)),
            Operand("w", F32, (5, 7)),
            Operand("b", F32, (5,)),
            *((y,) if accumulate else ()),
        ),
        (y,),
        (Let("s", product), Store("y", (i, j), apply("add", start, Var("s", F32)))),
    )


def operands(rng: np.random.Generator, batch: int) -> dict[str, Array]:
    shapes = {"x": (batch, 7), "w": (5, 7), "b": (5,)}
    return {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("batch", [0, 1, 4])
def test_linear(rng: np.random.Generator, batch: int) -> None:
    a = operands(rng, batch)
    y = run_kernel(linear(), a)["y"]
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, a["x"] @ a["w"].T + a["b"], rtol=1e-5, atol=1e-6)


def test_float64_is_a_finer_reference(rng: np.random.Generator) -> None:
    a = operands(rng, 3)
    y = run_kernel(linear(), a, precision="float64")["y"]
    wide = {name: value.astype(np.float64) for name, value in a.items()}
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, wide["x"] @ wide["w"].T + wide["b"], rtol=1e-14)
    np.testing.assert_array_equal(y, run_kernel(linear(), wide, precision="float64")["y"])


def test_accumulators_are_read_and_copied(rng: np.random.Generator) -> None:
    a = operands(rng, 2) | {"y": np.ones((2, 5), np.float32)}
    y = run_kernel(linear(accumulate=True), a)["y"]
    np.testing.assert_allclose(y, 1 + a["x"] @ a["w"].T, rtol=1e-5)
    assert (a["y"] == 1).all()


@pytest.mark.parametrize("limit", [1, 3, 20])
def test_parts_of_a_box_give_the_same(
    rng: np.random.Generator, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = operands(rng, 4)
    whole = run_kernel(linear(), a, precision="float64")["y"]
    monkeypatch.setattr(interpret_kernel, "POINTS_AT_ONCE", limit)
    np.testing.assert_allclose(run_kernel(linear(), a, precision="float64")["y"], whole, rtol=1e-14)


def test_softmax_uses_locals_of_the_point(rng: np.random.Generator) -> None:
    x = load("x", i, k)
    kernel = Kernel(
        "softmax_sum",
        (Axis("i", 3), Axis("k", 8)),
        (Operand("x", F32, (3, 8)),),
        (Operand("y", F32, (3,)),),
        (
            Let("m", Reduce("max", ("k",), x)),
            Let("s", Reduce("sum", ("k",), apply("exp", apply("sub", x, Var("m", F32))))),
            Let("l", apply("log", Var("s", F32))),
            Store("y", (i,), apply("add", Var("m", F32), Var("l", F32))),
        ),
    )
    x_values = rng.standard_normal((3, 8), dtype=np.float32)
    y = run_kernel(kernel, {"x": x_values})["y"]
    np.testing.assert_allclose(y, np.log(np.exp(x_values).sum(1)), rtol=1e-6)


def padded(guarded: bool) -> Kernel:
    """y[i] = x[i - 1] where that exists, else 0."""
    shifted = load("x", sub(i, 1))
    inside = apply("and", apply("ge", i, Const(1)), apply("lt", i, add(Var("n"), 1)))
    value = select(inside, shifted, Const(0.0, F32)) if guarded else shifted
    return Kernel(
        "pad", (Axis("i", add(Var("n"), 2)),), (Operand("x", F32, (Var("n"),)),),
        (Operand("y", F32, (add(Var("n"), 2),)),), (Store("y", (i,), value),),
    )  # fmt: skip


@pytest.mark.parametrize("n", [0, 1, 5])
def test_loads_in_branches_not_taken_may_lie_outside(n: int) -> None:
    x = np.arange(1, n + 1, dtype=np.float32)
    np.testing.assert_array_equal(run_kernel(padded(True), {"x": x})["y"], np.pad(x, 1))


def test_loads_outside_are_errors() -> None:
    with pytest.raises(InternalError, match="index -1 is outside dimension 0 of x"):
        run_kernel(padded(False), {"x": np.ones(3, np.float32)})


def test_gather(rng: np.random.Generator) -> None:
    kernel = Kernel(
        "embedding", (Axis("i", Var("n")), Axis("j", 4)),
        (Operand("t", F32, (10, 4)), Operand("at", I64, (Var("n"),))), (Operand("y", F32, (Var("n"), 4)),),
        (Store("y", (i, j), load("t", load("at", i, dtype=I64), j)),),
    )  # fmt: skip
    table, at = rng.standard_normal((10, 4), dtype=np.float32), np.array([3, 3, 9, 0])
    np.testing.assert_array_equal(run_kernel(kernel, {"t": table, "at": at})["y"], table[at])


@pytest.mark.parametrize(("op", "unit"), [("sum", 0.0), ("prod", 1.0), ("max", -np.inf), ("min", np.inf)])
def test_reductions_over_nothing_give_the_unit(op: Any, unit: float) -> None:
    kernel = Kernel(
        "r", (Axis("k", Var("n")),), (Operand("x", F32, (Var("n"),)),), (Operand("y", F32, ()),),
        (Let("s", Reduce(op, ("k",), load("x", k))), Store("y", (), Var("s", F32))),
    )  # fmt: skip
    assert run_kernel(kernel, {"x": np.zeros(0, np.float32)})["y"] == unit
    assert np.isnan(run_kernel(kernel, {"x": np.array([1, np.nan, 2], np.float32)})["y"])


def test_bf16_operands_are_bit_patterns(rng: np.random.Generator) -> None:
    kernel = Kernel(
        "double", (Axis("i", 6),), (Operand("x", BF16, (6,)),), (Operand("y", BF16, (6,)),),
        (Store("y", (i,), Cast(apply("mul", Cast(load("x", i, dtype=BF16), F32), Const(1.3, F32)), BF16)),),
    )  # fmt: skip
    x = to_bf16(rng.standard_normal(6, dtype=np.float32))
    y = run_kernel(kernel, {"x": x})["y"]
    assert y.dtype == np.uint16
    np.testing.assert_array_equal(y, to_bf16(from_bf16(x) * np.float32(1.3)))


def test_scalars_and_partial_stores() -> None:
    kernel = Kernel(
        "put", (Axis("i", 2),), (), (Operand("y", F32, (6,)),),
        (Store("y", (add(mul(Var("t"), 2), i),), Cast(Var("t"), F32)),),
    )  # fmt: skip
    y = run_kernel(kernel, {"y": np.zeros(6, np.float32)}, {"t": 2})["y"]
    np.testing.assert_array_equal(y, [0, 0, 0, 0, 2, 2])
    assert np.isnan(run_kernel(kernel, {}, {"t": 2})["y"][:4]).all()


def test_wrong_arrays_are_named() -> None:
    with pytest.raises(InternalError, match="without an array for x"):
        run_kernel(padded(True), {})
    with pytest.raises(InternalError, match="x holds float64, not f32"):
        run_kernel(padded(True), {"x": np.ones(3)})
    with pytest.raises(InternalError, match=r"w has shape \(5, 6\)"):
        run_kernel(linear(), operands(np.random.default_rng(0), 1) | {"w": np.ones((5, 6), np.float32)})


def test_integer_division_by_zero_does_not_crash() -> None:
    kernel = Kernel(
        "d", (Axis("i", 3),), (Operand("x", I64, (3,)),), (Operand("y", I64, (3,)),),
        (Store("y", (i,), Apply("floordiv", (load("x", i, dtype=I64), Const(0)), I64)),),
    )  # fmt: skip
    assert (run_kernel(kernel, {"x": np.array([1, -1, 0])})["y"] == 0).all()
