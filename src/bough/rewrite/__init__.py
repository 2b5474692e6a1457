"""Simplification: index arithmetic by normal form and ranges, scalar algebra by rules."""

from __future__ import annotations

from bough.ir.expr import Const, Expr
from bough.rewrite.affine import affine
from bough.rewrite.integers import Simplifier
from bough.rewrite.interval import Facts, Interval, Range, axis_facts
from bough.rewrite.rules import EXACT, Rule, Rules, rewrite

__all__ = [
    "EXACT", "Facts", "Interval", "Range", "Rule", "Rules", "Simplifier", "affine", "axis_facts", "bounds", "prove",
    "rewrite", "simplify",
]  # fmt: skip


def simplify(e: Expr, facts: Facts | None = None) -> Expr:
    """An equal expression in normal form; the same object where nothing changed.

    `i64` arithmetic becomes a sum of terms, without the divisions, minima and conditions that the ranges in `facts`
    make idle; floats are rewritten by exact rules only.
    """
    return Simplifier(facts or {}).simplify(e)


def bounds(e: Expr, facts: Facts | None = None) -> Range:
    """Numbers that the value of an `i64` expression lies between; infinite where unknown."""
    return Simplifier(facts or {}).range(e)


def prove(condition: Expr, facts: Facts | None = None) -> bool:
    """Whether the facts make a condition true for certain. False says nothing."""
    new = simplify(condition, facts)
    return isinstance(new, Const) and bool(new.value)
