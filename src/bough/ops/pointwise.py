"""Operators that act on each element alone: one scalar expression gives their types, their meaning and their kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bough.ir.dtypes import BOOL, DType, from_numpy
from bough.ir.evaluate import evaluate as evaluate_expression
from bough.ir.expr import Const, Expr, Var, apply, select
from bough.ir.functions import FUNCTIONS
from bough.ir.kernel import Kernel, Operand
from bough.ir.program import TensorType
from bough.ops.building import axes, broadcast, cast, compute_type, concrete, kernel, load_broadcast, number, point, store
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types, present

Build = Callable[[Sequence[Expr], Attributes], Expr]

SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
"""The constants of Klambauer et al., "Self-normalizing neural networks" (2017)."""


def elementwise(name: str, signature: str, summary: str, build: Build) -> Operator:
    """The operator that computes `build(elements, attributes)` at each point of the broadcast arguments."""

    def formula(dtypes: Sequence[DType], attributes: Attributes) -> Expr:
        return build([Var(f"x{n}", compute_type(t)) for n, t in enumerate(dtypes)], attributes)

    def infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
        given: list[TensorType] = [present(t, name) for t in types]
        dtype = formula([t.dtype for t in given], attributes).dtype
        # Formulas over 16-bit floats compute in f32, which is not the type of their result.
        if dtype == compute_type(given[-1].dtype) and name != "cast":
            dtype = given[-1].dtype
        return (TensorType(dtype, broadcast([t.shape for t in given], name)),)

    def evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
        given: list[Array] = [present(a, name) for a in arrays]
        e = formula([from_numpy(a.dtype) for a in given], attributes)
        value = evaluate_expression(e, {f"x{n}": a for n, a in enumerate(given)})
        # A select on a scalar gives one branch only, in that branch's own shape.
        return (np.broadcast_to(value, concrete(results[0])),)

    def lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
        (y,) = results
        over = axes("i", y.shape)
        i = point(over)
        value = build([load_broadcast(present(a, name), i) for a in args], attributes)
        return (kernel(name, over, args, results, [store(y, i, value)]),)

    return Operator(name, signature, summary, infer, evaluate, lower)


def _function(name: str, summary: str) -> Operator:
    """The operator of a function of `bough.ir.functions`, made total over the element types that PyTorch allows."""

    def build(x: Sequence[Expr], _: Attributes) -> Expr:
        dtype = x[0].dtype
        if name == "not" and dtype != BOOL:
            return apply("xor", x[0], number(-1 if dtype.kind == "int" else 255, dtype))
        if not dtype.is_float:
            if name in ("isnan", "isinf"):
                return apply("ne", x[0], x[0])
            if name in ("floor", "ceil", "round", "trunc"):
                return x[0]
        return apply(name, *x)

    arguments = {1: "x", 2: "a, b", 3: "condition, a, b"}[FUNCTIONS[name].arity]
    return elementwise(name, f"({arguments})", summary, build)


_FUNCTIONS = {
    "neg": "-x", "abs": "absolute value", "exp": "e to the power x", "exp2": "2 to the power x", "expm1": "exp(x) - 1",
    "log": "natural logarithm", "log2": "logarithm to base 2", "log10": "logarithm to base 10", "log1p": "log(1 + x)",
    "sqrt": "square root", "rsqrt": "1 / sqrt(x)", "reciprocal": "1 / x", "sin": "sine", "cos": "cosine", "tan": "tangent",
    "asin": "inverse sine", "acos": "inverse cosine", "atan": "inverse tangent", "sinh": "hyperbolic sine",
    "cosh": "hyperbolic cosine", "asinh": "inverse hyperbolic sine", "acosh": "inverse hyperbolic cosine",
    "atanh": "inverse hyperbolic tangent", "tanh": "hyperbolic tangent", "sigmoid": "1 / (1 + exp(-x))",
    "silu": "x * sigmoid(x)", "gelu": "x times the normal distribution function at x", "gelu_tanh": "gelu through tanh",
    "erf": "error function", "erfc": "1 - erf(x)", "lgamma": "logarithm of the absolute value of the gamma function",
    "floor": "largest integer not above", "ceil": "smallest integer not below",
    "round": "nearest integer, ties to even", "trunc": "integer part", "sign": "-1, 0 or 1; 0 for NaN",
    "isnan": "whether NaN", "isinf": "whether infinite", "not": "logical for bool, bitwise for integers", "add": "a + b",
    "sub": "a - b", "mul": "a * b", "div": "a / b; integers truncate", "floordiv": "floor(a / b)",
    "mod": "remainder with the sign of b", "pow": "a to the power b", "min": "smaller one, NaN if either is",
    "max": "larger one, NaN if either is", "atan2": "angle of the point (b, a)", "lt": "a < b", "le": "a <= b", "gt": "a > b",
    "ge": "a >= b", "eq": "a == b", "ne": "a != b", "and": "logical for bool, bitwise for integers",
    "or": "logical for bool, bitwise for integers", "xor": "logical for bool, bitwise for integers",
    "shl": "a * 2**b by shifting", "shr": "floor(a / 2**b) by shifting", "select": "a where the condition holds, else b",
}  # fmt: skip


def _like(x: Expr, value: float | int) -> Const:
    return number(value, x.dtype)


def _clamp(x: Expr, low: float | int | None, high: float | int | None) -> Expr:
    if low is not None:
        x = apply("max", x, _like(x, low))
    return x if high is None else apply("min", x, _like(x, high))


def _elu(x: Expr, alpha: float, scale: float = 1.0, input_scale: float = 1.0) -> Expr:
    inner = x if input_scale == 1 else apply("mul", x, _like(x, input_scale))
    factor = alpha * scale
    negative = apply("expm1", inner)
    if factor != 1:
        negative = apply("mul", _like(x, factor), negative)
    positive = x if scale == 1 else apply("mul", x, _like(x, scale))
    return select(apply("gt", x, _like(x, 0)), positive, negative)


def _softplus(x: Expr, beta: float = 1.0, threshold: float = 20.0) -> Expr:
    scaled = x if beta == 1 else apply("mul", x, _like(x, beta))
    soft = apply("log1p", apply("exp", scaled))
    if beta != 1:
        soft = apply("div", soft, _like(x, beta))
    return select(apply("gt", scaled, _like(x, threshold)), x, soft)


def _hard_sigmoid(x: Expr) -> Expr:
    """A product with the sixth, which makes 1 of 6 in every float type; a quotient takes several times as long."""
    return apply("mul", _clamp(apply("add", x, _like(x, 3)), 0, 6), _like(x, 1 / 6))


def _leaky(x: Expr, slope: Expr) -> Expr:
    return select(apply("gt", x, _like(x, 0)), x, apply("mul", x, slope))


def _logsigmoid(x: Expr) -> Expr:
    tail = apply("log1p", apply("exp", apply("neg", apply("abs", x))))
    return apply("sub", apply("min", x, _like(x, 0)), tail)


def _shrink(x: Expr, width: float, shift: float) -> Expr:
    """x moved by `shift` towards zero outside [-width, width], zero inside; NaN stays."""
    above = select(apply("lt", x, _like(x, -width)), apply("add", x, _like(x, shift)), _like(x, 0))
    above = select(apply("gt", x, _like(x, width)), apply("sub", x, _like(x, shift)), above)
    return select(apply("isnan", x), x, above)


_UNARY: tuple[tuple[str, str, str, Callable[[Expr, Attributes], Expr]], ...] = (
    ("cast", " {dtype}", "conversion; floats to integers truncate, anything to bool tests != 0",
     lambda x, a: cast(x, a["dtype"])),
    ("relu", "", "max(x, 0)", lambda x, a: _clamp(x, 0, None)),
    ("relu6", "", "x clamped to 0..6", lambda x, a: _clamp(x, 0, 6)),
    ("leaky_relu", " {slope}", "x where positive, else slope * x", lambda x, a: _leaky(x, _like(x, a.get("slope", 0.01)))),
    ("elu", " {alpha, scale, input_scale}", "scale * x where positive, else scale * alpha * expm1(x * input_scale)",
     lambda x, a: _elu(x, a.get("alpha", 1.0), a.get("scale", 1.0), a.get("input_scale", 1.0))),
    ("selu", "", "elu with the self-normalizing constants", lambda x, a: _elu(x, SELU_ALPHA, SELU_SCALE)),
    ("celu", " {alpha}", "x where positive, else alpha * expm1(x / alpha)",
     lambda x, a: _elu(x, a.get("alpha", 1.0), 1.0, 1.0 / a.get("alpha", 1.0))),
    ("hardtanh", " {low, high}", "x clamped to low..high", lambda x, a: _clamp(x, a.get("low", -1.0), a.get("high", 1.0))),
    ("clamp", " {low, high}", "x clamped to low..high; either may be None",
     lambda x, a: _clamp(x, a.get("low"), a.get("high"))),
    ("hardsigmoid", "", "(x + 3) / 6 clamped to 0..1", lambda x, a: _hard_sigmoid(x)),
    ("hardswish", "", "x * hardsigmoid(x)", lambda x, a: apply("mul", x, _hard_sigmoid(x))),
    ("softplus", " {beta, threshold}", "log(1 + exp(beta * x)) / beta; x where beta * x > threshold",
     lambda x, a: _softplus(x, a.get("beta", 1.0), a.get("threshold", 20.0))),
    ("mish", "", "x * tanh(softplus(x))", lambda x, a: apply("mul", x, apply("tanh", _softplus(x)))),
    ("logsigmoid", "", "log(sigmoid(x))", lambda x, a: _logsigmoid(x)),
    ("softsign", "", "x / (1 + |x|)", lambda x, a: apply("div", x, apply("add", apply("abs", x), _like(x, 1)))),
    ("tanhshrink", "", "x - tanh(x)", lambda x, a: apply("sub", x, apply("tanh", x))),
    ("hardshrink", " {width}", "x where |x| > width, else 0", lambda x, a: _shrink(x, a.get("width", 0.5), 0.0)),
    ("softshrink", " {width}", "x moved towards 0 by width",
     lambda x, a: _shrink(x, a.get("width", 0.5), a.get("width", 0.5))),
    ("threshold", " {threshold, value}", "value where x <= threshold, else x",
     lambda x, a: select(apply("le", x, _like(x, a["threshold"])), _like(x, a["value"]), x)),
    ("square", "", "x * x", lambda x, a: apply("mul", x, x)),
    ("logical_not", "", "whether zero", lambda x, a: apply("not", cast(x, BOOL))),
)  # fmt: skip

_BINARY: tuple[tuple[str, str, Callable[[Expr, Expr], Expr]], ...] = (
    ("prelu", "a where positive, else b * a", _leaky),
    ("logical_and", "whether both are not zero", lambda a, b: apply("and", cast(a, BOOL), cast(b, BOOL))),
    ("logical_or", "whether either is not zero", lambda a, b: apply("or", cast(a, BOOL), cast(b, BOOL))),
    ("logical_xor", "whether exactly one is not zero", lambda a, b: apply("xor", cast(a, BOOL), cast(b, BOOL))),
)


def _unary(name: str, attributes: str, summary: str, build: Callable[[Expr, Attributes], Expr]) -> Operator:
    return elementwise(name, f"(x){attributes}", summary, lambda x, a: build(x[0], a))


def _binary(name: str, summary: str, build: Callable[[Expr, Expr], Expr]) -> Operator:
    return elementwise(name, "(a, b)", summary, lambda x, _: build(x[0], x[1]))


OPERATORS: tuple[Operator, ...] = (
    *(_function(name, summary) for name, summary in _FUNCTIONS.items()),
    *(_unary(*row) for row in _UNARY),
    *(_binary(*row) for row in _BINARY),
)
