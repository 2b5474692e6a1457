"""Which values of a cell are rows of constant tables, such as embeddings of words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bough.ir.dtypes import F32, F64
from bough.ir.program import Assign, Value

Array = np.ndarray[Any, Any]
SHORTEST = 32
"""A sum of fewer products takes less time than reading its result from far away."""
FUNCTIONS = ("tanh", "sigmoid", "relu", "neg")
"""What may be applied to each element of a row, in the float64 of a table's products as well as anywhere."""


@dataclass(frozen=True, slots=True)
class Row:
    """What `take` takes from a table, with the operators `functions` applied to its elements, one after the other."""

    take: Assign
    functions: tuple[str, ...] = ()


class Rows:
    """The rows among the values of a cell, as its assignments are gone through."""

    def __init__(self, constants: Mapping[Value, Array]) -> None:
        self.constants = constants
        self.found: dict[Value, Row] = {}

    def learn(self, node: Assign) -> None:
        result, given = node.results[0], self.found.get(node.args[0]) if node.args and node.args[0] is not None else None
        if node.op in ("take", "embedding") and self._is_table(node):
            self.found[result] = Row(node)
        elif node.op == "reshape" and given is not None and _is_same_row(node):
            self.found[result] = given
        elif node.op in FUNCTIONS and given is not None:
            self.found[result] = replace(given, functions=(*given.functions, node.op))

    def product(self, node: Assign) -> Row | None:
        """The row that an assignment multiplies by constants, if it does so."""
        if node.op not in ("linear", "matmul") or node.args[0] is None or node.args[1] is None or node.args[1].type.rank != 2:
            return None
        constant = all(v is None or v in self.constants for v in node.args[1:])
        return self.found.get(node.args[0]) if constant else None

    def table(self, row: Row) -> Array:
        """The table that a row is taken of."""
        table = row.take.args[0]
        assert table is not None
        return self.constants[table]

    def _is_table(self, node: Assign) -> bool:
        """Whether rows are taken of a table that is worth multiplying."""
        table = node.args[0]
        if table is None or table not in self.constants or node.attributes.get("axis", 0) != 0:
            return False
        kind = table.type
        return kind.rank == 2 and kind.dtype in (F32, F64) and self.constants[table].shape[1] >= SHORTEST


def _is_same_row(node: Assign) -> bool:
    """Whether a reshape of a row adds or leaves out dimensions of one element in front, and no others."""
    given = node.args[0]
    assert given is not None
    shapes = given.type.shape, node.results[0].type.shape
    return all(s and s[-1] == given.type.shape[-1] and all(e == 1 for e in s[:-1]) for s in shapes)
