"""Symbolic sizes: torch's sympy expressions become extents over the names that the user gave."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import sympy  # type: ignore[import-untyped]
import torch
from torch.utils._sympy import functions as torch_sympy

from bough.ir import expr
from bough.ir.expr import Apply, Const, Expr, Extent, Var, as_extent


class UnknownSize(Exception):
    """A size that no input determines, or that has no form as an extent."""


class Symbols:
    """The names of torch's symbols. Two symbols of one name are one size: the caller of the compiled function keeps it."""

    def __init__(self, names: Mapping[sympy.Symbol, str]) -> None:
        self.names = dict(names)
        self._known: dict[sympy.Basic, Expr] = {}

    def extent(self, size: int | torch.SymInt) -> Extent:
        """Raises UnknownSize where the size depends on the values of tensors."""
        return int(size) if isinstance(size, int) else as_extent(self.expression(size.node.expr))

    def shape(self, sizes: Any) -> tuple[Extent, ...]:
        return tuple(self.extent(s) for s in sizes)

    def expression(self, e: Any) -> Expr:
        found = self._known.get(e)
        if found is None:
            self._known[e] = found = self._convert(e)
        return found

    def _convert(self, e: Any) -> Expr:
        if isinstance(e, sympy.Integer):
            return Const(int(e))
        if isinstance(e, sympy.Symbol):
            if e not in self.names:
                raise UnknownSize(f"the size {e} depends on computed values")
            return Var(self.names[e])
        if isinstance(e, sympy.Add):
            return self._sum(e)
        if isinstance(e, sympy.Mul):
            return self._fold(expr.mul, sorted(e.args, key=lambda a: a.is_number))
        if isinstance(e, (sympy.Max, torch_sympy.Max)):
            return self._fold(expr.maximum, e.args)
        if isinstance(e, (sympy.Min, torch_sympy.Min)):
            return self._fold(expr.minimum, e.args)
        if isinstance(e, (torch_sympy.FloorDiv, torch_sympy.CleanDiv)):
            return expr.floordiv(*map(self.expression, e.args))
        if isinstance(e, (torch_sympy.Mod, torch_sympy.PythonMod)):
            return expr.mod(*map(self.expression, e.args))
        if isinstance(e, (sympy.Pow, torch_sympy.PowByNatural)) and isinstance(e.args[1], sympy.Integer):
            power = int(e.args[1])
            if power >= 1:
                return reduce(expr.mul, [self.expression(e.args[0])] * power)
        if isinstance(e, torch_sympy.Identity):
            return self.expression(e.args[0])
        raise UnknownSize(f"the size {e} has no form in index arithmetic")

    def _fold(self, combine: Any, args: Any) -> Expr:
        return reduce(combine, (self.expression(a) for a in args))

    def _sum(self, e: sympy.Add) -> Expr:
        """Positive terms first and constants last, so that `n - 1` reads as such."""
        terms = sorted(e.args, key=lambda a: (a.could_extract_minus_sign(), a.is_number))
        total = self.expression(terms[0])
        for term in terms[1:]:
            if term.could_extract_minus_sign():
                total = expr.sub(total, self.expression(-term))
            else:
                total = expr.add(total, self.expression(term))
        return total


_EVALUATE: dict[str, Any] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
    "floordiv": lambda a, b: a // b, "mod": lambda a, b: a % b, "min": min, "max": max,
}  # fmt: skip


def evaluate(extent: Extent, sizes: Mapping[str, int]) -> int:
    """The number that an extent is for given sizes."""
    match extent:
        case int():
            return extent
        case Const(value, _):
            return int(value)
        case Var(name, _):
            return sizes[name]
        case Apply(function, args, _):
            return int(_EVALUATE[function](*(evaluate(a, sizes) for a in args)))
    raise KeyError(str(extent))
