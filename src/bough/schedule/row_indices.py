"""Indices that a row of a tile works out once, in front of the loops of its sums.

    sum(k) x[select(i[n] < 0, i[n] + size[n], i[n]), k] * w[k, j]

reads a row that `n` alone decides. What one branch of a select loads may not exist where the other is taken, so such a select is
a jump, which LLVM would leave in the innermost loop.
"""

from __future__ import annotations

from dataclasses import replace

from bough.ir.dtypes import I64
from bough.ir.expr import Apply, Expr, Load, children, loads, rebuild, substitute, variables
from bough.ir.kernel import Reduce


class RowIndices:
    """Takes such indices out of reductions: `found` has each under the name of the array that holds it for every row of a tile.
    They depend on none of the names `apart`: those of axes on which the loops or the vectors run, and of sums."""

    def __init__(self, apart: set[str]) -> None:
        self.apart = apart
        self.found: dict[str, Expr] = {}

    @property
    def names(self) -> set[str]:
        return set(self.found)

    def taken_out(self, reduce: Reduce, known: dict[str, Expr]) -> Reduce:
        """The reduction with a load in the place of each; `known` are the values of names in it."""
        before = substitute(reduce.body, known)
        after = self.change(before)
        return reduce if after is before else replace(reduce, body=after)

    def change(self, e: Expr) -> Expr:
        if isinstance(e, Load):
            return rebuild(e, tuple(self.held(i) if self.of_row(i) else self.change(i) for i in e.index))
        if isinstance(e, Apply) and e.function == "select":  # what its branches read may not exist
            return rebuild(e, (self.change(e.args[0]), *e.args[1:]))
        return rebuild(e, tuple(map(self.change, children(e))))

    def of_row(self, index: Expr) -> bool:
        return _jumps(index) and self.apart.isdisjoint(variables(index))

    def held(self, index: Expr) -> Load:
        name = next((n for n, other in self.found.items() if other == index), f"index.{len(self.found)}")
        self.found[name] = index
        return Load(name, (), I64)


def _jumps(e: Expr) -> bool:
    """Whether it has a select of which a branch loads."""
    guards = isinstance(e, Apply) and e.function == "select" and bool(loads(e.args[1]) or loads(e.args[2]))
    return guards or any(map(_jumps, children(e)))
