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
    "erf": "error function", "erfc": "1 - erf(x)", "floor": "largest integer not above", "ceil": "smallest integer not below",
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


def _hardsigmoid(x: Expr) -> Expr:
    return apply("div", _clamp(apply("add", x, _like(x, 3)), 0, 6), _like(x, 6))


def _logsigmoid(x: Expr) -> Expr:
    tail = apply("log1p", apply("exp", apply("neg", apply("abs", x))))
    return apply("sub", apply("min", x, _like(x, 0)), tail)


def _shrink(x: Expr, width: float, shift: float) -> Expr:
    """x moved by `shift` towards zero outside [-width, width], zero inside; NaN stays."""
    above = select(apply("lt", x, _like(x, -width)), apply("add", x, _like(x, shift)), _like(x, 0))
    above = select(apply("gt", x, _like(x, width)), apply("sub", x, _like(x, shift)), above)
    return select(apply("isnan", x), x, above)


def _truth(x: Expr) -> Expr:
    return cast(x, BOOL)


_COMPOSITES: tuple[tuple[str, str, str, Build], ...] = (
    ("cast", "(x) {dtype}", "conversion; floats to integers truncate, anything to bool tests != 0",
     lambda x, a: cast(x[0], a["dtype"])),
    ("relu", "(x)", "max(x, 0)", lambda x, a: _clamp(x[0], 0, None)),
    ("relu6", "(x)", "x clamped to 0..6", lambda x, a: _clamp(x[0], 0, 6)),
    ("leaky_relu", "(x) {slope}", "x where positive, else slope * x",
     lambda x, a: select(apply("gt", x[0], _like(x[0], 0)), x[0], apply("mul", x[0], _like(x[0], a.get("slope", 0.01))))),
    ("prelu", "(x, slope)", "x where positive, else slope * x; slope broadcasts",
     lambda x, a: select(apply("gt", x[0], _like(x[0], 0)), x[0], apply("mul", x[0], x[1]))),
    ("elu", "(x) {alpha, scale, input_scale}", "scale * x where positive, else scale * alpha * expm1(x * input_scale)",
     lambda x, a: _elu(x[0], a.get("alpha", 1.0), a.get("scale", 1.0), a.get("input_scale", 1.0))),
    ("selu", "(x)", "elu with the self-normalizing constants", lambda x, a: _elu(x[0], SELU_ALPHA, SELU_SCALE)),
    ("celu", "(x) {alpha}", "x where positive, else alpha * expm1(x / alpha)",
     lambda x, a: _elu(x[0], a.get("alpha", 1.0), 1.0, 1.0 / a.get("alpha", 1.0))),
    ("hardtanh", "(x) {low, high}", "x clamped to low..high",
     lambda x, a: _clamp(x[0], a.get("low", -1.0), a.get("high", 1.0))),
    ("clamp", "(x) {low, high}", "x clamped to low..high; either may be None",
     lambda x, a: _clamp(x[0], a.get("low"), a.get("high"))),
    ("hardsigmoid", "(x)", "(x + 3) / 6 clamped to 0..1", lambda x, a: _hardsigmoid(x[0])),
    ("hardswish", "(x)", "x * hardsigmoid(x)",
     lambda x, a: apply("div", apply("mul", x[0], _clamp(apply("add", x[0], _like(x[0], 3)), 0, 6)), _like(x[0], 6))),
    ("softplus", "(x) {beta, threshold}", "log(1 + exp(beta * x)) / beta; x where beta * x > threshold",
     lambda x, a: _softplus(x[0], a.get("beta", 1.0), a.get("threshold", 20.0))),
    ("mish", "(x)", "x * tanh(softplus(x))", lambda x, a: apply("mul", x[0], apply("tanh", _softplus(x[0])))),
    ("logsigmoid", "(x)", "log(sigmoid(x))", lambda x, a: _logsigmoid(x[0])),
    ("softsign", "(x)", "x / (1 + |x|)",
     lambda x, a: apply("div", x[0], apply("add", apply("abs", x[0]), _like(x[0], 1)))),
    ("tanhshrink", "(x)", "x - tanh(x)", lambda x, a: apply("sub", x[0], apply("tanh", x[0]))),
    ("hardshrink", "(x) {width}", "x where |x| > width, else 0", lambda x, a: _shrink(x[0], a.get("width", 0.5), 0.0)),
    ("softshrink", "(x) {width}", "x moved towards 0 by width",
     lambda x, a: _shrink(x[0], a.get("width", 0.5), a.get("width", 0.5))),
    ("threshold", "(x) {threshold, value}", "value where x <= threshold, else x",
     lambda x, a: select(apply("le", x[0], _like(x[0], a["threshold"])), _like(x[0], a["value"]), x[0])),
    ("square", "(x)", "x * x", lambda x, a: apply("mul", x[0], x[0])),
    ("logical_not", "(x)", "whether zero", lambda x, a: apply("not", _truth(x[0]))),
    ("logical_and", "(a, b)", "whether both are not zero", lambda x, a: apply("and", _truth(x[0]), _truth(x[1]))),
    ("logical_or", "(a, b)", "whether either is not zero", lambda x, a: apply("or", _truth(x[0]), _truth(x[1]))),
    ("logical_xor", "(a, b)", "whether exactly one is not zero", lambda x, a: apply("xor", _truth(x[0]), _truth(x[1]))),
)  # fmt: skip

OPERATORS: tuple[Operator, ...] = (
    *(_function(name, summary) for name, summary in _FUNCTIONS.items()),
    *(elementwise(*row) for row in _COMPOSITES),
)
