"""Special functions that no C library has, as formulas in f64."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from bough.ir.dtypes import F64
from bough.ir.expr import Expr, apply, select
from bough.ops.building import cast, number
from bough.ops.operator import Operator
from bough.ops.pointwise import elementwise

SHIFT = 8
"""By so much arguments of digamma grow before the asymptotic series is good to all digits."""

_ASYMPTOTIC = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)
"""B(2 k) / (2 k) with the numbers of Bernoulli, for k = 1 to 8."""


def _c(value: float) -> Expr:
    return number(value, F64)


def _polynomial(x: Expr, coefficients: Sequence[float]) -> Expr:
    """The coefficient of the power 0 comes first."""
    value = _c(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        value = apply("add", apply("mul", value, x), _c(c))
    return value


def _digamma(x: Expr) -> Expr:
    """Reflected to the right half, moved to where the asymptotic series holds: psi(x) = psi(x + 1) - 1 / x."""
    mirrored = apply("lt", x, _c(0.5))
    y = select(mirrored, apply("sub", _c(1), x), x)
    far = apply("add", y, _c(SHIFT))
    inverse = apply("reciprocal", far)
    square = apply("mul", inverse, inverse)
    value = apply("sub", apply("log", far), apply("mul", inverse, _c(0.5)))
    value = apply("sub", value, apply("mul", square, _polynomial(square, _ASYMPTOTIC)))
    for step in range(SHIFT):
        value = apply("sub", value, apply("reciprocal", apply("add", y, _c(step))))
    part = apply("sub", x, apply("trunc", x))
    cotangent = apply("reciprocal", apply("tan", apply("mul", part, _c(math.pi))))
    reflected = apply("sub", value, apply("mul", cotangent, _c(math.pi)))
    reflected = select(apply("eq", part, _c(0)), _c(math.nan), reflected)
    pole = select(apply("eq", x, _c(0)), apply("neg", apply("reciprocal", x)), reflected)
    return select(mirrored, pole, value)


def _erfinv(x: Expr) -> Expr:
    """Winitzki's closed form (2008), good to three digits, and two steps of Halley's method, which triple them."""
    size = apply("abs", x)
    level = apply("log1p", apply("neg", apply("mul", x, x)))
    middle = apply("add", _c(2 / (math.pi * 0.147)), apply("mul", level, _c(0.5)))
    root = apply("sqrt", apply("sub", apply("mul", middle, middle), apply("div", level, _c(0.147))))
    y = apply("sqrt", apply("max", apply("sub", root, middle), _c(0)))
    for _ in range(2):
        near, far = apply("sub", apply("erf", y), size), apply("sub", apply("sub", _c(1), size), apply("erfc", y))
        error = select(apply("gt", size, _c(0.5)), far, near)
        slope = apply("mul", _c(2 / math.sqrt(math.pi)), apply("exp", apply("neg", apply("mul", y, y))))
        step = apply("div", error, slope)
        y = apply("sub", y, apply("div", step, apply("add", _c(1), apply("mul", y, step))))
    y = select(apply("eq", size, _c(1)), _c(math.inf), y)
    return select(apply("lt", x, _c(0)), apply("neg", y), select(apply("eq", x, _c(0)), x, y))


def _in_double(name: str, summary: str, formula: Callable[[Expr], Expr]) -> Operator:
    return elementwise(name, "(x)", summary, lambda x, _: cast(formula(cast(x[0], F64)), x[0].dtype))


OPERATORS: tuple[Operator, ...] = (
    _in_double("digamma", "derivative of lgamma", _digamma),
    _in_double("erfinv", "inverse of the error function", _erfinv),
)
