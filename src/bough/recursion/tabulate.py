"""Products of rows of constant tables, made once when compiling: the product of each row is a row of another table.

    x = take(t, word); y = linear(x, w, b)    ->    y = take(linear(t, w, b), word)

Words have embeddings, and what a cell multiplies first is often the embedding of its word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bough import ops
from bough.graph_passes.values import without_dead
from bough.ir.dtypes import F32, F64
from bough.ir.program import Assign, Function, Node, TensorType, Value
from bough.ir.recursion import Recursion

Array = np.ndarray[Any, Any]
LARGEST = 1 << 26
"""Bytes of all tables that are made for a recursion."""
MOST_WORK = 1 << 33
"""Multiplications for them."""
SHORTEST = 32
"""A sum of fewer products takes less time than reading its result from far away."""
BLOCK = 1 << 12
"""Rows that are multiplied at a time, in float64."""


def tabulate(recursion: Recursion) -> Recursion:
    """The recursion with tables in place of such products, as many as are not too large or too much work."""
    made = _Tables()
    cells = {member: replace(c, function=_Tabulate(c.function, made).run()) for member, c in recursion.cells.items()}
    return replace(recursion, cells=cells)


class _Tables:
    """The tables made so far, each once: cells share the arrays that they are made of."""

    def __init__(self) -> None:
        self.found: dict[tuple[Any, ...], tuple[Array, list[Array | None]]] = {}
        self.size = self.work = 0

    def product(self, op: str, given: list[Array | None], columns: int) -> Array | None:
        """`op` of all rows of the first array and the others; None where that is too much."""
        key = (op, *(None if a is None else id(a) for a in given))
        if key not in self.found:
            table = given[0]
            assert table is not None
            size, work = len(table) * columns * table.itemsize, columns * table.size
            if self.size + size > LARGEST or self.work + work > MOST_WORK:
                return None
            self.size, self.work = self.size + size, self.work + work
            self.found[key] = _in_blocks(op, given, columns), given
        return self.found[key][0]


def _in_blocks(op: str, given: list[Array | None], columns: int) -> Array:
    """Summed up in float64, so that the order of the sums, which depends on the machine, is not seen."""
    table, *others = (None if a is None else a.astype(np.float64) if n else a for n, a in enumerate(given))
    assert table is not None
    out = np.empty((len(table), columns), table.dtype)
    for start in range(0, len(table), BLOCK):
        rows = table[start : start + BLOCK].astype(np.float64)
        (out[start : start + BLOCK],) = ops.evaluate(op, [rows, *others], {}, (TensorType(F64, (len(rows), columns)),))
    return out


class _Tabulate:
    def __init__(self, function: Function, made: _Tables) -> None:
        self.function, self.made = function, made
        self.constants = dict(function.constants)
        self.rows: dict[Value, Assign] = {}
        """Values that are rows of tables, with what takes them from there."""
        self.changed = False

    def run(self) -> Function:
        body = [new for node in self.function.body for new in self.node(node)]
        return without_dead(replace(self.function, body=body, constants=self.constants)) if self.changed else self.function

    def node(self, node: Node) -> list[Node]:
        if not isinstance(node, Assign):
            return [node]
        if node.op in ("take", "embedding") and _is_table(node, self.constants):
            self.rows[node.results[0]] = node
        elif node.op == "reshape" and node.args[0] in self.rows and _is_same_row(node):
            self.rows[node.results[0]] = self.rows[node.args[0]]
        elif node.op in ("linear", "matmul") and node.args[0] in self.rows and self.is_constant(node.args[1:]):
            return self.product(node, self.rows[node.args[0]])
        return [node]

    def is_constant(self, values: Sequence[Value | None]) -> bool:
        return all(v is None or v in self.constants for v in values)

    def product(self, node: Assign, taken: Assign) -> list[Node]:
        """The row of the table of products, in the shape of the product."""
        (result,), (table, index) = node.results, taken.args
        columns = result.type.shape[-1]
        arrays = [None if a is None else self.constants[a] for a in (table, *node.args[1:])]
        products = arrays[1]
        assert table is not None and index is not None and products is not None
        if products.ndim != 2 or not isinstance(columns, int) or (array := self.made.product(node.op, arrays, columns)) is None:
            return [node]
        self.changed = True
        made = Value(f"{result.name}.table", TensorType(table.type.dtype, array.shape), table.location)
        self.constants[made] = array
        row = Value(f"{result.name}.row", TensorType(result.type.dtype, (*index.type.shape, columns)), result.location)
        take = Assign((row,), taken.op, (made, index), taken.attributes, node.location)
        return [take, Assign((result,), "reshape", (row,), {"shape": result.type.shape}, node.location)]


def _is_table(node: Assign, constants: Mapping[Value, Array]) -> bool:
    """Whether rows are taken of a table that is worth multiplying."""
    table = node.args[0]
    if table is None or table not in constants or node.attributes.get("axis", 0) != 0:
        return False
    kind = table.type
    return kind.rank == 2 and kind.dtype in (F32, F64) and constants[table].shape[1] >= SHORTEST


def _is_same_row(node: Assign) -> bool:
    """Whether a reshape of a row adds or leaves out dimensions of one element in front, and no others."""
    given = node.args[0]
    assert given is not None
    shapes = given.type.shape, node.results[0].type.shape
    return all(s and s[-1] == given.type.shape[-1] and all(e == 1 for e in s[:-1]) for s in shapes)
