"""Elementary functions of f32, scalars and vectors alike, without a library.

NaN, infinities, signed zeros and subnormals come out as PyTorch's eager operators give them, independently of the
floating-point environment's flags, and every lane of every vector width has the bits of the scalar.
`bough.codegen.check_math` holds the functions against references over all inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from bough.base.errors import InternalError
from bough.codegen import vector_math_angles as angles
from bough.codegen import vector_math_double as double
from bough.codegen import vector_math_single as single
from bough.codegen.vector_math_lanes import F32, Lanes

_UNARY: dict[str, Callable[[Lanes], Lanes]] = {
    "exp": single.exp,
    "exp2": single.exp2,
    "expm1": single.expm1,
    "log": single.log,
    "log2": double.log2,
    "log10": double.log10,
    "log1p": single.log1p,
    "tanh": single.tanh,
    "sigmoid": single.sigmoid,
    "silu": single.silu,
    "gelu": single.gelu,
    "gelu_tanh": double.gelu_tanh,
    "erf": single.erf,
    "erfc": double.erfc,
    "sin": angles.sin,
    "cos": angles.cos,
    "tan": angles.tan,
    "asin": double.asin,
    "acos": double.acos,
    "atan": double.atan,
    "sinh": double.sinh,
    "cosh": double.cosh,
    "asinh": double.asinh,
    "acosh": double.acosh,
    "atanh": double.atanh,
    "sqrt": Lanes.sqrt,
    "rsqrt": lambda x: 1.0 / x.sqrt(),
    "reciprocal": lambda x: 1.0 / x,
}
_BINARY: dict[str, Callable[[Lanes, Lanes], Lanes]] = {"atan2": double.atan2, "pow": double.power}

FUNCTIONS: frozenset[str] = frozenset(_UNARY) | frozenset(_BINARY)
"""What `emit` knows, by the names of `bough.ir.functions`."""


def arity(function: str) -> int:
    """The number of arguments. InternalError for a function that is not in `FUNCTIONS`."""
    if function not in FUNCTIONS:
        raise InternalError(f"vector math has no {function}")
    return 1 if function in _UNARY else 2


def emit(builder: ir.IRBuilder, function: str, args: Sequence[ir.Value]) -> ir.Value:
    """The value of `function` at arguments of one type: `float`, or a vector of a power of two of them.

    It is a call of an internal `alwaysinline` function of the module, which the first use in that type defines.
    """
    type_ = args[0].type
    if function not in FUNCTIONS or (type_.element if isinstance(type_, ir.VectorType) else type_) != F32:
        raise InternalError(f"vector math has no {function} of {type_}")
    name = f"bough.math.{function}" + (f".v{type_.count}" if isinstance(type_, ir.VectorType) else "")
    known = builder.module.globals.get(name)
    return builder.call(known if known is not None else _define(builder.module, name, function, args), list(args))


def _define(module: ir.Module, name: str, function: str, args: Sequence[ir.Value]) -> ir.Function:
    defined = ir.Function(module, ir.FunctionType(args[0].type, [a.type for a in args]), name)
    defined.linkage = "internal"
    defined.attributes.add("alwaysinline")
    builder = ir.IRBuilder(defined.append_basic_block())
    lanes = [Lanes(builder, a) for a in defined.args]
    result = _UNARY[function](*lanes) if function in _UNARY else _BINARY[function](*lanes)
    builder.ret(result.value)
    return defined
