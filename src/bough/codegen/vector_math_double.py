"""Functions of f32 computed in f64 and rounded once: within 0.51 ULP, at twice the registers.

The rare ones, and those whose tails f32 cannot carry: Gaussian tails and powers multiply a relative error by the
exponent. In f64 no argument or result of f32 is subnormal. Coefficients are minimax, as in `vector_math_single`.
"""

from __future__ import annotations

import math

from bough.codegen.vector_math_lanes import Lanes, choose, polynomial

_LN2_HIGH = math.log(2.0)
_LN2_LOW = float.fromhex("0x1.abc9e3b39803fp-56")
_ROUND = 1.5 * 2.0**52
_BIAS = 1023
_HALF_SQRT2_BITS = 0x3FE6A09E667F3BCD
_ABOVE_ALL = 1e300
"""More than any f32 and than any function here of one."""

# (e^r - 1 - r) / r^2 on |r| <= ln(2) / 2
_EXP = (
    0.5000000044268331, 0.16666666369756836, 0.0416663604285022, 0.008333389458356922, 0.0013940668464490595,
    0.00019845881400745572,
)  # fmt: skip
# (log((1 + s) / (1 - s)) - 2s) / s^3 of s^2, on |s| <= (sqrt(2) - 1) / (sqrt(2) + 1)
_LOG = (0.6666666667581516, 0.39999995614938183, 0.28572110093344905, 0.221761416690186, 0.19584935901959685)
# (atan(t) - t) / t^3 of t^2, on 0 <= t <= 1
_ATAN = (
    -0.33333333111103686, 0.1999998422163912, -0.14285320882354507, 0.11106143400837355, -0.09053629432445104,
    0.07510510741011588, -0.06056954996216498, 0.04417908239632949, -0.026547756878722763, 0.011778627811483674,
    -0.0033264815526735814, 0.0004406922151780217,
)  # fmt: skip
# e^(a^2) erfc(a) of (a - 3) / (a + 3), on 0 <= a <= 10.5, below which a normal f32 ends
_SCALED_ERFC = (
    0.17900115127709304, -0.3262335638309783, 0.2456037962329398, -0.15011578231914732, 0.07166588597348102,
    -0.02439421249463, 0.00426876603641466, 0.0007155822228148354, -0.000594430852520582, 2.919481135351314e-05,
    5.605113543894977e-05,
)  # fmt: skip


def _split_exp(x: Lanes) -> tuple[Lanes, Lanes]:
    """`2^n` and `q = e^r - 1` with `e^x = 2^n (1 + q)`; |x| at most 700, q within 2^-31 of its size."""
    magic = x.constant(_ROUND + _BIAS)
    held = x.fma(1.0 / _LN2_HIGH, magic)
    n = held - magic
    r = n.fma(-_LN2_LOW, n.fma(-_LN2_HIGH, x))
    return (held.as_bits() << 52).as_float(), (r * r).fma(polynomial(r, *_EXP), r)


def _exp(x: Lanes) -> Lanes:
    scale, q = _split_exp(x)
    return q.fma(scale, scale)


def _expm1(x: Lanes) -> Lanes:
    scale, q = _split_exp(x)
    return q.fma(scale, scale - 1.0)


def _log_reduced(f: Lanes, exponent: Lanes) -> Lanes:
    """`log(2^n (1 + f))`, n given as bits."""
    s = f / (f + 2.0)
    z = s * s
    return exponent.converted().fma(_LN2_HIGH, (s * z).fma(polynomial(z, *_LOG), s + s))


def _log(x: Lanes) -> Lanes:
    """Of a normal positive number; 0 and infinity give infinities, NaN and negative numbers NaN."""
    bits = x.as_bits()
    exponent = (bits - _HALF_SQRT2_BITS) >> 52
    result = _log_reduced((bits - (exponent << 52)).as_float() - 1.0, exponent)
    result = choose(x.gt(0.0), result, choose(x.eq(0.0), x.constant(-math.inf), x.constant(math.nan)))
    return choose(x.lt(math.inf), result, x)


def _log1p(x: Lanes) -> Lanes:
    """Of x above -1; -1 and infinity give infinities, NaN and smaller numbers NaN."""
    exponent = ((x + 1.0).as_bits() - _HALF_SQRT2_BITS) >> 52
    scale = ((_BIAS << 52) - (exponent << 52)).as_float()
    result = _log_reduced(x.fma(scale, scale - 1.0), exponent)
    result = choose(x.gt(-1.0), result, choose(x.eq(-1.0), x.constant(-math.inf), x.constant(math.nan)))
    return choose(x.lt(math.inf), result, x)


def log2(x: Lanes) -> Lanes:
    return (_log(x.widened()) * (1.0 / _LN2_HIGH)).narrowed()


def log10(x: Lanes) -> Lanes:
    return (_log(x.widened()) * (1.0 / math.log(10.0))).narrowed()


def _erfc_of_magnitude(a: Lanes) -> Lanes:
    """`erfc(a)` for a of at least 0, to 2^-29 of its size down to the smallest f32, then 0."""
    bounded = a.at_most(26.0)
    scaled = polynomial((bounded - 3.0) / (bounded + 3.0), *_SCALED_ERFC)
    return choose(a.gt(26.0), a.constant(0.0), _exp(-(bounded * bounded)) * scaled)


def erfc(x: Lanes) -> Lanes:
    wide = x.widened()
    tail = _erfc_of_magnitude(wide.abs())
    return choose(wide.lt(0.0), 2.0 - tail, tail).narrowed()


def gelu_tanh(x: Lanes) -> Lanes:
    """`x / (1 + e^-w)`, where w is twice the argument of the hyperbolic tangent in the usual way to write it."""
    wide = x.widened()
    slope = 2.0 * math.sqrt(2.0 / math.pi)
    w = wide * (wide * wide).fma(0.044715 * slope, slope)
    y = -w.abs()
    z = choose(y.lt(-700.0), y.constant(0.0), _exp(y.at_least(-700.0)))
    return (wide * choose(wide.lt(0.0), z, z.constant(1.0)) / (z + 1.0)).narrowed()


def sinh(x: Lanes) -> Lanes:
    wide = x.widened()
    e = _expm1(wide.abs().at_most(100.0))
    return ((e + e / (e + 1.0)) * 0.5).with_sign_of(wide).narrowed()


def cosh(x: Lanes) -> Lanes:
    e = _exp(x.widened().abs().at_most(100.0))
    return ((e + 1.0 / e) * 0.5).narrowed()


def asinh(x: Lanes) -> Lanes:
    wide = x.widened()
    a = wide.abs()
    square = a * a
    result = _log1p(a + square / ((square + 1.0).sqrt() + 1.0))
    return choose(a.lt(math.inf), result, a).with_sign_of(wide).narrowed()


def acosh(x: Lanes) -> Lanes:
    above_one = x.widened() - 1.0
    result = _log1p(above_one + (above_one * (above_one + 2.0)).sqrt())
    return choose(above_one.lt(0.0), x.widened().constant(math.nan), result).narrowed()


def atanh(x: Lanes) -> Lanes:
    wide = x.widened()
    a = wide.abs()
    return (_log1p((a + a) / (1.0 - a)) * 0.5).with_sign_of(wide).narrowed()


def _atan2(y: Lanes, x: Lanes) -> Lanes:
    """The angle of the point (x, y), in the sense of C: the signs of zeros and infinite coordinates count."""
    down, across = y.abs().at_most(_ABOVE_ALL), x.abs().at_most(_ABOVE_ALL)
    steep = across.lt(down)
    # The order of the operands lets a NaN in either through.
    t = choose(steep, across, down) / choose(steep, down, across).at_least(1.0 / _ABOVE_ALL)
    z = t * t
    angle = (t * z).fma(polynomial(z, *_ATAN), t)
    angle = choose(steep, 0.5 * math.pi - angle, angle)
    angle = choose(x.as_bits().lt(0), math.pi - angle, angle)
    return choose(x.ne(x), x, angle.with_sign_of(y))


def atan2(y: Lanes, x: Lanes) -> Lanes:
    return _atan2(y.widened(), x.widened()).narrowed()


def atan(x: Lanes) -> Lanes:
    wide = x.widened()
    return _atan2(wide, wide.constant(1.0)).narrowed()


def asin(x: Lanes) -> Lanes:
    wide = x.widened()
    return _atan2(wide, ((1.0 - wide) * (1.0 + wide)).sqrt()).narrowed()


def acos(x: Lanes) -> Lanes:
    wide = x.widened()
    return _atan2(((1.0 - wide) * (1.0 + wide)).sqrt(), wide).narrowed()


def _nearest_integer(x: Lanes) -> Lanes:
    """Of 0 <= x < 2^51."""
    return (x + 2.0**52) - 2.0**52


def power(base: Lanes, exponent: Lanes) -> Lanes:
    """`base ** exponent` with the special cases of C's `pow`."""
    x, y = base.widened(), exponent.widened()
    a = x.abs()
    product = (y * _log(a)).at_least(-700.0).at_most(700.0)
    result = choose(a.eq(1.0), choose(y.ne(y), y, a), _exp(product))

    size = y.abs().at_most(2.0**40)  # from 2^24 on, an f32 is an even integer
    whole = _nearest_integer(size).eq(size)
    half = size * 0.5
    odd = whole & _nearest_integer(half).ne(half)
    negated = x.as_bits().lt(0) & odd
    result = choose(negated, -result, result)
    undefined = x.lt(0.0) & x.gt(-math.inf) & (whole ^ 1) & y.eq(y)
    result = choose(undefined, x.constant(math.nan), result)
    return choose(x.eq(1.0) | y.eq(0.0), x.constant(1.0), result).narrowed()
