"""Operators on constants alone run when compiling."""

from __future__ import annotations

from math import prod

import numpy as np

from bough import ops
from bough.graph_passes.decisions.walk import each_function
from bough.graph_passes.values.forward import Forward
from bough.ir.program import Assign, Function, Program, Value

SMALL, GROWTH = 1 << 16, 4
"""Elements of results that are made in any case; above, how many times those of the arguments."""


def fold_constants(program: Program) -> Program:
    """The program with what is known instead of what computes it, unless that is much larger than what it is made of."""
    return each_function(program, fold_function)


def fold_function(function: Function) -> Function:
    return _Fold(function).run()


class _Fold(Forward):
    def assign(self, node: Assign) -> Assign | tuple[Value, ...]:
        if any(a is not None and a not in self.constants for a in node.args) or not self.is_small(node):
            return node
        arrays = [None if a is None else self.constants[a] for a in node.args]
        try:
            found = ops.evaluate(node.op, arrays, node.attributes, tuple(r.type for r in node.results))
        except IndexError:  # every call will end with it
            return node
        for r, array in zip(node.results, found, strict=True):
            self.constants[r] = np.ascontiguousarray(array).reshape(array.shape)
        return node.results

    def is_small(self, node: Assign) -> bool:
        shapes = [r.type.shape for r in node.results]
        if ops.symbols(node.attributes) or any(not isinstance(e, int) for s in shapes for e in s):
            return False
        have = sum(self.constants[a].size for a in node.args if a is not None)
        return sum(prod(int(e) for e in s if isinstance(e, int)) for s in shapes) <= GROWTH * have + SMALL
