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

_CENTRAL = (
    (3.3871328727963666080, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3),
)  # fmt: skip
_MIDDLE = (
    (1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504,
     1.27045825245236838258, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187, 1.67638483018380384940, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)  # fmt: skip
_END = (
    (6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15),
)  # fmt: skip


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
    """By the quantile of the normal distribution, quotients of polynomials on three ranges, good to 16 digits.

    Wichura: Algorithm AS 241, Applied Statistics 37 (1988). There is no step of Newton behind it: it would take every
    intermediate value several times, and expressions are trees.
    """
    size = apply("abs", x)
    near = apply("mul", x, _quotient(apply("sub", _c(0.180625), apply("mul", apply("mul", x, x), _c(0.25))), _CENTRAL))
    tail = apply("sqrt", apply("neg", apply("log", apply("mul", apply("sub", _c(1), size), _c(0.5)))))
    middle, end = _quotient(apply("sub", tail, _c(1.6)), _MIDDLE), _quotient(apply("sub", tail, _c(5)), _END)
    far = select(apply("le", tail, _c(5)), middle, end)
    far = select(apply("eq", size, _c(1)), _c(math.inf), far)
    far = select(apply("lt", x, _c(0)), apply("neg", far), far)
    quantile = select(apply("le", size, _c(0.85)), apply("mul", near, _c(0.5)), far)
    return apply("mul", quantile, _c(math.sqrt(0.5)))


def _quotient(x: Expr, coefficients: tuple[Sequence[float], Sequence[float]]) -> Expr:
    return apply("div", _polynomial(x, coefficients[0]), _polynomial(x, coefficients[1]))


def _in_double(name: str, summary: str, formula: Callable[[Expr], Expr]) -> Operator:
    return elementwise(name, "(x)", summary, lambda x, _: cast(formula(cast(x[0], F64)), x[0].dtype))


OPERATORS: tuple[Operator, ...] = (
    _in_double("digamma", "derivative of lgamma", _digamma),
    _in_double("erfinv", "inverse of the error function", _erfinv),
)
