"""The functions of `bough.ir.functions` on LLVM values: scalars, or vectors lane by lane with the same bits.

Floating-point operations are single IEEE operations without fast-math flags; a fused multiply-add stands only where `fma` is
written. Integer division by zero gives 0, so that code under a mask cannot trap.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir

from bough.base.errors import InternalError
from bough.codegen import llvm_types as t
from bough.codegen.real_functions import emit_real
from bough.ir.dtypes import BF16, F16, F32, F64, DType

Builder = Any
_FLOAT_OPS = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_INT_OPS = {"add": "add", "sub": "sub", "mul": "mul", "and": "and_", "or": "or_", "xor": "xor"}
_COMPARE = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_ROUNDING = {"floor": "floor", "ceil": "ceil", "round": "roundeven", "trunc": "trunc"}


def emit_function(b: Builder, name: str, args: list[Any], dtype: DType) -> Any:
    """`name` of the table on operands of type `dtype`, all of the same number of lanes."""
    if name in _COMPARE:
        return compare(b, name, args[0], args[1], dtype)
    if name in ("min", "max"):
        return _extremum(b, name, args[0], args[1], dtype)
    if dtype.is_float:
        return round_to(b, _float_function(b, name, args, dtype), dtype)
    return _integer_function(b, name, args, dtype)


def constant_like(value: Any, number: float) -> Any:
    """The constant `number` in every lane of a value's type."""
    kind = t.element_type(value)
    scalar = ir.Constant(kind, number if isinstance(kind, (ir.FloatType, ir.DoubleType, ir.HalfType)) else int(number))
    return t.filled(scalar, t.lanes_of(value))


def compare(b: Builder, name: str, x: Any, y: Any, dtype: DType) -> Any:
    """A comparison; false where an operand is NaN, except for `ne`."""
    op = _COMPARE[name]
    if dtype.is_float:
        return b.fcmp_unordered(op, x, y) if name == "ne" else b.fcmp_ordered(op, x, y)
    return b.icmp_signed(op, x, y) if dtype.kind == "int" else b.icmp_unsigned(op, x, y)


def _is_number(value: Any) -> bool:
    """Whether a value is known not to be NaN."""
    if not t.is_constant(value):
        return False
    scalar = value.scalar if isinstance(value, t.Filled) else value
    return isinstance(scalar.constant, float) and not math.isnan(scalar.constant)


def _extremum(b: Builder, name: str, x: Any, y: Any, dtype: DType) -> Any:
    """NaN where an operand is NaN. One instruction yields its second operand where either is NaN, so a constant goes first.

    Otherwise only the second is tested: in a reduction the first is the result so far, which others wait for.
    """
    op = "gt" if name == "max" else "lt"
    if not dtype.is_float:
        return b.select(compare(b, op, x, y, dtype), x, y)
    if _is_number(y):
        x, y = y, x
    if _is_number(x):
        return b.select(b.fcmp_ordered(_COMPARE[op], x, y), x, y)
    result = b.select(b.fcmp_ordered(_COMPARE[op], y, x), y, x)
    return b.select(b.fcmp_unordered("uno", y, y), constant_like(x, math.nan), result)


def _float_function(b: Builder, name: str, args: list[Any], dtype: DType) -> Any:
    x = args[0]
    kind = x.type
    if name in _FLOAT_OPS:
        return getattr(b, _FLOAT_OPS[name])(*args)
    match name:
        case "neg":
            return b.fneg(x)
        case "abs":
            return t.intrinsic(b, "fabs", kind, [x])
        case "fma" | "sqrt":
            return t.intrinsic(b, name, kind, args)
        case "floor" | "ceil" | "round" | "trunc":
            return t.intrinsic(b, _ROUNDING[name], kind, [x])
        case "sign":
            zero = constant_like(x, 0.0)
            negative = b.select(b.fcmp_ordered("<", x, zero), constant_like(x, -1.0), zero)
            return b.select(b.fcmp_ordered(">", x, zero), constant_like(x, 1.0), negative)
        case "isnan":
            return b.fcmp_unordered("uno", x, x)
        case "isinf":
            return b.fcmp_ordered("==", t.intrinsic(b, "fabs", kind, [x]), constant_like(x, math.inf))
        case "mod":
            return _float_mod(b, *args)[0]
        case "floordiv":
            return _float_floordiv(b, *args)
    if dtype == F16:
        wide = t.shaped(t.FLOAT, t.lanes_of(x))
        return b.fptrunc(emit_real(b, name, [b.fpext(a, wide) for a in args]), kind)
    return emit_real(b, name, args)


def _float_mod(b: Builder, x: Any, y: Any) -> tuple[Any, Any]:
    """The remainder with the sign of the divisor, and whether it had to be corrected."""
    remainder = b.frem(x, y)
    zero = constant_like(x, 0.0)
    other_sign = b.xor(b.fcmp_ordered("<", remainder, zero), b.fcmp_ordered("<", y, zero))
    wrong = b.and_(b.fcmp_unordered("!=", remainder, zero), other_sign)
    signed_zero = t.intrinsic(b, "copysign", x.type, [zero, y])
    exact = b.select(b.fcmp_ordered("==", remainder, zero), signed_zero, remainder)
    return b.select(wrong, b.fadd(remainder, y), exact), wrong


def _float_floordiv(b: Builder, x: Any, y: Any) -> Any:
    """The floor of the exact quotient, as NumPy and PyTorch compute it."""
    remainder = b.frem(x, y)
    _, wrong = _float_mod(b, x, y)
    quotient = b.fdiv(b.fsub(x, remainder), y)
    quotient = b.select(wrong, b.fsub(quotient, constant_like(x, 1.0)), quotient)
    floor = t.intrinsic(b, "floor", x.type, [quotient])
    far = b.fcmp_ordered(">", b.fsub(quotient, floor), constant_like(x, 0.5))
    floor = b.select(far, b.fadd(floor, constant_like(x, 1.0)), floor)
    zero = constant_like(x, 0.0)
    ratio = b.fdiv(x, y)
    signed_zero = t.intrinsic(b, "copysign", x.type, [zero, ratio])
    floor = b.select(b.fcmp_ordered("==", quotient, zero), signed_zero, floor)
    return b.select(b.fcmp_ordered("==", y, zero), ratio, floor)


def _integer_function(b: Builder, name: str, args: list[Any], dtype: DType) -> Any:
    x = args[0]
    if name in _INT_OPS:
        return getattr(b, _INT_OPS[name])(*args)
    zero = constant_like(x, 0)
    match name:
        case "floor" | "ceil" | "round" | "trunc":
            return x
        case "fma":
            return b.add(b.mul(x, args[1]), args[2])
        case "neg":
            return b.sub(zero, x)
        case "not":
            return b.xor(x, constant_like(x, 1 if dtype.kind == "bool" else -1))
        case "abs" if dtype.kind == "uint":
            return x
        case "abs":
            return b.select(b.icmp_signed("<", x, zero), b.sub(zero, x), x)
        case "sign":
            positive = b.zext(compare(b, "gt", x, zero, dtype), x.type)
            return b.sub(positive, b.zext(compare(b, "lt", x, zero, dtype), x.type))
        case "isnan" | "isinf":
            return t.filled(t.bit(False), t.lanes_of(x))
        case "div" | "floordiv" | "mod":
            return divide(b, name, x, args[1], dtype)
        case "shl" | "shr":
            return _shift(b, name, x, args[1], dtype)
        case "pow":
            return _integer_power(b, x, args[1], dtype)
        case _:
            raise InternalError(f"no code for {name} of {dtype}")


def divide(b: Builder, name: str, x: Any, y: Any, dtype: DType) -> Any:
    """`div` (towards zero), `floordiv` or `mod` of integers; 0 where the divisor is 0."""
    zero, one = constant_like(x, 0), constant_like(x, 1)
    fixed = _constant_integer(y) not in (None, 0, -1)
    no_divisor = None if fixed else b.icmp_signed("==", y, zero)
    if dtype.kind == "uint":
        safe = y if fixed else b.select(no_divisor, one, y)
        result = b.urem(x, safe) if name == "mod" else b.udiv(x, safe)
        return result if fixed else b.select(no_divisor, zero, result)
    minus = None if fixed else b.icmp_signed("==", y, constant_like(x, -1))
    safe = y if fixed else b.select(b.or_(no_divisor, minus), one, y)
    quotient, remainder = b.sdiv(x, safe), b.srem(x, safe)
    if name != "div":
        crossed = b.icmp_signed("<", b.xor(remainder, safe), zero)
        crossed = b.and_(crossed, b.icmp_signed("!=", remainder, zero))
        quotient = b.sub(quotient, b.zext(crossed, x.type))
        remainder = b.select(crossed, b.add(remainder, safe), remainder)
    if fixed:
        return remainder if name == "mod" else quotient
    if name == "mod":
        return b.select(b.or_(no_divisor, minus), zero, remainder)
    return b.select(no_divisor, zero, b.select(minus, b.sub(zero, x), quotient))


def _constant_integer(value: Any) -> int | None:
    """The integer that a value is known to be, in all lanes."""
    scalar = value.scalar if isinstance(value, t.Filled) else value
    return scalar.constant if t.is_constant(scalar) and isinstance(scalar.constant, int) else None


def _shift(b: Builder, name: str, x: Any, count: Any, dtype: DType) -> Any:
    inside = b.icmp_unsigned("<", count, constant_like(x, dtype.bits))
    safe = b.select(inside, count, constant_like(x, 0))
    if name == "shl":
        return b.select(inside, b.shl(x, safe), constant_like(x, 0))
    if dtype.kind == "uint":
        return b.select(inside, b.lshr(x, safe), constant_like(x, 0))
    return b.select(inside, b.ashr(x, safe), b.ashr(x, constant_like(x, dtype.bits - 1)))


def _integer_power(b: Builder, x: Any, exponent: Any, dtype: DType) -> Any:
    """By repeated squaring over the bits of the exponent; x**-n is the integer part of 1 / x**n."""
    one, zero = constant_like(x, 1), constant_like(x, 0)
    result, square = one, x
    for n in range(min(dtype.bits, 63)):
        factor = b.and_(exponent, constant_like(x, t.wrap(1 << n, dtype.bits)))
        result = b.select(b.icmp_signed("!=", factor, zero), b.mul(result, square), result)
        square = b.mul(square, square)
    if dtype.kind == "uint":
        return result
    odd = b.icmp_signed("!=", b.and_(exponent, one), zero)
    minus = constant_like(x, -1)
    inverse = b.select(b.icmp_signed("==", x, minus), b.select(odd, minus, one), zero)
    inverse = b.select(b.icmp_signed("==", x, one), one, inverse)
    return b.select(b.icmp_signed("<", exponent, zero), inverse, result)


# Conversions


def round_to(b: Builder, value: Any, dtype: DType) -> Any:
    """A result of arithmetic as a value of `dtype`: bf16 is computed in f32 and rounded after each operation."""
    if dtype != BF16 or t.element_type(value) == t.BIT:
        return value
    bits = b.bitcast(value, t.shaped(t.INT32, t.lanes_of(value)))
    return _from_bf16_bits(b, _bf16_bits(b, value, bits))


def _bf16_bits(b: Builder, value: Any, bits: Any) -> Any:
    """The upper 16 bits, in 32, of a float rounded to the nearest even bf16; NaN stays NaN."""
    low = b.lshr(bits, constant_like(bits, 16))
    odd = b.and_(low, constant_like(bits, 1))
    rounded = b.lshr(b.add(bits, b.add(odd, constant_like(bits, 0x7FFF))), constant_like(bits, 16))
    return b.select(b.fcmp_unordered("uno", value, value), b.or_(low, constant_like(bits, 0x40)), rounded)


def _from_bf16_bits(b: Builder, bits: Any) -> Any:
    return b.bitcast(b.shl(bits, constant_like(bits, 16)), t.shaped(t.FLOAT, t.lanes_of(bits)))


def from_memory(b: Builder, value: Any, dtype: DType) -> Any:
    """A loaded value in the form it is computed with."""
    if dtype.kind == "bool":
        return b.icmp_unsigned("!=", value, constant_like(value, 0))
    if dtype == BF16:
        return _from_bf16_bits(b, b.zext(value, t.shaped(t.INT32, t.lanes_of(value))))
    return value


def to_memory(b: Builder, value: Any, dtype: DType) -> Any:
    """A value in the form it is stored."""
    lanes = t.lanes_of(value)
    if dtype.kind == "bool":
        return b.zext(value, t.shaped(t.INT8, lanes))
    if dtype == BF16:
        bits = b.bitcast(value, t.shaped(t.INT32, lanes))
        return b.trunc(b.lshr(bits, constant_like(bits, 16)), t.shaped(t.INT16, lanes))
    return value


def cast(b: Builder, value: Any, source: DType, target: DType) -> Any:
    """The meaning of `Cast`. A float beyond an integer's range gives what the processor's conversion gives."""
    if source == target:
        return value
    lanes = t.lanes_of(value)
    kind = t.value_type(target, lanes)
    if target.kind == "bool":
        return compare(b, "ne", value, constant_like(value, 0), source)
    if target.is_float:
        return round_to(b, _to_float(b, value, source, target, lanes), target)
    if source.is_float:
        wide = t.shaped(t.INT64 if target.bits == 64 else t.INT32, lanes)
        result = b.fptosi(value, wide)
        return result if wide == kind else b.trunc(result, kind)
    if target.bits < source.bits:
        return b.trunc(value, kind)
    if target.bits == source.bits:
        return value
    return b.sext(value, kind) if source.kind == "int" else b.zext(value, kind)


_WIDTH = {F64: 64, F32: 32, BF16: 32, F16: 16}


def _to_float(b: Builder, value: Any, source: DType, target: DType, lanes: int) -> Any:
    kind = t.value_type(target, lanes)
    if source.is_float:
        if _WIDTH[source] == _WIDTH[target]:
            return value
        return b.fpext(value, kind) if _WIDTH[source] < _WIDTH[target] else b.fptrunc(value, kind)
    if source.kind == "bool":
        one = t.filled(ir.Constant(t.value_type(target), 1.0), lanes)
        return b.select(value, one, t.filled(ir.Constant(t.value_type(target), 0.0), lanes))
    return b.sitofp(value, kind) if source.kind == "int" else b.uitofp(value, kind)
