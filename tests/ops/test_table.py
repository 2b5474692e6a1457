"""The table as a whole: every operator has all its parts, and the three questions keep their promises."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bough import ops
from bough.base.errors import InternalError
from bough.ir.bfloat import from_bf16, to_bf16
from bough.ir.dtypes import BF16, F16, F32, F64, I64
from bough.ir.evaluate import shape_value
from bough.ir.expr import Expr, Extent, Var, add, as_extent, mul, sub
from bough.ir.functions import FUNCTIONS
from bough.ir.interpret_kernel import run_kernel
from bough.ir.kernel import Operand
from bough.ir.program import TensorType
from bough.ops.__main__ import table
from bough.ops.table import FAMILIES


@pytest.mark.parametrize("name", ops.OPERATORS)
def test_operators_have_all_parts(name: str) -> None:
    operator = ops.OPERATORS[name]
    assert operator.name == name
    assert operator.summary and operator.signature.startswith("(")
    for part, arity in ((operator.infer, 2), (operator.evaluate, 3), (operator.lower, 3)):
        assert len(inspect.signature(part).parameters) == arity


@pytest.mark.parametrize("name", ops.OPERATORS)
def test_operators_have_a_line_in_the_docs(name: str) -> None:
    assert len([line for line in table().splitlines() if line.startswith(f"| `{name}` |")]) == 1


def test_names_are_unique() -> None:
    assert sum(len(family) for family in FAMILIES.values()) == len(ops.OPERATORS)


def test_every_function_is_an_operator() -> None:
    assert set(FUNCTIONS) - set(ops.OPERATORS) == {"fma"}


def test_unknown_operators() -> None:
    with pytest.raises(InternalError, match="no operator is named frobnicate"):
        ops.infer("frobnicate", [], {})


@pytest.mark.parametrize(
    "op, shapes, attributes",
    [
        ("add", [(2, 3), (4,)], {}),
        ("matmul", [(2, 3), (4, 5)], {}),
        ("matmul", [(3,), (3, 5)], {}),
        ("matmul", [(2, 1), (4, 5)], {}),
        ("linear", [(2, 3), (5, 4)], {}),
        ("reshape", [(2, 3)], {"shape": (7,)}),
        ("attention", [(2, 3), (4, 5), (4, 5)], {}),
        ("reduce_sum", [(2, 3)], {"axes": (2,)}),
        ("reduce_sum", [(2, 3)], {"axes": (1, -1)}),
        ("concat", [(2, 3), (2, 4)], {"axis": 0}),
        ("convolution", [(2, 3, 4), (5, 2, 3)], {}),
        ("layer_norm", [(2, 3)], {"axes": (0,)}),
        ("gather", [(2, 3), (2,)], {"axis": 0}),
        ("take_at", [(2, 3), (1,)], {"axis": 0}),
        ("pad", [(2,)], {"low": (1,), "high": (1,), "mode": "mirror"}),
    ],
)
def test_wrong_arguments(op: str, shapes: list[tuple[int, ...]], attributes: dict[str, Any]) -> None:
    types = [TensorType(F32, s) for s in shapes]
    with pytest.raises(InternalError, match=op):
        results = ops.infer(op, types, attributes)
        ops.lower(op, [Operand(f"x{n}", F32, s) for n, s in enumerate(shapes)], [_operand("y", results[0])], attributes)


def _operand(name: str, t: TensorType) -> Operand:
    return Operand(name, t.dtype, t.shape)


def test_absent_arguments() -> None:
    with pytest.raises(InternalError, match="add: a required argument is absent"):
        ops.infer("add", [TensorType(F32, (2,)), None], {})


def test_a_meaning_of_another_shape_is_refused() -> None:
    with pytest.raises(InternalError, match="reduce_sum"):
        ops.evaluate("reduce_sum", [np.ones((2, 3))], {"axes": (0,)}, (TensorType(F64, (2,)),))


def test_float64_arrays_give_the_reference() -> None:
    """Whatever type the program says, float64 arrays are not rounded on the way."""
    x = np.random.default_rng(0).normal(size=(5, 7))
    for dtype in (F32, BF16, F16):
        (y,) = ops.evaluate("softmax", [x], {"axis": 1}, (TensorType(dtype, (5, 7)),))
        assert y.dtype == np.float64
        np.testing.assert_allclose(y.sum(1), 1, rtol=1e-15)


def test_16_bit_floats_are_computed_in_float32() -> None:
    x = np.random.default_rng(0).normal(size=(3, 400)).astype(np.float32)
    bits = to_bf16(x)
    (y,) = ops.evaluate("reduce_sum", [bits], {"axes": (1,)}, (TensorType(BF16, (3,)),))
    np.testing.assert_array_equal(y, to_bf16(from_bf16(bits).sum(1)))
    half = x.astype(np.float16)
    (y,) = ops.evaluate("reduce_sum", [half], {"axes": (1,)}, (TensorType(F16, (3,)),))
    np.testing.assert_array_equal(y, half.astype(np.float32).sum(1).astype(np.float16))


Case = Callable[[Expr, Expr, Expr], tuple[str, list[tuple[Extent, ...]], dict[str, Any]]]
CASES: dict[str, Case] = {
    "linear": lambda a, b, c: ("linear", [(a, b), (c, b), (c,)], {}),
    "variance": lambda a, b, c: ("reduce_var", [(a, b, c)], {"axes": (1, 2)}),
    "reshape": lambda a, b, c: ("reshape", [(a, b, c)], {"shape": (a, as_extent(mul(b, c)))}),
    "slice": lambda a, b, c: ("slice", [(a, b)], {"axis": 1, "start": as_extent(sub(b, 2)), "stop": b, "step": 1}),
    "softmax": lambda a, b, c: ("softmax", [(a, b, c)], {"axis": 1}),
    "full": lambda a, b, c: ("full", [], {"shape": (a, b), "value": add(a, c), "dtype": I64}),
}


@pytest.mark.parametrize("names", [("total", "k0", "i0"), ("i0", "i1", "k0"), ("i1", "i0", "i0_"), ("squares", "best", "k1")])
@pytest.mark.parametrize("case", CASES)
def test_sizes_may_be_named_like_axes(case: str, names: tuple[str, str, str]) -> None:
    def run(*names: str) -> Any:
        op, shapes, attributes = CASES[case](*(Var(n) for n in names))
        sizes = dict(zip(names, (3, 5, 4), strict=True))
        args = [Operand(f"x{n}", F32, s) for n, s in enumerate(shapes)]
        (result,) = ops.infer(op, [TensorType(F32, s) for s in shapes], attributes)
        rng = np.random.default_rng(1)
        memory = {a.name: rng.normal(size=shape_value(a.shape, sizes)).astype(np.float32) for a in args}
        for kernel in ops.lower(op, args, [_operand("y", result)], attributes):
            memory.update(run_kernel(kernel, memory, sizes))
        return memory["y"]

    np.testing.assert_array_equal(run(*names), run("p", "q", "r"))


def test_symbols() -> None:
    assert ops.symbols({"axis": 1, "shape": (2, (add(Var("n"), 1), Var("m"))), "dtype": F32}) == {"n", "m"}
    assert ops.symbols({"value": 1.5, "mode": "reflect", "low": (1, 2)}) == set()
