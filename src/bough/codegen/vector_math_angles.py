"""Sine, cosine and tangent of f32, over the whole range.

The argument is split as `x = (q + 4k) pi/2 + r` with |r| a little over pi/4 at most. Up to 2^17 that takes three (Cody
and Waite: "Software Manual for the Elementary Functions", 1980) or two fused multiply-adds; beyond, lane by lane, the
bits of 2/pi that matter times the integer significand (Payne and Hanek: "Radian Reduction for Trigonometric Functions",
1983). A vector branches once, on whether any lane is large; a lane's result does not depend on its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from llvmlite import ir

from bough.codegen.vector_math_lanes import F32, F64, I32, Lanes, choose, polynomial, with_element

_LARGE = 2.0**17
_PI_2 = (
    float.fromhex("0x1.921fb6p+0"),
    float.fromhex("-0x1.777a5cp-25"),
    float.fromhex("-0x1.ee59dap-50"),
)
_PI_2_WIDE = (math.pi / 2.0, float.fromhex("0x1.1a62633145c07p-54"))

_TWO_OVER_PI = 0x28BE60DB9391054A7F09D5F47D4D377036D8A5664F10E4107F9458EAF7AEF1
_TWO_OVER_PI_BITS = 246
"""2/pi as an integer over 2 to this power: shifted up by 8 + 127 - 23, the largest exponent, 144 bits below 4 remain."""

# (sin(r) - r) / r^3 and (cos(r) - 1 + r^2/2) / r^4 of r^2, on |r| <= pi/4: f32, then f64
_SIN = (-0.166666552, 0.00833218731, -0.00019517896)
_COS = (0.0416666456, -0.00138873095, 2.44323273e-05)
_SIN_WIDE = (-0.16666666640587874, 0.008333329280478783, -0.00019839304401832614, 2.7180463546895008e-06)
_COS_WIDE = (0.04166666661910659, -0.0013888883467241997, 2.4799451547227223e-05, -2.720504610082051e-07)


def _define_reduction(module: ir.Module) -> ir.Function:
    """`{r, q}` of one finite x of at least 2^15, by integers; NaN of an infinite one."""
    name = "bough.math.reduce_angle"
    known = module.globals.get(name)
    if known is not None:
        return known
    pair = ir.LiteralStructType([F64, I32])
    function = ir.Function(module, ir.FunctionType(pair, [F32]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    b = ir.IRBuilder(function.append_basic_block())
    x = function.args[0]
    wide, double = ir.IntType(256), ir.IntType(128)

    bits = b.bitcast(x, I32)
    exponent = b.and_(b.lshr(bits, I32(23)), I32(255))
    significand = b.or_(b.and_(bits, I32(0x7FFFFF)), I32(0x800000))
    # x is significand * 2^(exponent - 150). The top bit of the shifted constant counts 2 turns of pi/2.
    shift = b.sub(exponent, I32(150 - (256 - 2 - _TWO_OVER_PI_BITS)))
    window = b.shl(wide(_TWO_OVER_PI), b.zext(shift, wide))
    window = b.trunc(b.lshr(window, wide(128)), double)
    turns = b.mul(window, b.zext(significand, double))
    quadrant = b.trunc(b.lshr(b.add(turns, double(1 << 125)), double(126)), I32)
    fraction = b.trunc(b.ashr(b.shl(turns, double(2)), double(64)), ir.IntType(64))
    r = b.fmul(b.sitofp(fraction, F64), F64(math.pi / 2.0 * 2.0**-64))
    negative = b.icmp_signed("<", bits, I32(0))
    r = b.select(negative, b.fneg(r), r)
    quadrant = b.select(negative, b.neg(quadrant), quadrant)
    r = b.select(b.icmp_signed("==", exponent, I32(255)), F64(math.nan), r)
    b.ret(b.insert_value(b.insert_value(ir.Constant(pair, ir.Undefined), r, 0), quadrant, 1))
    return function


def _reduce_large(x: Lanes, element: ir.Type) -> tuple[Lanes, Lanes]:
    """`r` as `element` and `q` of every lane, in a loop over the lanes."""
    b = x.builder
    reduction = _define_reduction(b.module)

    def of_scalar(value: ir.Value) -> tuple[ir.Value, ir.Value]:
        pair = b.call(reduction, [value])
        r = b.extract_value(pair, 0)
        return (b.fptrunc(r, F32) if element == F32 else r), b.extract_value(pair, 1)

    if not isinstance(x.type, ir.VectorType):
        r, q = of_scalar(x.value)
        return Lanes(b, r), Lanes(b, q)
    before, body, after = b.block, b.append_basic_block(), b.append_basic_block()
    b.branch(body)
    b.position_at_end(body)
    lane = b.phi(I32)
    remainders, quadrants = b.phi(with_element(x.type, element)), b.phi(with_element(x.type, I32))
    r, q = of_scalar(b.extract_element(x.value, lane))
    following = (b.add(lane, I32(1)), b.insert_element(remainders, r, lane), b.insert_element(quadrants, q, lane))
    for phi, last in zip((lane, remainders, quadrants), following):
        phi.add_incoming(ir.Constant(phi.type, None if phi is lane else ir.Undefined), before)
        phi.add_incoming(last, body)
    b.cbranch(b.icmp_signed("<", following[0], I32(x.type.count)), body, after)
    b.position_at_end(after)
    return Lanes(b, following[1]), Lanes(b, following[2])


def _reduce(x: Lanes, near: Callable[[Lanes], tuple[Lanes, Lanes]]) -> tuple[Lanes, Lanes]:
    """`r` and `q`, from `near` for the lanes that are not large."""
    r, q = near(x)
    b = x.builder
    large = x.abs().gt(_LARGE)
    any_large = large.any()
    before = b.block
    with b.if_then(any_large, likely=False):
        far_r, far_q = _reduce_large(x, r.element)
        merged_r, merged_q = choose(large, far_r, r), choose(large, far_q, q)
        inside = b.block
    chosen = []
    for merged, plain in ((merged_r, r), (merged_q, q)):
        phi = b.phi(plain.type)
        phi.add_incoming(plain.value, before)
        phi.add_incoming(merged.value, inside)
        chosen.append(Lanes(b, phi))
    return chosen[0], chosen[1]


def _near(x: Lanes) -> tuple[Lanes, Lanes]:
    magic = 1.5 * 2.0**23
    held = x.fma(2.0 / math.pi, magic)
    n = held - magic
    r = x
    for part in _PI_2:
        r = n.fma(-part, r)
    return r, held.as_bits()


def _near_wide(x: Lanes) -> tuple[Lanes, Lanes]:
    magic = 1.5 * 2.0**52
    wide = x.widened()
    held = wide.fma(2.0 / math.pi, magic)
    n = held - magic
    r = wide
    for part in _PI_2_WIDE:
        r = n.fma(-part, r)
    quadrant = x.builder.trunc(held.as_bits().value, with_element(x.type, I32))
    return r, Lanes(x.builder, quadrant)


def _sine_and_cosine(r: Lanes, sin: tuple[float, ...], cos: tuple[float, ...]) -> tuple[Lanes, Lanes]:
    z = r * r
    return (r * z).fma(polynomial(z, *sin), r), (z * z).fma(polynomial(z, *cos), z.fma(-0.5, 1.0))


def _sine_of_quadrant(r: Lanes, q: Lanes) -> Lanes:
    """`sin(q pi/2 + r)`."""
    sine, cosine = _sine_and_cosine(r, _SIN, _COS)
    result = choose((q & 1).eq(0), sine, cosine)
    return (result.as_bits() ^ ((q & 2) << 30)).as_float()


def sin(x: Lanes) -> Lanes:
    r, q = _reduce(x, _near)
    return choose(x.eq(0.0), x, _sine_of_quadrant(r, q))


def cos(x: Lanes) -> Lanes:
    r, q = _reduce(x, _near)
    return _sine_of_quadrant(r, q + 1)


def tan(x: Lanes) -> Lanes:
    r, q = _reduce(x, _near_wide)
    sine, cosine = _sine_and_cosine(r, _SIN_WIDE, _COS_WIDE)
    even = (q & 1).eq(0)
    result = choose(even, sine, -cosine) / choose(even, cosine, sine)
    return choose(x.eq(0.0), x, result.narrowed())
