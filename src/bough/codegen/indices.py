"""`i64` arithmetic: symbolic where it stays linear, with floor division that knows what its operand is made of."""

from __future__ import annotations

from typing import Any

from bough.codegen import llvm_types as t
from bough.codegen.arithmetic import compare, divide
from bough.codegen.linear import ZERO, Linear, Terms, atom
from bough.codegen.state import Emission, Operand
from bough.ir.dtypes import I64


def as_operand(value: Any, low: int | None = None, high: int | None = None) -> Operand:
    """An emitted `i64`: a scalar becomes an atom, a vector stays as it is."""
    return value if t.lanes_of(value) else atom(value, low, high)


def materialize(em: Emission, value: Operand, lanes: int = 0) -> Any:
    """The LLVM value of an operand; of the lane number's multiples, a vector of `lanes`."""
    if not isinstance(value, Linear):
        return value
    scalar = _sum(em, value.uniform)
    if not value.lane:
        return scalar
    steps = t.iota(t.INT64, lanes, value.lane)
    return em.builder.add(t.splat(em.builder, scalar, lanes), steps) if value.uniform != ZERO else steps


def _sum(em: Emission, value: Linear) -> Any:
    if not value.terms:
        return t.int64(value.const)
    if value.const:
        return em.once((value.terms, value.const), lambda: em.builder.add(_terms(em, value.terms), t.int64(value.const)))
    return _terms(em, value.terms)


def _terms(em: Emission, terms: Terms) -> Any:
    *before, (a, c) = terms
    if before:
        return em.once(terms, lambda: em.builder.add(_terms(em, tuple(before)), _terms(em, terms[-1:])))
    return a.value if c == 1 else em.once(terms, lambda: em.builder.mul(a.value, t.int64(c)))


def product(em: Emission, x: Terms, y: Terms) -> Linear:
    """The product of two sums, as one atom."""

    def make() -> Linear:
        lows = [Linear(0, terms).range(0)[0] for terms in (x, y)]
        low = 0 if all(v is not None and v >= 0 for v in lows) else None
        return atom(em.builder.mul(_terms(em, x), _terms(em, y)), low)

    found: Linear = em.once(("mul", x, y), make)
    return found


def emit_index(em: Emission, name: str, args: list[Operand], lanes: int) -> Operand | None:
    """`name` on `i64` operands of which none is a vector yet, where that stays symbolic or has code of its own; else None."""
    x = args[0]
    if not all(isinstance(a, Linear) for a in args):
        return None
    if name == "neg":
        return x.scaled(-1)
    if len(args) != 2:
        return None
    y = args[1]
    match name:
        case "add":
            return x + y
        case "sub":
            return x - y
        case "mul":
            return _product(em, x, y)
        case "floordiv" | "mod":
            quotient_wanted = name == "floordiv"
            if y.is_constant and y.const > 0:
                return _divide(em, x, y.const, lanes, quotient_wanted)
            return None if x.lane or y.lane else _divide_scalar(em, x, y, quotient_wanted)
        case "min" | "max":
            return _extremum(em, name, x, y, lanes)
        case "lt" | "le" | "gt" | "ge" | "eq" | "ne":
            return _compare(em, name, x, y, lanes)
        case _:
            return None


def _product(em: Emission, x: Linear, y: Linear) -> Operand | None:
    if y.is_constant:
        return x.scaled(y.const)
    if x.is_constant:
        return y.scaled(x.const)
    if x.lane or y.lane:
        return None
    # Constants of either side stay apart, so that unrolled code differs by multiples of one product.
    whole = Linear(0, x.terms), Linear(0, y.terms)
    return product(em, x.terms, y.terms) + whole[0].scaled(y.const) + whole[1].scaled(x.const) + Linear(x.const * y.const)


def _divide(em: Emission, x: Linear, n: int, lanes: int, quotient: bool) -> Operand | None:
    """Floor division by a positive constant, or its remainder, with as little left to run time as is known."""
    if n == 1:
        return x if quotient else ZERO
    whole, rest = x.split(n)
    if rest.within(0, n, lanes):
        return whole if quotient else rest
    for g in rest.divisors(n):
        outer, inner = rest.split(g)
        if inner.within(0, g, lanes) and not outer.lane:
            left = _divide(em, outer, n // g, lanes, quotient)
            assert isinstance(left, Linear)
            return whole + left if quotient else left.scaled(g) + inner
    if not rest.lane:
        result = _divide_scalar(em, rest, Linear(n), quotient)
        return whole + result if quotient else result
    if rest.lane < 0 or rest.lane * (lanes - 1) > n:
        return None
    # Lanes cross at most one multiple of n.
    b = em.builder
    first = _divide_scalar(em, rest.uniform, Linear(n), False)
    position = materialize(em, Linear(first.const, first.terms, rest.lane), lanes)
    limit = t.filled(t.int64(n), lanes)
    crossed = b.icmp_signed(">=", position, limit)
    if not quotient:
        return b.select(crossed, b.sub(position, limit), position)
    base = whole.uniform + _divide_scalar(em, rest.uniform, Linear(n), True)
    start = materialize(em, Linear(base.const, base.terms, whole.lane), lanes)
    return b.add(t.splat(b, start, lanes), b.zext(crossed, t.shaped(t.INT64, lanes)))


def _divide_scalar(em: Emission, x: Linear, y: Linear, quotient: bool) -> Linear:
    """Floor division, or its remainder, of uniform integers."""
    if x.is_constant and y.is_constant and y.const:
        return Linear(x.const // y.const if quotient else x.const % y.const)
    found: Linear = em.once(("divide", x, y, quotient), lambda: _emit_division(em, x, y, quotient))
    return found


def _emit_division(em: Emission, x: Linear, y: Linear, quotient: bool) -> Linear:
    b, value, divisor = em.builder, materialize(em, x), materialize(em, y)
    low, high = x.range(0)
    n = y.const if y.is_constant else 0
    bounds = (None, None) if n <= 0 else (_floor(low, n), _floor(high, n)) if quotient else (0, n - 1)
    if n > 0 and n & (n - 1) == 0:
        shift = t.int64(n.bit_length() - 1)
        return atom(b.ashr(value, shift) if quotient else b.and_(value, t.int64(n - 1)), *bounds)
    if n > 0 and low is not None and low >= 0:
        return atom(b.udiv(value, divisor) if quotient else b.urem(value, divisor), *bounds)
    return atom(divide(b, "floordiv" if quotient else "mod", value, divisor, I64), *bounds)


def _floor(value: int | None, n: int) -> int | None:
    return None if value is None else value // n


def _extremum(em: Emission, name: str, x: Linear, y: Linear, lanes: int) -> Operand | None:
    smaller, larger = (x, y) if name == "min" else (y, x)
    low, high = (larger - smaller).range(lanes)
    if low is not None and low >= 0:
        return x
    if high is not None and high <= 0:
        return y
    if x.lane or y.lane:
        return None
    bounds = (x.range(0), y.range(0))
    known = [v for v, _ in bounds if v is not None], [v for _, v in bounds if v is not None]
    pick = min if name == "min" else max
    low = pick(known[0]) if len(known[0]) == 2 or (known[0] and name == "max") else None
    high = pick(known[1]) if len(known[1]) == 2 or (known[1] and name == "min") else None

    def make() -> Linear:
        a, b = materialize(em, x), materialize(em, y)
        return atom(em.builder.select(em.builder.icmp_signed("<" if name == "min" else ">", a, b), a, b), low, high)

    found: Linear = em.once((name, x, y), make)
    return found


def _compare(em: Emission, name: str, x: Linear, y: Linear, lanes: int) -> Any:
    low, high = (x - y).range(lanes)
    decided = _decide(name, low, high)
    if decided is not None:
        return t.bit(decided)
    below = x - y if name in ("lt", "ge") else y - x if name in ("gt", "le") else ZERO
    if below.lane > 0 and below.uniform.factor() % (lanes * below.lane) == 0:
        # All lanes lie on one side of a multiple of their number.
        return compare(em.builder, "lt" if name in ("lt", "gt") else "ge", materialize(em, below.uniform), t.int64(0), I64)
    if x.lane or y.lane:
        a, b = (t.splat(em.builder, materialize(em, v, lanes), lanes) for v in (x, y))
        return compare(em.builder, name, a, b, I64)
    return compare(em.builder, name, materialize(em, x), materialize(em, y), I64)


def _decide(name: str, low: int | None, high: int | None) -> bool | None:
    """What a comparison with zero gives for all values from `low` to `high`, where that is one answer."""
    negative, positive = high is not None and high < 0, low is not None and low > 0
    not_positive, not_negative = high is not None and high <= 0, low is not None and low >= 0
    zero = low == high == 0
    match name:
        case "lt":
            return True if negative else False if not_negative else None
        case "le":
            return True if not_positive else False if positive else None
        case "gt":
            return True if positive else False if not_positive else None
        case "ge":
            return True if not_negative else False if negative else None
        case "eq":
            return True if zero else False if negative or positive else None
        case _:
            return False if zero else True if negative or positive else None
