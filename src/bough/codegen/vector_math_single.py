"""Functions of f32 computed in f32: the ones that activations and softmax stand on.

Coefficients are minimax (Remez exchange at 160 bits, weighted by the relative error of the function), rounded to f32
one by one from the lowest power up, the rest fitted anew after each. A value is named `2^n (1 + q)` where it was split
into a power of two and the small `q = e^r - 1`: adding the one late keeps the low bits of `q`.
"""

from __future__ import annotations

import math

from bough.codegen.vector_math_lanes import Lanes, choose, polynomial

_LOG2_E = float.fromhex("0x1.715476p+0")
_LN2_HIGH = float.fromhex("0x1.62e430p-1")
_LN2_LOW = float.fromhex("-0x1.05c610p-29")

_ROUND = float.fromhex("0x1.8p+23")
"""Added to a float of magnitude below 2^22, it leaves the nearest integer in the low bits of the sum."""
_BIAS = 127
_HALF_SQRT2_BITS = 0x3F3504F3

# (e^r - 1 - r) / r^2 on |r| <= ln(2) / 2
_EXP = (0.5, 0.166666359, 0.0416665114, 0.00834150985, 0.00139305391, 0.00015046107)
# (e^r - 1) / r on |r| <= ln(2) / 2
_EXPM1 = (1.0, 0.49999994, 0.16666517, 0.041668102, 0.0083691925, 0.0013838812)
# (2^r - 1) / r on |r| <= 1/2
_EXP2 = (0.693147182, 0.240226507, 0.0555040501, 0.0096180886, 0.00133380154, 0.00015451455, 1.42983363e-05)
# (log(1 + f) - f + f^2 / 2) / f^3 on sqrt(1/2) <= 1 + f <= sqrt(2)
_LOG = (0.333333313, -0.250008225, 0.200012609, -0.166233107, 0.142009199, -0.131606564, 0.127623335, -0.0762549639)


def _split(x: Lanes, magic: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """`n` and `r` of `x = n ln 2 + r`, and `n + magic`, which holds n in its low bits; for |x| below 2^20."""
    held = x.fma(_LOG2_E, magic)
    n = held - magic
    r = n.fma(-_LN2_HIGH, x)  # exact: the result is a multiple of 2^-25 below 1/2
    return n, n.fma(-_LN2_LOW, r), held


def _expm1_small(r: Lanes) -> Lanes:
    return (r * r).fma(polynomial(r, *_EXP), r)


def _power_of_two(held: Lanes) -> Lanes:
    """2 to the integer in the low bits of `held`, which includes the exponent's bias."""
    return (held.as_bits() << 23).as_float()


def _scaled_exp(x: Lanes, shift: int) -> Lanes:
    """`2^shift e^x` in one rounding, where that is a normal number."""
    _, r, held = _split(x, x.constant(_ROUND + _BIAS + shift))
    scale = _power_of_two(held)
    return _expm1_small(r).fma(scale, scale)


def _two_factors(small: Lanes, like: Lanes) -> tuple[Lanes, Lanes]:
    """What to round with, and the factor that then remains: 2^-149 to 2^128 is more than one power of two covers."""
    magic = choose(small, like.constant(_ROUND + _BIAS + 64), like.constant(_ROUND + _BIAS - 1))
    return magic, choose(small, like.constant(2.0**-64), like.constant(2.0))


def exp(x: Lanes) -> Lanes:
    x = x.at_least(-104.0).at_most(89.0)
    magic, factor = _two_factors(x.lt(-80.0), x)
    _, r, held = _split(x, magic)
    scale = _power_of_two(held)
    return _expm1_small(r).fma(scale, scale) * factor


def exp2(x: Lanes) -> Lanes:
    x = x.at_least(-151.0).at_most(128.0)
    magic, factor = _two_factors(x.lt(-100.0), x)
    held = x + magic
    r = x - (held - magic)
    scale = _power_of_two(held)
    return r.fma(_EXP2[0], (r * r) * polynomial(r, *_EXP2[1:])).fma(scale, scale) * factor


def expm1(x: Lanes) -> Lanes:
    """e to the power x, less 1: from what is left of x after whole powers of two, which come back before the 1 is taken away."""
    x = x.at_least(-30.0).at_most(89.0)
    magic = x.constant(_ROUND + _BIAS - 1)
    n, r, held = _split(x, magic)
    q = _expm1_small(r)
    half = _power_of_two(held)  # of the scale: the scale itself overflows first
    large = half.fma(q, half - 0.5)
    return choose(n.eq(0.0), q, large + large).with_sign_of(x)  # a negative zero stays one


def _quotient(top: Lanes, top_low: Lanes | None, bottom: Lanes, bottom_low: Lanes) -> Lanes:
    """`(top + top_low) / (bottom + bottom_low)` within little over 1/2 ULP; low parts are lost in the high ones' rounding."""
    inverse = 1.0 / bottom
    quotient = top * inverse
    negated = -quotient
    rest = negated.fma(bottom, top)
    if top_low is not None:
        rest = rest + top_low
    return negated.fma(bottom_low, rest).fma(inverse, quotient)


def tanh(x: Lanes) -> Lanes:
    """`-e / (2 + e)` of `e = e^(-2|x|) - 1`, which is accurate near 0 and saturates at 1."""
    y = (x.abs() * -2.0).at_least(-20.0)
    _, r, held = _split(y, x.constant(_ROUND + _BIAS))
    scale = _power_of_two(held)
    e = scale.fma(_expm1_small(r), scale - 1.0)
    bottom = e + 2.0
    return _quotient(e, None, bottom, e - (bottom - 2.0)).with_sign_of(x)


_LOGISTIC_BITS = 36
"""Powers of two by which both parts of a logistic fraction are larger, so that they are normal numbers."""
_ONE = 2.0**_LOGISTIC_BITS


def _logistic(x: Lanes) -> tuple[Lanes, Lanes]:
    """`2^m` and `2^m + e^r` of `x = m ln 2 - r`, whose quotient is `1 / (1 + e^-x)`, from -110 to 60. What the sum of both
    powers of two loses where it has more bits than a float comes back with the rest of `e^r`."""
    held = x.fma(_LOG2_E, x.constant(_ROUND + _BIAS + _LOGISTIC_BITS))
    m = held - (_ROUND + _BIAS + _LOGISTIC_BITS)
    r = m.fma(_LN2_LOW, m.fma(_LN2_HIGH, -x))
    top = _power_of_two(held)
    powers = top + _ONE
    lost = top - (powers - _ONE)
    return top, powers + polynomial(r, *(c * _ONE for c in _EXPM1)).fma(r, lost)


def sigmoid(x: Lanes) -> Lanes:
    """`1 / (1 + e^-x)`, which is less than the least float below -104, and 1 above 17."""
    top, bottom = _logistic(x.at_least(-110.0).at_most(60.0))
    return top / bottom


def silu(x: Lanes) -> Lanes:
    """x itself from 40 on, infinity included; NaN at negative infinity."""
    y = x.at_least(-110.0)
    top, bottom = _logistic(y)
    return choose(x.gt(40.0), x, x.fma(0.0, y) * top / bottom)  # the product with 0 is NaN at an infinity


# (erf(a) - a) / a of a^2, and log(erfc(a)) from the bound to 4
_ERF = (0.128379166, -0.37612626, 0.112835787, -0.0268533472, 0.0051871622, -0.00079978531, 7.80690316e-05)
_ERF_BOUND = 0.98
_LOG_ERFC = (
    -0.000300470507, -1.12725127, -0.637883425, -0.103327036, 0.0219402742, -0.00297240168, 0.000188819511,
)  # fmt: skip


def erf(x: Lanes) -> Lanes:
    a = x.abs().at_most(4.0)
    small = a.fma(polynomial(a * a, *_ERF), a)
    large = 1.0 - _scaled_exp(polynomial(a, *_LOG_ERFC), 0)
    return choose(a.lt(_ERF_BOUND), small, large).with_sign_of(x)


# ((4 + a) e^(a^2 / 2) P(a) - 2) / v + 2 of v - 1/2, where P(a) is what the normal distribution has above a, and v = a / (4 + a)
_GAUSS_TAIL = (
    -0.489429742, 2.54727292, -1.99744678, 1.01055205, -0.0883968025, -0.306210369, 0.166011348, 0.0915210173, -0.0949632302,
    -0.0609852523,
)  # fmt: skip
_GAUSS_BITS = 64
"""Powers of two by which a tail is too large until the end, so that it is a normal number."""
_ROOT = 0.5**0.25


def _half_square_exp(a: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """`r`, `s` and `2^n` with `e^(-a^2 / 2) = 2^n (1 + r + s)`, s the smaller, the power of two times `2^_GAUSS_BITS`; the square
    counts unrounded."""
    square = a * a
    y = square * -0.5
    magic = y.constant(_ROUND + _BIAS + _GAUSS_BITS)
    held = y.fma(_LOG2_E, magic)
    n = held - magic
    low = a.fma(a, -square) * -0.5
    r = n.fma(-_LN2_HIGH, y) + n.fma(-_LN2_LOW, low)
    return r, (r * r) * polynomial(r, *_EXP), _power_of_two(held)


def gelu(x: Lanes) -> Lanes:
    """`max(x, 0) - a P(a)` of `a = |x|`, where `a P(a) = (base + more) e^(-a^2 / 2)`, base the larger and exact part of `v`
    times the polynomial. `more` takes what was lost in rounding `v`, for which `dh/dv = 2 (1 - v)^4` is good enough."""
    a = x.abs().at_most(15.0)
    bottom = a + 4.0
    v = a / bottom
    lost = (-v).fma(a - (bottom - 4.0), (-v).fma(bottom, a))
    left = v.fma(-_ROOT, _ROOT)
    left = left * left
    part = choose(a.lt(0.8), a.constant(2.0), choose(a.lt(4.4), a.constant(1.0), a.constant(0.5)))
    base = v * part
    more = v * v.fma(polynomial(v - 0.5, *_GAUSS_TAIL), v.fma(-2.0, 2.0 - part))
    more = lost.fma(left * left, more)
    r, s, scale = _half_square_exp(a)
    both = base + more
    tail = (r.fma(both, s.fma(both, more)) + base) * scale
    return tail.fma(-(2.0**-_GAUSS_BITS), choose(x.lt(0.0), x * 0.0, x))  # NaN at negative infinity


def _log_reduced(f: Lanes, negated_exponent: Lanes) -> Lanes:
    """`log(2^n (1 + f))` of `-n` as a float; for n = 0 the sign of a zero f is kept."""
    tail = (f * f) * f.fma(polynomial(f, *_LOG), -0.5)
    tail = negated_exponent.fma(-_LN2_LOW, tail)
    return negated_exponent.fma(-_LN2_HIGH, f + tail)


def log(x: Lanes) -> Lanes:
    """The natural logarithm: of a number near 1, and as many times that of 2 as the exponent says."""
    subnormal = x.lt(2.0**-126)
    bits = choose(subnormal, x * 2.0**23, x).as_bits()
    exponent = (bits - _HALF_SQRT2_BITS) >> 23
    f = (bits - (exponent << 23)).as_float() - 1.0
    negated = choose(subnormal, x.constant(23.0), x.constant(0.0)) - exponent.converted()
    result = choose(x.gt(0.0), _log_reduced(f, negated), choose(x.eq(0.0), x.constant(-math.inf), x.constant(math.nan)))
    return choose(x.lt(math.inf), result, x)


def log1p(x: Lanes) -> Lanes:
    """`1 + x = 2^n (1 + f)` with n read off the rounded sum and f formed exactly from x itself."""
    exponent = ((x + 1.0).as_bits() - _HALF_SQRT2_BITS) >> 23
    scale = (0x40800000 - (exponent << 23)).as_float() * 0.25  # 2^-n, which may be subnormal
    f = x.fma(scale, scale - 1.0)
    result = _log_reduced(f, (0 - exponent).converted())
    result = choose(x.gt(-1.0), result, choose(x.eq(-1.0), x.constant(-math.inf), x.constant(math.nan)))
    return choose(x.lt(math.inf), result, x).with_sign_of(x)  # a negative zero stays one
