"""Elementwise operators, against PyTorch: every function and composite, special values, types and broadcasting."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from bough.ir.dtypes import DTYPES
from bough.ops import pointwise, special

Check = Callable[..., None]
Unary = Callable[[torch.Tensor], torch.Tensor]

SPECIAL = [
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, 3.0, -3.0, 20.5, -20.5, 6.0, 1e-30, -1e-30, float("inf"), float("-inf"),
    float("nan"),
]  # fmt: skip
FLOATS = {torch.float32: 2e-6, torch.float64: 1e-12, torch.bfloat16: 1e-2}

UNARY: dict[str, Unary] = {
    "neg": torch.neg, "abs": torch.abs, "exp": torch.exp, "exp2": torch.exp2, "expm1": torch.expm1, "log": torch.log,
    "log2": torch.log2, "log10": torch.log10, "log1p": torch.log1p, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt,
    "reciprocal": torch.reciprocal, "sin": torch.sin, "cos": torch.cos, "tan": torch.tan, "asin": torch.asin,
    "acos": torch.acos, "atan": torch.atan, "sinh": torch.sinh, "cosh": torch.cosh, "asinh": torch.asinh,
    "acosh": torch.acosh, "atanh": torch.atanh, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "silu": F.silu,
    "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "erf": torch.erf, "erfc": torch.erfc,
    "lgamma": torch.lgamma, "digamma": torch.digamma, "erfinv": torch.erfinv,
    "floor": torch.floor, "ceil": torch.ceil, "round": torch.round, "trunc": torch.trunc, "sign": torch.sign,
    "isnan": torch.isnan, "isinf": torch.isinf, "relu": F.relu, "relu6": F.relu6, "selu": F.selu,
    "hardsigmoid": F.hardsigmoid, "hardswish": F.hardswish, "mish": F.mish, "logsigmoid": F.logsigmoid,
    "softsign": F.softsign, "tanhshrink": F.tanhshrink, "square": torch.square, "logical_not": torch.logical_not,
    "leaky_relu": F.leaky_relu, "elu": F.elu, "celu": F.celu, "hardtanh": F.hardtanh, "softplus": F.softplus,
    "hardshrink": F.hardshrink, "softshrink": F.softshrink, "clamp": lambda x: x,
}  # fmt: skip

BINARY: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "pow": torch.pow, "min": torch.minimum,
    "max": torch.maximum, "atan2": torch.atan2, "lt": torch.lt, "le": torch.le, "gt": torch.gt, "ge": torch.ge,
    "eq": torch.eq, "ne": torch.ne, "logical_and": torch.logical_and, "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor, "floordiv": torch.floor_divide, "mod": torch.remainder,
}  # fmt: skip

WITH_ATTRIBUTES: list[tuple[str, dict[str, float | None], Unary]] = [
    ("leaky_relu", {"slope": 0.2}, lambda x: F.leaky_relu(x, 0.2)),
    ("elu", {"alpha": 0.7}, lambda x: F.elu(x, 0.7)),
    ("elu", {"alpha": 0.7, "scale": 1.3, "input_scale": 0.4}, lambda x: torch.ops.aten.elu(x, 0.7, 1.3, 0.4)),
    ("celu", {"alpha": 0.6}, lambda x: F.celu(x, 0.6)),
    ("hardtanh", {"low": -2.0, "high": 0.5}, lambda x: F.hardtanh(x, -2.0, 0.5)),
    ("clamp", {"low": -0.7, "high": None}, lambda x: x.clamp(min=-0.7)),
    ("clamp", {"low": None, "high": 0.7}, lambda x: x.clamp(max=0.7)),
    ("clamp", {"low": 2.0, "high": 1.0}, lambda x: x.clamp(2.0, 1.0)),
    ("softplus", {"beta": 2.0, "threshold": 3.0}, lambda x: F.softplus(x, 2.0, 3.0)),
    ("hardshrink", {"width": 1.2}, lambda x: F.hardshrink(x, 1.2)),
    ("softshrink", {"width": 1.2}, lambda x: F.softshrink(x, 1.2)),
    ("threshold", {"threshold": 0.3, "value": 9.0}, lambda x: F.threshold(x, 0.3, 9.0)),
]


def sample(dtype: torch.dtype) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.cat([torch.tensor(SPECIAL), torch.randn(45)]).reshape(9, 7).to(dtype)


def test_every_operator_is_here() -> None:
    elsewhere = {"cast", "prelu", "threshold", "select", "not", "and", "or", "xor", "shl", "shr"}
    assert {o.name for o in (*pointwise.OPERATORS, *special.OPERATORS)} == set(UNARY) | set(BINARY) | elsewhere


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", UNARY)
def test_unary(check: Check, name: str, dtype: torch.dtype) -> None:
    x = sample(dtype)
    if name == "gelu":
        x[x == float("inf")] = 7.0  # PyTorch's vectorized gelu gives NaN there, its float64 one infinity
    # PyTorch's own float32 tan, sinh and the like are a few units off.
    rtol = FLOATS[dtype] * (4 if dtype != torch.bfloat16 else 1)
    check(name, [x], UNARY[name](x), rtol=rtol, atol=FLOATS[dtype] / 2)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name, attributes, want", WITH_ATTRIBUTES)
def test_attributes(check: Check, name: str, attributes: dict[str, float], want: Unary, dtype: torch.dtype) -> None:
    x = sample(dtype)
    check(name, [x], want(x), rtol=FLOATS[dtype], atol=FLOATS[dtype], **attributes)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", BINARY)
def test_binary(check: Check, name: str, dtype: torch.dtype) -> None:
    a = sample(dtype)
    b = a.flatten()[torch.randperm(a.numel())].reshape(a.shape)
    if name in ("floordiv", "mod"):
        keep = torch.isfinite(a) & torch.isfinite(b) & (b.abs() > 0.1) & (a.abs() > 0.1)
        a, b = torch.where(keep, a, 2.5), torch.where(keep, b, 0.75)
    check(name, [a, b], BINARY[name](a, b), rtol=FLOATS[dtype], atol=FLOATS[dtype])
    check(name, [a, b[:1]], BINARY[name](a, b[:1]), rtol=FLOATS[dtype], atol=FLOATS[dtype])


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_integers(check: Check, dtype: torch.dtype) -> None:
    low = 0 if dtype == torch.uint8 else -9
    a, b = torch.randint(low, 9, (5, 6)).to(dtype), torch.randint(1, 5, (6,)).to(dtype)
    for name in ("add", "sub", "mul", "min", "max", "lt", "le", "gt", "ge", "eq", "ne", "floordiv", "mod"):
        check(name, [a, b], BINARY[name](a, b))
    check("pow", [a, b], a**b)
    check("and", [a, b], a & b)
    check("or", [a, b], a | b)
    check("xor", [a, b], a ^ b)
    check("not", [a], ~a)
    check("shl", [a, b], a << b)
    check("shr", [a, b], a >> b)
    check("div", [a, b], torch.div(a, b, rounding_mode="trunc"))
    for name in ("neg", "abs", "sign", "isnan", "isinf", "relu", "square", "logical_not"):
        check(name, [a], UNARY[name](a))
    check("clamp", [a], a.clamp(2, 5), low=2, high=5)
    for name in ("floor", "ceil", "round", "trunc"):
        check(name, [a], a)


def test_bools(check: Check) -> None:
    a, b = torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])
    check("and", [a, b], a & b)
    check("or", [a, b], a | b)
    check("xor", [a, b], a ^ b)
    check("not", [a], ~a)
    for name in ("eq", "ne", "lt", "logical_and", "logical_or", "logical_xor"):
        check(name, [a, b], BINARY[name](a, b))
    check("logical_not", [a], ~a)


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int64, torch.bool])
def test_select(check: Check, dtype: torch.dtype) -> None:
    condition = torch.rand(3, 1) > 0.5
    a, b = torch.randn(3, 4).to(dtype), torch.randn(4).to(dtype)
    check("select", [condition, a, b], torch.where(condition, a, b))


def test_prelu(check: Check) -> None:
    x, slope = torch.randn(2, 3, 5), torch.randn(3)
    check("prelu", [x, slope[:, None]], F.prelu(x, slope))


NAMES = {
    torch.float32: "f32", torch.float64: "f64", torch.bfloat16: "bf16", torch.float16: "f16", torch.int64: "i64",
    torch.int32: "i32", torch.int16: "i16", torch.int8: "i8", torch.uint8: "u8", torch.bool: "bool",
}  # fmt: skip


@pytest.mark.parametrize("source", NAMES)
def test_cast(check: Check, source: torch.dtype) -> None:
    x = torch.tensor([0.0, 1.0, 2.5, 100.3, 0.49, 126.0]).to(source)
    for target, name in NAMES.items():
        check("cast", [x], x.to(target), dtype=DTYPES[name])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_broadcasting(check: Check, data: st.DataObject) -> None:
    full = data.draw(st.lists(st.integers(0, 4), max_size=4))

    def shape() -> tuple[int, ...]:
        kept = full[data.draw(st.integers(0, len(full))) :]
        return tuple(data.draw(st.sampled_from([1, n])) for n in kept)

    condition = torch.zeros(shape(), dtype=torch.bool)
    a, b = torch.ones(shape()), torch.full(shape(), 2.0)
    check("select", [condition, a, b], torch.where(condition, a, b))
    check("add", [a, b], a + b)
