"""Integer expressions as polynomials: sums of coefficient times product of atoms, the normal form of index arithmetic.

An *atom* is whatever is not a sum, difference or product: a variable, a load, a floor division, a minimum.
"""

from __future__ import annotations

from collections.abc import Callable

from bough.ir.expr import Apply, Const, Expr, Var, add, mul, sub

Monomial = tuple[Expr, ...]
"""A product of atoms in canonical order; the empty product is the constant's."""

Polynomial = dict[Monomial, int]
"""Coefficients by monomial, none of them zero. Treated as immutable."""


def constant(value: int) -> Polynomial:
    return {(): value} if value else {}


def atom(e: Expr) -> Polynomial:
    return {(e,): 1}


def constant_value(p: Polynomial) -> int | None:
    """The value of a polynomial without atoms."""
    return 0 if not p else p.get(()) if len(p) == 1 else None


def plus(p: Polynomial, q: Polynomial, factor: int = 1) -> Polynomial:
    """p + factor * q."""
    total = dict(p)
    for monomial, coefficient in q.items():
        value = total.get(monomial, 0) + factor * coefficient
        if value:
            total[monomial] = value
        else:
            total.pop(monomial, None)
    return total


def scale(p: Polynomial, factor: int) -> Polynomial:
    return {m: c * factor for m, c in p.items()} if factor else {}


def times(p: Polynomial, q: Polynomial) -> Polynomial:
    total: Polynomial = {}
    for m, c in p.items():
        for n, d in q.items():
            total = plus(total, {_product(m, n): c * d})
    return total


def without(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    """monomial / divisor, or None where that is no monomial."""
    rest = list(monomial)
    for a in divisor:
        if a not in rest:
            return None
        rest.remove(a)
    return tuple(rest)


def _product(m: Monomial, n: Monomial) -> Monomial:
    if not m or not n:
        return m or n
    return tuple(sorted((*m, *n), key=_order))


def _order(e: Expr) -> tuple[bool, str]:
    return (False, e.name) if isinstance(e, Var) else (True, repr(e))


def polynomial(e: Expr, of_atom: Callable[[Expr], Polynomial] = atom) -> Polynomial:
    """The normal form of an integer expression; `of_atom` gives that of what is not a sum, difference or product."""
    match e:
        case Const(value, _):
            return constant(int(value))
        case Apply("add", (a, b), _):
            return plus(polynomial(a, of_atom), polynomial(b, of_atom))
        case Apply("sub", (a, b), _):
            return plus(polynomial(a, of_atom), polynomial(b, of_atom), -1)
        case Apply("mul", (a, b), _):
            return times(polynomial(a, of_atom), polynomial(b, of_atom))
        case Apply("neg", (a,), _):
            return scale(polynomial(a, of_atom), -1)
        case _:
            return of_atom(e)


def expression(p: Polynomial) -> Expr:
    """The canonical expression: terms in order of their atoms, added ones before subtracted ones, the constant last."""
    terms = sorted((item for item in p.items() if item[0]), key=lambda item: [_order(a) for a in item[0]])
    rest = p.get((), 0)
    total: Expr | None = None
    for monomial, coefficient in terms:
        if coefficient > 0:
            term = _term(monomial, coefficient)
            total = term if total is None else add(total, term)
    if total is None and (rest > 0 or not terms):
        total, rest = Const(rest), 0
    for monomial, coefficient in terms:
        if coefficient < 0:
            total = _term(monomial, coefficient) if total is None else sub(total, _term(monomial, -coefficient))
    assert total is not None
    return add(total, rest) if rest >= 0 else sub(total, -rest)


def _term(monomial: Monomial, coefficient: int) -> Expr:
    product = monomial[0]
    for a in monomial[1:]:
        product = mul(product, a)
    return mul(product, coefficient)
