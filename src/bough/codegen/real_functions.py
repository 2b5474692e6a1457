"""Real functions on `float` and `double`, scalars or vectors.

f32 functions are our own where `vector_math` has them; everything else goes, lane by lane, through the C library in double.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir

from bough.base.errors import InternalError
from bough.codegen import llvm_types as t
from bough.codegen import vector_math

_LIBM = frozenset({
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "tanh", "erf", "erfc", "sin", "cos", "tan", "asin", "acos",
    "atan", "atan2", "sinh", "cosh", "asinh", "acosh", "atanh", "pow", "lgamma",
})  # fmt: skip


def emit_real(b: Any, name: str, args: list[Any]) -> Any:
    """`name` of arguments of one type, f32 or f64."""
    lanes = t.lanes_of(args[0])
    if t.element_type(args[0]) == t.FLOAT:
        if name in vector_math.FUNCTIONS:
            return _vector_math(b, name, args, lanes)
        wide = t.shaped(t.DOUBLE, lanes)
        return b.fptrunc(_double(b, name, [b.fpext(a, wide) for a in args], lanes), args[0].type)
    return _double(b, name, args, lanes)


def _vector_math(b: Any, name: str, args: list[Any], lanes: int) -> Any:
    """Filled up to a power of two of lanes."""
    width = 1 << (lanes - 1).bit_length() if lanes else 0
    if width == lanes:
        return vector_math.emit(b, name, args)
    filling = t.constant_vector([min(n, lanes - 1) for n in range(width)])
    result = vector_math.emit(b, name, [b.shuffle_vector(a, a, filling) for a in args])
    return b.shuffle_vector(result, result, t.constant_vector(list(range(lanes))))


def _double(b: Any, name: str, args: list[Any], lanes: int) -> Any:
    def number(value: float) -> Any:
        return t.filled(ir.Constant(t.DOUBLE, value), lanes)

    x = args[0]
    if name in _LIBM:
        return _by_lane(b, name, args, lanes)
    match name:
        case "reciprocal":
            return b.fdiv(number(1.0), x)
        case "rsqrt":
            return b.fdiv(number(1.0), t.intrinsic(b, "sqrt", x.type, [x]))
        case "sigmoid":
            small = _by_lane(b, "exp", [b.fneg(t.intrinsic(b, "fabs", x.type, [x]))], lanes)
            top = b.select(b.fcmp_ordered("<", x, number(0.0)), small, number(1.0))
            return b.fdiv(top, b.fadd(small, number(1.0)))
        case "silu":
            return b.fmul(x, _double(b, "sigmoid", [x], lanes))
        case "gelu":
            tail = _by_lane(b, "erfc", [b.fmul(x, number(-math.sqrt(0.5)))], lanes)
            return b.fmul(b.fmul(number(0.5), x), tail)
        case "gelu_tanh":
            cube = b.fmul(b.fmul(b.fmul(x, number(0.044715)), x), x)
            inner = b.fmul(b.fadd(x, cube), number(2.0 * math.sqrt(2.0 / math.pi)))
            return b.fmul(x, _double(b, "sigmoid", [inner], lanes))
        case _:
            raise InternalError(f"no code for the function {name}")


def _by_lane(b: Any, name: str, args: list[Any], lanes: int) -> Any:
    if not lanes:
        return t.call(b, name, t.DOUBLE, args)
    result = ir.Constant(args[0].type, ir.Undefined)
    for n in range(lanes):
        each = [b.extract_element(a, t.int32(n)) for a in args]
        result = b.insert_element(result, t.call(b, name, t.DOUBLE, each), t.int32(n))
    return result
