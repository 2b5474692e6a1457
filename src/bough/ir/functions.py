"""The table of scalar functions: what `Apply` may name, with the meaning of each as a NumPy callable.

Meanings are vectorised, take and give arrays (or NumPy scalars) of one type, and never raise on a value: an integer
division by zero gives 0, shifts by more than the width give what shifting bit by bit would. Callers silence NumPy's
floating-point warnings (`np.errstate(all="ignore")`). Functions of f32 and f16 whose value is irrational are computed
in float64 and rounded once; NaN and infinities come out as PyTorch's eager operators give them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bough.ir.dtypes import BOOL, DType, Kind
from bough.ir.kernel import Reduction

Array = np.ndarray[Any, Any]
Evaluate = Callable[..., Any]

FLOATS: frozenset[Kind] = frozenset({"float"})
NUMBERS: frozenset[Kind] = frozenset({"float", "int", "uint"})
BITS: frozenset[Kind] = frozenset({"int", "uint", "bool"})
INTEGERS: frozenset[Kind] = frozenset({"int", "uint"})
ALL: frozenset[Kind] = frozenset({"float", "int", "uint", "bool"})


@dataclass(frozen=True, slots=True)
class Function:
    """A scalar function. All operands have one type, of a kind in `kinds` (of `select`: the last two).

    `result`: the operands' type, or `bool`. `unit` is the exact right unit, `x f unit == x` for every x (on both
    sides where `commutative`); for floats it minds signed zeros, so that of `add` is -0.0 there. `zero` absorbs:
    `x f zero == zero`, on integers and bools only (a float may be NaN).
    """

    name: str
    arity: int
    evaluate: Evaluate
    kinds: frozenset[Kind] = FLOATS
    result: Literal["same", "bool"] = "same"
    commutative: bool = False
    associative: bool = False
    unit: float | bool | None = None
    zero: int | bool | None = None


def _through_float64(f: Evaluate) -> Evaluate:
    def evaluate(*args: Any) -> Any:
        dtype = np.result_type(*args)
        if dtype == np.float64:
            return f(*args)
        return f(*(np.asarray(a, np.float64) for a in args)).astype(dtype)

    return evaluate


def _elementwise(f: Callable[[float], float]) -> Evaluate:
    over_objects = np.frompyfunc(f, 1, 1)
    return lambda x: np.asarray(over_objects(x), np.float64)


_erf = _elementwise(math.erf)
_erfc = _elementwise(math.erfc)


def _lgamma(x: float) -> float:
    """Infinite at the poles and where the value leaves the range."""
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):
        return math.inf



def _sigmoid(x: Any) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def _gelu(x: Any) -> Any:
    return 0.5 * x * _erfc(x * -math.sqrt(0.5))


def _gelu_tanh(x: Any) -> Any:
    return x * _sigmoid(2.0 * math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x))


def _fma(a: Any, b: Any, c: Any) -> Any:
    """Rounded once for f32 and f16; in f64 the product is rounded first (nothing there is compared bit by bit)."""
    dtype = np.result_type(a, b, c)
    if dtype.kind != "f" or dtype == np.float64:
        return a * b + c
    product, addend = np.multiply(a, b, dtype=np.float64), np.asarray(c, np.float64)
    total = np.asarray(product + addend)
    bits = total.view(np.int64)
    # Rounding twice can only err where the first result is half way between two floats, or its range is subnormal.
    if dtype == np.float32 and not np.any(((bits & 0x1FFFFFFF) == 0x10000000) | (np.abs(total) < 2.0**-125)):
        return total.astype(dtype)
    # The product is exact; the sum is made odd where inexact, so that rounding it again cannot err (Boldo and
    # Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd").
    other = total - product
    error = (product - (total - other)) + (addend - other)
    inexact = (error != 0) & np.isfinite(error) & ((bits & 1) == 0)
    towards = np.nextafter(total, np.where(error > 0, np.inf, -np.inf))
    return np.where(inexact, towards, total).astype(dtype)


def _divide(a: Any, b: Any) -> Any:
    """True division of floats; integers truncate towards zero."""
    if np.result_type(a, b).kind == "f":
        return np.true_divide(a, b)
    quotient = np.floor_divide(a, b)
    inexact = (b != 0) & (quotient * b != a) & ((a < 0) != (b < 0))
    return quotient + inexact.astype(quotient.dtype)


def _power(a: Any, b: Any) -> Any:
    dtype = np.result_type(a, b)
    if dtype.kind == "f":
        return _through_float64(np.power)(a, b)
    inverse = np.where(a == 1, 1, np.where(a == -1, np.where(b & 1, -1, 1), 0)).astype(dtype)
    return np.where(b < 0, inverse, np.power(a, np.maximum(b, 0)))


def _sign(x: Any) -> Any:
    return np.nan_to_num(np.sign(x), nan=0.0) if np.result_type(x).kind == "f" else np.sign(x)


def _rounding(f: Evaluate) -> Evaluate:
    return lambda x: f(x) if np.result_type(x).kind == "f" else x


def _real(name: str, f: Evaluate, arity: int = 1) -> Function:
    return Function(name, arity, _through_float64(f))


def _comparison(name: str, f: Evaluate, commutative: bool = False) -> Function:
    return Function(name, 2, f, ALL, "bool", commutative)


_TABLE = (
    Function("add", 2, np.add, NUMBERS, commutative=True, associative=True, unit=-0.0),
    Function("sub", 2, np.subtract, NUMBERS, unit=0.0),
    Function("mul", 2, np.multiply, NUMBERS, commutative=True, associative=True, unit=1.0, zero=0),
    Function("div", 2, _divide, NUMBERS, unit=1.0),
    Function("floordiv", 2, np.floor_divide, NUMBERS),
    Function("mod", 2, np.mod, NUMBERS),
    Function("neg", 1, np.negative, NUMBERS),
    Function("abs", 1, np.abs, NUMBERS),
    Function("min", 2, np.minimum, ALL, commutative=True, associative=True),
    Function("max", 2, np.maximum, ALL, commutative=True, associative=True),
    Function("fma", 3, _fma, NUMBERS),
    _real("exp", np.exp),
    _real("exp2", np.exp2),
    _real("expm1", np.expm1),
    _real("log", np.log),
    _real("log2", np.log2),
    _real("log10", np.log10),
    _real("log1p", np.log1p),
    _real("tanh", np.tanh),
    _real("sigmoid", _sigmoid),
    _real("silu", lambda x: x * _sigmoid(x)),
    _real("gelu", _gelu),
    _real("gelu_tanh", _gelu_tanh),
    _real("erf", _erf),
    _real("erfc", _erfc),
    _real("lgamma", _elementwise(_lgamma)),
    _real("sin", np.sin),
    _real("cos", np.cos),
    _real("tan", np.tan),
    _real("asin", np.arcsin),
    _real("acos", np.arccos),
    _real("atan", np.arctan),
    _real("atan2", np.arctan2, 2),
    _real("sinh", np.sinh),
    _real("cosh", np.cosh),
    _real("asinh", np.arcsinh),
    _real("acosh", np.arccosh),
    _real("atanh", np.arctanh),
    Function("sqrt", 1, np.sqrt),
    _real("rsqrt", lambda x: 1.0 / np.sqrt(x)),
    Function("reciprocal", 1, lambda x: np.divide(x.dtype.type(1), x)),
    Function("pow", 2, _power, NUMBERS),
    Function("floor", 1, _rounding(np.floor), NUMBERS),
    Function("ceil", 1, _rounding(np.ceil), NUMBERS),
    Function("round", 1, _rounding(np.rint), NUMBERS),
    Function("trunc", 1, _rounding(np.trunc), NUMBERS),
    Function("sign", 1, _sign, NUMBERS),
    Function("isnan", 1, np.isnan, NUMBERS, "bool"),
    Function("isinf", 1, np.isinf, NUMBERS, "bool"),
    _comparison("lt", np.less),
    _comparison("le", np.less_equal),
    _comparison("gt", np.greater),
    _comparison("ge", np.greater_equal),
    _comparison("eq", np.equal, commutative=True),
    _comparison("ne", np.not_equal, commutative=True),
    Function("and", 2, np.bitwise_and, BITS, commutative=True, associative=True, unit=True, zero=False),
    Function("or", 2, np.bitwise_or, BITS, commutative=True, associative=True, unit=False, zero=True),
    Function("xor", 2, np.bitwise_xor, BITS, commutative=True, associative=True, unit=False),
    Function("not", 1, np.invert, BITS),
    Function("shl", 2, np.left_shift, INTEGERS, unit=0),
    Function("shr", 2, np.right_shift, INTEGERS, unit=0),
    Function("select", 3, np.where, ALL),
)

FUNCTIONS: dict[str, Function] = {f.name: f for f in _TABLE}

REDUCTION_FUNCTIONS: dict[Reduction, str] = {
    "sum": "add", "prod": "mul", "max": "max", "min": "min", "any": "or", "all": "and",
}  # fmt: skip
"""The function that combines two elements of a reduction."""


def result_type(function: str, *args: DType) -> DType:
    """The type of `function` applied to operands of these types."""
    if FUNCTIONS[function].result == "bool":
        return BOOL
    return args[1] if function == "select" else args[0]


def reduction_unit(reduction: Reduction, dtype: DType) -> float | int | bool:
    """The value of a reduction over nothing; for max and min of integers the smallest and the largest of the type."""
    match reduction:
        case "sum":
            return 0.0 if dtype.is_float else 0
        case "prod":
            return 1.0 if dtype.is_float else 1
        case "any":
            return False
        case "all":
            return True
    lowest = reduction == "max"
    if dtype.is_float:
        return -math.inf if lowest else math.inf
    if dtype == BOOL:
        return not lowest
    signed = dtype.kind == "int"
    if lowest:
        return -(1 << (dtype.bits - 1)) if signed else 0
    return (1 << (dtype.bits - signed)) - 1
