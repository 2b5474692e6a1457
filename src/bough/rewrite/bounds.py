"""Ranges of integer polynomials: by interval arithmetic, and by replacing atoms with the expressions that bound them.

The second step proves what plain intervals cannot: with `i` from 0 to `n - 1`, that `i - n` is negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bough.ir.dtypes import BOOL
from bough.ir.expr import Apply, Cast, Expr, Load, Var, as_expr, variables
from bough.rewrite.interval import (
    EVERYTHING,
    Facts,
    Interval,
    Range,
    number,
    range_add,
    range_floordiv,
    range_mul,
)
from bough.rewrite.polynomial import (
    Monomial,
    Polynomial,
    constant,
    constant_value,
    plus,
    polynomial,
    scale,
    times,
    without,
)

REPLACEMENTS = 8
"""How many atoms one proof may replace."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A polynomial's upper end is at most that of `any` of these, or of the worst of them."""

    atom: Expr
    cases: tuple[Polynomial, ...]
    any: bool
    mentions: frozenset[str]


class Bounds:
    """Ranges under `facts`."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._atoms: dict[Expr, Range] = {}

    def range(self, p: Polynomial) -> Range:
        """Numbers that the value lies between."""
        return -self.upper(scale(p, -1)), self.upper(p)

    def upper(self, p: Polynomial, budget: int = REPLACEMENTS) -> float:
        best = self._numeric(p)[1]
        if budget == 0 or constant_value(p) is not None:
            return best
        step = self._step(p)
        if step is not None:
            ends = [self.upper(case, budget - 1) for case in step.cases]
            best = min(best, min(ends) if step.any else max(ends))
        return best

    def _numeric(self, p: Polynomial) -> Range:
        total: Range = (0, 0)
        for monomial, coefficient in p.items():
            total = range_add(total, self._monomial(monomial, coefficient))
        return total

    def _monomial(self, monomial: Monomial, coefficient: int = 1) -> Range:
        product: Range = (coefficient, coefficient)
        for a in monomial:
            product = range_mul(product, self._atom(a))
        return product

    def _atom(self, e: Expr) -> Range:
        if e not in self._atoms:
            self._atoms[e] = EVERYTHING  # while its own range is being worked out
            self._atoms[e] = self._range_of_atom(e)
        return self._atoms[e]

    def _range_of_atom(self, e: Expr) -> Range:
        match e:
            case Var(name, _):
                known = self._facts.get(name, Interval())
                low, high = number(known.low, -math.inf), number(known.high, math.inf)
                if low is None:
                    low = self.range(polynomial(as_expr(known.low or 0)))[0]
                if high is None:
                    high = self.range(polynomial(as_expr(known.high or 0)))[1]
                return low, high
            case Apply("floordiv", (a, b), _):
                return range_floordiv(self._of(a), self._of(b))
            case Apply("mod", (a, b), _):
                x, d = self._of(a), self._of(b)
                if d[0] < 1:
                    return EVERYTHING
                return 0, min(d[1] - 1, x[1]) if x[0] >= 0 else d[1] - 1
            case Apply("min", (a, b), _):
                x, y = self._of(a), self._of(b)
                return min(x[0], y[0]), min(x[1], y[1])
            case Apply("max", (a, b), _):
                x, y = self._of(a), self._of(b)
                return max(x[0], y[0]), max(x[1], y[1])
            case Apply("select", (_, a, b), _):
                x, y = self._of(a), self._of(b)
                return min(x[0], y[0]), max(x[1], y[1])
            case Cast(value, _):
                return _type_range(value)
            case Load():
                return _type_range(e)
            case _:
                return EVERYTHING

    def _of(self, e: Expr) -> Range:
        return self.range(polynomial(e))

    # -- replacing an atom by what bounds it

    def _step(self, p: Polynomial) -> _Step | None:
        """A way to get rid of one atom; of one that bounds no other, so that what is put in its place can cancel."""
        atoms = list(dict.fromkeys(a for monomial in p for a in monomial))
        steps = [s for s in (self._replace(p, a) for a in atoms) if s is not None]
        for step in steps:
            name = step.atom.name if isinstance(step.atom, Var) else None
            if not any(name in other.mentions for other in steps if other is not step):
                return step
        return steps[0] if steps else None

    def _replace(self, p: Polynomial, a: Expr) -> _Step | None:
        match a:
            case Apply("min" | "max" | "select" as function, args, _):
                cases = tuple(self._put(p, a, polynomial(x)) for x in args[-2:])
                signs = {self._sign(m, c, a) for m, c in p.items() if a in m}
                free_choice = signs == {1 if function == "min" else -1} and function != "select"
                return _Step(a, cases, free_choice, frozenset(variables(a)))
            case Var() | Apply("floordiv" | "mod"):
                return self._replace_by_ends(p, a)
            case _:
                return None

    def _put(self, p: Polynomial, a: Expr, value: Polynomial) -> Polynomial:
        total: Polynomial = {}
        for monomial, coefficient in p.items():
            term = constant(coefficient)
            for factor in monomial:
                term = times(term, value if factor == a else {(factor,): 1})
            total = plus(total, term)
        return total

    def _sign(self, monomial: Monomial, coefficient: int, a: Expr) -> int:
        """The sign of what `a` is multiplied with: 1, -1 or 0 for unknown; 0 also where `a` is in it twice."""
        rest = without(monomial, (a,)) or ()
        low, high = self._monomial(rest, coefficient)
        if a in rest:
            return 0
        return 1 if low >= 0 else -1 if high <= 0 else 0

    def _replace_by_ends(self, p: Polynomial, a: Expr) -> _Step | None:
        """Each term with `a` by the term with the end of `a` that makes it larger."""
        total = dict(p)
        mentions: set[str] = set()
        for monomial, coefficient in p.items():
            sign = self._sign(monomial, coefficient, a) if a in monomial else 0
            if sign == 0:
                continue
            rest = {without(monomial, (a,)) or (): coefficient}
            new = self._larger(monomial, rest, a, sign, mentions)
            if new is not None:
                total = plus(plus(total, {monomial: coefficient}, -1), new)
        return None if total == p else _Step(a, (total,), True, frozenset(mentions))

    def _larger(
        self, monomial: Monomial, rest: Polynomial, a: Expr, sign: int, mentions: set[str]
    ) -> Polynomial | None:
        """Something at least `rest * a`, where `rest` has this sign; None where only numbers are known."""
        match a:
            case Var(name, _):
                known = self._facts.get(name, Interval())
                end = known.high if sign > 0 else known.low
                if end is None or (isinstance(end, int) and len(monomial) == 1):
                    return None
                end = as_expr(end)
                mentions |= variables(end)
                return times(rest, polynomial(end))
            case Apply("floordiv", (x, d), _):
                divisor, numerator = polynomial(d), polynomial(x)
                quotient = _quotient(rest, divisor)
                if quotient is None or self.range(divisor)[0] < 1:
                    return None
                mentions |= variables(a)
                least = plus(plus(numerator, divisor, -1), constant(1))
                return times(quotient, numerator if sign > 0 else least)
            case Apply("mod", (_, d), _) if sign > 0 and self._of(d)[0] >= 1:
                divisor = polynomial(d)
                if constant_value(divisor) is not None:
                    return None
                mentions |= variables(d)
                return times(rest, plus(divisor, constant(-1)))
            case _:
                return None


def _quotient(p: Polynomial, d: Polynomial) -> Polynomial | None:
    """p / d of two single terms, None where that leaves a rest."""
    if len(p) != 1 or len(d) != 1:
        return None
    (m, c), (n, k) = *p.items(), *d.items()
    rest = without(m, n)
    return {rest: c // k} if rest is not None and c % k == 0 else None


def _type_range(e: Expr) -> Range:
    if e.dtype == BOOL:
        return 0, 1
    if e.dtype.is_integer and e.dtype.bits <= 32:
        signed = e.dtype.kind == "int"
        return (-(1 << (e.dtype.bits - 1)) if signed else 0), (1 << (e.dtype.bits - signed)) - 1
    return EVERYTHING
