"""How element types look in LLVM, in memory and as values; constants; vectors made of scalars."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from bough.ir.bfloat import from_bf16, to_bf16
from bough.ir.dtypes import BF16, DType

POINTER = ir.PointerType()
VOID = ir.VoidType()
BIT = ir.IntType(1)
INT8, INT16, INT32, INT64 = (ir.IntType(n) for n in (8, 16, 32, 64))
FLOAT, DOUBLE, HALF = ir.FloatType(), ir.DoubleType(), ir.HalfType()


class BFloat16(ir.types.Type):  # type: ignore[misc]
    """LLVM's bf16, which only the spellings of instructions use."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BFloat16)

    def __hash__(self) -> int:
        return hash(BFloat16)


_VALUES: dict[str, Any] = {
    "f64": DOUBLE, "f32": FLOAT, "f16": HALF, "bf16": FLOAT, "i64": INT64,
    "i32": INT32, "i16": INT16, "i8": INT8, "u8": INT8, "bool": BIT,
}  # fmt: skip
_MEMORY: dict[str, Any] = {**_VALUES, "bf16": INT16, "bool": INT8}


def value_type(dtype: DType, lanes: int = 0) -> Any:
    """The type of a value while it is computed with: bf16 is a `float` that is a bf16, bool is `i1`."""
    return shaped(_VALUES[dtype.name], lanes)


def memory_type(dtype: DType, lanes: int = 0) -> Any:
    """The type that is loaded and stored: bf16 is its bit pattern, bool a byte that is 0 or 1."""
    return shaped(_MEMORY[dtype.name], lanes)


def instruction_type(dtype: DType, lanes: int = 0) -> Any:
    """The type by which the spelling of an instruction takes or returns a value."""
    return shaped(BFloat16(), lanes) if dtype == BF16 else memory_type(dtype, lanes)


def shaped(scalar: Any, lanes: int) -> Any:
    """The type of `lanes` elements; of one scalar for 0."""
    return ir.VectorType(scalar, lanes) if lanes else scalar


def lanes_of(value: Any) -> int:
    """The number of lanes of a vector value, 0 for a scalar."""
    return int(value.type.count) if isinstance(value.type, ir.VectorType) else 0


def element_type(value: Any) -> Any:
    """The type of one element of a vector or scalar value."""
    return value.type.element if isinstance(value.type, ir.VectorType) else value.type


def constant(dtype: DType, value: float | int | bool) -> Any:
    """A scalar constant, rounded or wrapped to its type."""
    if dtype.kind == "bool":
        return ir.Constant(BIT, int(bool(value)))
    if dtype.is_integer:
        return ir.Constant(_VALUES[dtype.name], wrap(int(value), dtype.bits))
    with np.errstate(all="ignore"):
        rounded = from_bf16(to_bf16(np.float32(value)))[()] if dtype == BF16 else dtype.numpy.type(value)
    return ir.Constant(_VALUES[dtype.name], float(rounded))


def wrap(value: int, bits: int = 64) -> int:
    """The two's complement value of the low `bits` bits."""
    return ((value + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))


def int64(value: int) -> Any:
    return ir.Constant(INT64, wrap(value))


def int32(value: int) -> Any:
    return ir.Constant(INT32, value)


def bit(value: bool) -> Any:
    return ir.Constant(BIT, int(value))


def is_constant(value: Any) -> bool:
    return isinstance(value, ir.Constant)


def iota(scalar: Any, lanes: int, step: int = 1) -> Any:
    """The constant vector 0, step, 2*step, ..."""
    return ir.Constant(ir.VectorType(scalar, lanes), [ir.Constant(scalar, n * step) for n in range(lanes)])


def constant_vector(values: list[int]) -> Any:
    """A constant vector of `i32`, such as shuffles take."""
    return ir.Constant(ir.VectorType(INT32, len(values)), [int32(v) for v in values])


class Filled(ir.Constant):  # type: ignore[misc]
    """A constant vector with one element in all lanes, which prints as such."""

    def __init__(self, scalar: Any, lanes: int) -> None:
        super().__init__(ir.VectorType(scalar.type, lanes), [scalar] * lanes)
        self.scalar = scalar

    def get_reference(self) -> str:
        return f"splat ({self.scalar.type} {self.scalar.get_reference()})"


def filled(scalar: Any, lanes: int) -> Any:
    """A constant scalar; with lanes, a vector of it."""
    return Filled(scalar, lanes) if lanes else scalar


def splat(builder: Any, value: Any, lanes: int) -> Any:
    """`value` in each lane; vectors and lanes 0 pass unchanged."""
    if not lanes or isinstance(value.type, ir.VectorType):
        return value
    if is_constant(value):
        return filled(value, lanes)
    vector = ir.VectorType(value.type, lanes)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, int32(0))
    zeros = ir.Constant(ir.VectorType(INT32, lanes), None)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def intrinsic(builder: Any, name: str, result: Any, args: list[Any]) -> Any:
    """A call of `llvm.<name>`, overloaded on its result type or, for void and `i1`, on its last argument."""
    overload = args[0].type if isinstance(result, ir.VoidType) or result == BIT else result
    return call(builder, f"llvm.{name}.{mangle(overload)}", result, args)


def call(builder: Any, name: str, result: Any, args: list[Any]) -> Any:
    """A call of the function `name`, declared where it is not yet known in the module."""
    module = builder.module
    function = module.globals.get(name)
    if function is None:
        function = ir.Function(module, ir.FunctionType(result, [a.type for a in args]), name)
    return builder.call(function, args)


def mangle(kind: Any) -> str:
    """The suffix by which LLVM names an intrinsic's overload."""
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{mangle(kind.element)}"
    return "p0" if isinstance(kind, ir.PointerType) else str(kind.intrinsic_name)
