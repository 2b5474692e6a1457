"""Index expressions as affine functions of chosen variables."""

from __future__ import annotations

from collections.abc import Collection

from bough.ir.expr import Expr, Extent, Var, as_extent, variables
from bough.rewrite.polynomial import Polynomial, expression, plus, polynomial, without


def affine(e: Expr, names: Collection[str]) -> tuple[dict[str, Extent], Expr] | None:
    """(coefficients, rest) with e == sum(coefficients[n] * n) + rest, where neither mentions `names`.

    Coefficients are numbers, or expressions over other variables (symbolic strides); names that do not occur have none.
    None where `e` is not affine in them.
    """
    parts: dict[str, Polynomial] = {}
    rest: Polynomial = {}
    for monomial, coefficient in polynomial(e).items():
        mine = [a for a in monomial if not variables(a).isdisjoint(names)]
        match mine:
            case []:
                rest[monomial] = coefficient
            case [Var(name, _) as a]:
                factor = {without(monomial, (a,)) or (): coefficient}
                parts[name] = plus(parts.get(name, {}), factor)
            case _:
                return None
    return {name: as_extent(expression(p)) for name, p in parts.items()}, expression(rest)
