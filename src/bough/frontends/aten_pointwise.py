"""Elementwise ATen operators."""

from __future__ import annotations

import math
from typing import Any

import torch

from bough.frontends.builder import Builder, Operand, compute_dtype
from bough.frontends.converters import Converter, converts, enter_all
from bough.frontends.errors import in_training
from bough.frontends.promotion import TO_TORCH, common_dtype
from bough.ir.dtypes import BOOL, DType
from bough.ir.expr import Apply, Const, Var
from bough.ir.program import Value


def common(operands: tuple[Operand, ...]) -> DType:
    """The computing type of mixed operands; a symbolic size counts as an integer number."""
    return common_dtype([1 if isinstance(o, (Const, Var, Apply)) else o for o in operands])  # type: ignore[misc]


_OF_BOOLS = {"add": "or", "mul": "and", "max": "or", "min": "and"}


def apply(b: Builder, op: str, dtype: DType, *operands: Operand) -> Value:
    """An operator on operands brought to one type."""
    op = _OF_BOOLS.get(op, op) if dtype == BOOL else op
    return b.emit(op, *(b.operand(o, dtype) for o in operands))


def _real(op: str) -> Converter:
    """Real-valued functions of one tensor: integers compute in float32."""
    return lambda b, x, **_: b.emit(op, b.cast(x, compute_dtype(x.type.dtype)))


def _same(op: str) -> Converter:
    return lambda b, x, **_: b.emit(op, x)


def _binary(op: str) -> Converter:
    def convert(b: Builder, x: Operand, y: Operand) -> Value:
        return apply(b, op, common((x, y)), x, y)

    return convert


def _named(names: str, suffix: str = ".default") -> dict[str, str]:
    return {f"{n}{suffix}": n for n in names.split()}


enter_all(
    {
        **_named("exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal sin cos tan asin acos atan sinh cosh asinh"),
        **_named("acosh atanh tanh sigmoid silu erf erfc relu6 selu hardswish hardsigmoid mish lgamma"),
        **_named("digamma erfinv"), "special_gammaln.default": "lgamma", "special_psi.default": "digamma",
        "special_digamma.default": "digamma", "special_erfinv.default": "erfinv",
        "special_expit.default": "sigmoid", "special_erf.default": "erf", "log_sigmoid.default": "logsigmoid",
        "arctan.default": "atan", "arcsin.default": "asin", "arccos.default": "acos", "softsign.default": "softsign",
    },
    _real,
)  # fmt: skip
enter_all(
    {
        **_named("neg abs relu floor ceil round trunc sign isnan isinf square"), "negative.default": "neg",
        "absolute.default": "abs", "fix.default": "trunc", "sgn.default": "sign", "logical_not.default": "logical_not",
        "bitwise_not.default": "not",
    },
    _same,
)  # fmt: skip
_COMPARISONS = {
    "lt": "lt", "le": "le", "gt": "gt", "ge": "ge", "eq": "eq", "ne": "ne", "less": "lt", "less_equal": "le",
    "greater": "gt", "greater_equal": "ge", "not_equal": "ne",
}  # fmt: skip
_BINARY = {
    "mul": "mul", "multiply": "mul", "remainder": "mod", "bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor",
    "__and__": "and", "__or__": "or", "__xor__": "xor", "bitwise_left_shift": "shl", "bitwise_right_shift": "shr",
    "__lshift__": "shl", "__rshift__": "shr", "floor_divide": "floordiv", **_COMPARISONS,
}  # fmt: skip
enter_all({f"{n}.{s}": op for n, op in _BINARY.items() for s in ("Tensor", "Scalar")}, _binary)
enter_all(
    {
        "maximum.default": "max", "minimum.default": "min", "max.other": "max", "min.other": "min",
        "floor_divide.default": "floordiv", "clamp_min.default": "max", "clamp_min.Tensor": "max",
        "clamp_max.default": "min", "clamp_max.Tensor": "min", "remainder.Scalar_Tensor": "mod",
        "bitwise_and.Scalar_Tensor": "and", "bitwise_or.Scalar_Tensor": "or", "bitwise_xor.Scalar_Tensor": "xor",
    },
    _binary,
)  # fmt: skip
enter_all({f"logical_{n}.default": f"logical_{n}" for n in ("and", "or", "xor")}, _binary)


@converts("add.Tensor", "add.Scalar")
def _add(b: Builder, x: Operand, y: Operand, alpha: Operand = 1) -> Value:
    dtype = common((x, y))
    return apply(b, "add", dtype, x, _scaled(b, y, alpha, dtype))


@converts("sub.Tensor", "sub.Scalar", "subtract.Tensor", "subtract.Scalar")
def _sub(b: Builder, x: Operand, y: Operand, alpha: Operand = 1) -> Value:
    dtype = common((x, y))
    return apply(b, "sub", dtype, x, _scaled(b, y, alpha, dtype))


@converts("rsub.Tensor", "rsub.Scalar")
def _rsub(b: Builder, x: Operand, y: Operand, alpha: Operand = 1) -> Value:
    return _sub(b, y, x, alpha)


def _scaled(b: Builder, y: Operand, factor: Operand, dtype: DType) -> Operand:
    return y if factor == 1 else apply(b, "mul", dtype, y, factor)


@converts("div.Tensor", "div.Scalar", "true_divide.Tensor", "true_divide.Scalar", "divide.Tensor", "divide.Scalar")
def _div(b: Builder, x: Operand, y: Operand) -> Value:
    return apply(b, "div", compute_dtype(common((x, y))), x, y)


@converts("div.Tensor_mode", "div.Scalar_mode", "divide.Tensor_mode", "divide.Scalar_mode")
def _div_mode(b: Builder, x: Operand, y: Operand, rounding_mode: str | None = None) -> Value:
    if rounding_mode is None:
        return _div(b, x, y)
    dtype = common((x, y))
    if rounding_mode == "floor":
        return apply(b, "floordiv", dtype, x, y)
    return b.emit("trunc", apply(b, "div", dtype, x, y))


@converts("fmod.Tensor", "fmod.Scalar")
def _fmod(b: Builder, x: Operand, y: Operand) -> Value:
    """The remainder with the sign of x: that of the absolute values, which is exact, with x's sign."""
    dtype = common((x, y))
    a = b.operand(x, dtype)
    rest = b.emit("mod", b.emit("abs", a), b.emit("abs", b.operand(y, dtype)))
    return b.emit("select", b.emit("lt", a, b.number(0, dtype)), b.emit("neg", rest), rest)


@converts("pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar")
def _pow(b: Builder, x: Operand, y: Operand) -> Value:
    dtype = common((x, y))
    if y == 1:
        return b.operand(x, dtype)
    if y == 2:
        return b.emit("square", b.operand(x, dtype))
    if dtype.is_float and isinstance(y, (int, float)) and y in (0.5, -0.5, -1):
        return b.emit({0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}[float(y)], b.operand(x, dtype))
    return apply(b, "pow", dtype, x, y)


@converts("atan2.default", "arctan2.default")
def _atan2(b: Builder, x: Value, y: Value) -> Value:
    return apply(b, "atan2", compute_dtype(common((x, y))), x, y)


@converts("where.self", "where.default", "where.Scalar", "where.ScalarSelf", "where.ScalarOther")
def _where(b: Builder, condition: Value, x: Operand, y: Operand) -> Value:
    dtype = b.expected[0].dtype
    return b.emit("select", b.cast(condition, BOOL), b.operand(x, dtype), b.operand(y, dtype))


@converts("masked_fill.Scalar", "masked_fill.Tensor")
def _masked_fill(b: Builder, x: Value, mask: Value, value: Operand) -> Value:
    return b.emit("select", b.cast(mask, BOOL), b.operand(value, x.type.dtype), x)


@converts("clamp.default", "clip.default", "clamp.Tensor", "clip.Tensor", "hardtanh.default")
def _clamp(b: Builder, x: Value, low: Operand | None = None, high: Operand | None = None) -> Value:
    dtype = b.expected[0].dtype
    x = b.cast(x, dtype)
    if isinstance(low, (int, float, type(None))) and isinstance(high, (int, float, type(None))):
        return b.emit("clamp", x, low=low, high=high)
    if low is not None:
        x = b.emit("max", x, b.operand(low, dtype))
    return x if high is None else b.emit("min", x, b.operand(high, dtype))


_hardtanh = converts("hardtanh.default")(
    lambda b, x, low=-1.0, high=1.0: b.emit("hardtanh", x, low=low, high=high)
)


@converts("gelu.default")
def _gelu(b: Builder, x: Value, *, approximate: str = "none") -> Value:
    return b.emit("gelu_tanh" if approximate == "tanh" else "gelu", x)


@converts("leaky_relu.default")
def _leaky_relu(b: Builder, x: Value, slope: float = 0.01) -> Value:
    return b.emit("leaky_relu", x, slope=slope)


@converts("rrelu.default")
def _rrelu(b: Builder, x: Value, low: float = 1 / 8, high: float = 1 / 3, training: bool = False, *_: Any) -> Value:
    if training:
        raise in_training("rrelu", b.location)
    return b.emit("leaky_relu", x, slope=(low + high) / 2)


@converts("prelu.default")
def _prelu(b: Builder, x: Value, slope: Value) -> Value:
    if x.type.rank > 1 and slope.type.rank == 1:
        slope = b.reshape(slope, (*slope.type.shape, *(1,) * (x.type.rank - 2)))
    return b.emit("prelu", x, slope)


@converts("elu.default")
def _elu(b: Builder, x: Value, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Value:
    return b.emit("elu", x, alpha=alpha, scale=scale, input_scale=input_scale)


@converts("celu.default")
def _celu(b: Builder, x: Value, alpha: float = 1.0) -> Value:
    return b.emit("celu", x, alpha=alpha)


@converts("softplus.default")
def _softplus(b: Builder, x: Value, beta: float = 1.0, threshold: float = 20.0) -> Value:
    return b.emit("softplus", x, beta=float(beta), threshold=float(threshold))


@converts("threshold.default")
def _threshold(b: Builder, x: Value, threshold: float, value: float) -> Value:
    return b.emit("threshold", x, threshold=threshold, value=value)


@converts("hardshrink.default")
def _hardshrink(b: Builder, x: Value, width: float = 0.5) -> Value:
    return b.emit("hardshrink", x, width=width)


@converts("softshrink.default")
def _softshrink(b: Builder, x: Value, width: float = 0.5) -> Value:
    return b.emit("softshrink", x, width=width)


@converts("glu.default")
def _glu(b: Builder, x: Value, dim: int = -1) -> Value:
    axis = dim % x.type.rank
    half = b.expected[0].shape[axis]
    return b.emit(
        "mul", b.slice(x, axis, 0, half), b.emit("sigmoid", b.slice(x, axis, half, x.type.shape[axis]))
    )


@converts("lerp.Scalar", "lerp.Tensor")
def _lerp(b: Builder, x: Value, y: Value, weight: Operand) -> Value:
    return b.emit("add", x, apply(b, "mul", x.type.dtype, weight, b.emit("sub", y, x)))


@converts("addcmul.default")
def _addcmul(b: Builder, x: Value, y: Value, z: Value, *, value: Operand = 1) -> Value:
    dtype = b.expected[0].dtype
    return apply(b, "add", dtype, x, _scaled(b, apply(b, "mul", dtype, y, z), value, dtype))


@converts("addcdiv.default")
def _addcdiv(b: Builder, x: Value, y: Value, z: Value, *, value: Operand = 1) -> Value:
    dtype = b.expected[0].dtype
    return apply(b, "add", dtype, x, _scaled(b, apply(b, "div", dtype, y, z), value, dtype))


@converts("isfinite.default")
def _isfinite(b: Builder, x: Value) -> Value:
    return b.emit("not", b.emit("or", b.emit("isnan", x), b.emit("isinf", x)))


@converts("nan_to_num.default")
def _nan_to_num(
    b: Builder, x: Value, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Value:
    dtype = x.type.dtype
    if not dtype.is_float:
        return x
    limit = torch.finfo(TO_TORCH[dtype])
    high = limit.max if posinf is None else posinf
    low = limit.min if neginf is None else neginf
    finite = b.emit("select", b.emit("eq", x, b.number(math.inf, dtype)), b.number(high, dtype), x)
    finite = b.emit("select", b.emit("eq", x, b.number(-math.inf, dtype)), b.number(low, dtype), finite)
    return b.emit("select", b.emit("isnan", x), b.number(nan or 0.0, dtype), finite)


@converts("round.decimals")
def _round_decimals(b: Builder, x: Value, *, decimals: int) -> Value:
    """As PyTorch does: scaled by a power of ten, rounded, and scaled back, each with its error."""
    power = b.number(10.0 ** abs(decimals), x.type.dtype)
    there, back = ("mul", "div") if decimals > 0 else ("div", "mul")
    return b.emit(back, b.emit("round", b.emit(there, x, power)), power) if decimals else b.emit("round", x)


_IDENTITIES = (
    "alias.default", "detach.default", "detach_.default", "lift_fresh_copy.default", "lift_fresh.default",
    "contiguous.default", "resolve_conj.default", "resolve_neg.default", "positive.default", "clone.default",
)  # fmt: skip


@converts(*_IDENTITIES)
def _identity(_: Builder, x: Value, **__: Any) -> Value:
    """Values never change, so that a copy is the value itself."""
    return x


@converts(
    "_to_copy.default", "to.dtype", "to.dtype_layout", "to.device", "to.other", "type_as.default", "_cast_Float.default",
    "_cast_Long.default", "_cast_Int.default", "_cast_Double.default", "_cast_Half.default",
)
def _to(b: Builder, x: Value, *_: Any, **__: Any) -> Value:
    return b.cast(x, b.expected[0].dtype)
