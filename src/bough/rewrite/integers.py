"""Simplification of index arithmetic and of conditions on it, by normal form and ranges.

Index arithmetic is taken to stay inside `i64`.
"""

from __future__ import annotations

import math

from bough.ir.dtypes import BOOL, I64
from bough.ir.expr import Apply, Cast, Const, Expr, Load, Var, apply, rebuild
from bough.rewrite.bounds import Bounds
from bough.rewrite.interval import Facts, Range
from bough.rewrite.polynomial import (
    Polynomial,
    atom,
    constant,
    constant_value,
    expression,
    plus,
    polynomial,
    scale,
    times,
    without,
)
from bough.rewrite.rules import EXACT, at_root

_HOLDS: dict[str, Range] = {
    "lt": (-math.inf, -1), "le": (-math.inf, 0), "gt": (1, math.inf), "ge": (0, math.inf), "eq": (0, 0),
}  # fmt: skip
"""Where `a - b` lies when `a f b` holds."""
_SWAPPED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}


class Simplifier:
    """Simplifies expressions under `facts`, remembering what it has seen."""

    def __init__(self, facts: Facts) -> None:
        self._range = Bounds(facts).range
        self._polynomials: dict[Expr, Polynomial] = {}

    def range(self, e: Expr) -> Range:
        """Numbers that the value of an `i64` expression lies between; infinite where unknown."""
        return self._range(self.polynomial(e))

    def simplify(self, e: Expr) -> Expr:
        """An equal expression, the same object where nothing changed."""
        match e:
            case Const() | Var():
                return e
            case Apply(function, (a, b), _) if function in _SWAPPED and a.dtype == I64:
                new = self._comparison(function, self.polynomial(a), self.polynomial(b))
            case Apply() if e.dtype == I64:
                new = expression(self.polynomial(e))
            case Apply("select", (condition, a, b), _):
                condition = self.simplify(condition)
                if isinstance(condition, Const):
                    return self.simplify(a if condition.value else b)
                new = at_root(rebuild(e, (condition, self.simplify(a), self.simplify(b))), EXACT)
            case Apply(_, args, _):
                new = at_root(rebuild(e, tuple(self.simplify(a) for a in args)), EXACT)
            case Load(_, index, _):
                return rebuild(e, tuple(self.simplify(i) for i in index))
            case Cast(value, _):
                new = at_root(rebuild(e, (self.simplify(value),)), EXACT)
        return e if new == e else new

    def polynomial(self, e: Expr) -> Polynomial:
        """The simplified normal form of an `i64` expression."""
        known = self._polynomials.get(e)
        if known is None:
            known = self._polynomials[e] = self._recombine(polynomial(e, self._atom))
        return known

    def _atom(self, e: Expr) -> Polynomial:
        match e:
            case Apply("floordiv", (a, b), _):
                return self._floordiv(self.polynomial(a), self.polynomial(b))
            case Apply("mod", (a, b), _):
                return self._mod(self.polynomial(a), self.polynomial(b))
            case Apply("min" | "max" as function, (a, b), _):
                p, q = sorted((self.polynomial(a), self.polynomial(b)), key=lambda p: repr(expression(p)))
                return self._extremum(function, p, q)
            case Apply("select", (condition, a, b), _):
                condition, p, q = self.simplify(condition), self.polynomial(a), self.polynomial(b)
                if isinstance(condition, Const):
                    return p if condition.value else q
                return p if p == q else atom(apply("select", condition, expression(p), expression(q)))
            case Apply(_, args, _):
                new = at_root(rebuild(e, tuple(self.simplify(a) for a in args)), EXACT)
            case _:
                new = self.simplify(e)
        return constant(int(new.value)) if isinstance(new, Const) else atom(new)

    # -- division

    def _floordiv(self, p: Polynomial, d: Polynomial) -> Polynomial:
        if self._range(d)[0] < 1:
            a, b = constant_value(p), constant_value(d)
            return constant(a // b) if a is not None and b else atom(apply("floordiv", expression(p), expression(d)))
        quotient, rest = _split(p, d)
        rest, d, _, _ = _reduce(rest, d)
        nested = _nested_division(rest, d)
        if nested is not None:
            return plus(quotient, self._floordiv(*nested))
        part = self._known_quotient(rest, d)
        if part is None:
            return plus(quotient, atom(apply("floordiv", expression(rest), expression(d))))
        return plus(quotient, constant(part))

    def _mod(self, p: Polynomial, d: Polynomial) -> Polynomial:
        if self._range(d)[0] < 1:
            a, b = constant_value(p), constant_value(d)
            return constant(a % b) if a is not None and b else atom(apply("mod", expression(p), expression(d)))
        _, rest = _split(p, d)
        rest, d, factor, remainder = _reduce(rest, d)
        part = self._known_quotient(rest, d)
        result = atom(apply("mod", expression(rest), expression(d))) if part is None else plus(rest, d, -part)
        return plus(scale(result, factor), constant(remainder))

    def _known_quotient(self, p: Polynomial, d: Polynomial) -> int | None:
        """floordiv(p, d) where ranges determine it, of a positive d."""
        low, high = self._range(p)
        c = constant_value(d)
        if c is not None:
            return int(low // c) if math.isfinite(low) and math.isfinite(high) and low // c == high // c else None
        return 0 if low >= 0 and self._range(plus(p, d, -1))[1] < 0 else None

    def _recombine(self, p: Polynomial) -> Polynomial:
        """x // d * d + x % d is x, of a positive d."""
        for monomial, coefficient in p.items():
            match monomial:
                case (Apply("mod", (a, b), _),):
                    x, d = self.polynomial(a), self.polynomial(b)
                    if self._range(d)[0] < 1:
                        continue
                    whole = plus(times(self._floordiv(x, d), d), {monomial: 1})
                    shorter = plus(plus(p, whole, -coefficient), x, coefficient)
                    if len(shorter) < len(p):
                        return self._recombine(shorter)
        return p

    # -- minima and comparisons

    def _extremum(self, function: str, p: Polynomial, q: Polynomial) -> Polynomial:
        low, high = self._range(plus(p, q, -1))
        if high <= 0:
            return p if function == "min" else q
        if low >= 0:
            return q if function == "min" else p
        return atom(apply(function, expression(p), expression(q)))

    def _comparison(self, function: str, p: Polynomial, q: Polynomial) -> Expr:
        difference = plus(p, q, -1)
        low, high = self._range(difference)
        holds = _HOLDS["eq" if function == "ne" else function]
        if holds[0] <= low and high <= holds[1]:
            return Const(function != "ne", BOOL)
        if high < holds[0] or low > holds[1]:
            return Const(function == "ne", BOOL)
        left = {m: c for m, c in difference.items() if m and c > 0}
        right = plus(left, difference, -1)
        if left:
            return apply(function, expression(left), expression(right))
        rest = right.get((), 0)
        return apply(_SWAPPED[function], expression(plus(right, constant(-rest))), Const(-rest))


def _split(p: Polynomial, d: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Quotient and rest with p == quotient * d + rest, as much in the quotient as divides term by term."""
    if len(d) != 1:
        return {}, p
    ((divisor, c),) = d.items()
    quotient: Polynomial = {}
    for monomial, coefficient in p.items():
        part = without(monomial, divisor)
        if part is not None:
            times_ = coefficient // c if not monomial or coefficient > 0 else -(-coefficient // c)
            quotient = plus(quotient, {part: times_} if times_ else {})
    return quotient, plus(p, times(quotient, d), -1)


def _reduce(p: Polynomial, d: Polynomial) -> tuple[Polynomial, Polynomial, int, int]:
    """(p', d', factor, remainder) with p // d == p' // d' and p % d == factor * (p' % d') + remainder."""
    c = constant_value(d)
    factor = math.gcd(c or 1, *(k for m, k in p.items() if m))
    rest = p.get((), 0)
    if factor == 1 or c is None:
        return p, d, 1, 0
    reduced = {m: k // factor for m, k in p.items() if m}
    return plus(reduced, constant(rest // factor)), constant(c // factor), factor, rest % factor


def _nested_division(p: Polynomial, d: Polynomial) -> tuple[Polynomial, Polynomial] | None:
    """(x // a + k) // c as (x + k * a) // (a * c), for constants a and c."""
    c, rest = constant_value(d), p.get((), 0)
    match list(plus(p, constant(-rest)).items()):
        case [((Apply("floordiv", (x, Const(a, _)), _),), 1)] if c is not None and a > 0:
            return plus(polynomial(x), constant(rest * int(a))), constant(int(a) * c)
    return None
