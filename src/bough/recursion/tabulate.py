"""Products of rows of constant tables, made once when compiling: the product of each row is a row of another table.

    x = take(t, word); y = linear(x, w, b)          ->    y = take(linear(t, w, b), word)
    x = tanh(take(t, word)); y = linear(x, w, b)    ->    y = take(linear(tanh(t), w, b), word)

Words have embeddings, and what a cell multiplies first is often the embedding of its word.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bough import ops
from bough.graph_passes.values import without_dead
from bough.ir.dtypes import F64
from bough.ir.program import Assign, Function, Node, TensorType, Value
from bough.ir.recursion import Recursion
from bough.recursion.rows import Row, Rows

Array = np.ndarray[Any, Any]
LARGEST = 1 << 26
"""Bytes of all tables that are made for a recursion."""
MOST_WORK = 1 << 33
"""Multiplications for them."""
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

    def product(self, op: str, functions: tuple[str, ...], given: list[Array | None], columns: int) -> Array | None:
        """`op` of all rows of the first array, `functions` applied to them, and the others; None where that is too much."""
        key = (op, functions, *(None if a is None else id(a) for a in given))
        if key not in self.found:
            table = given[0]
            assert table is not None
            size, work = _cost(table, columns)
            if self.size + size > LARGEST or self.work + work > MOST_WORK:
                return None
            self.size, self.work = self.size + size, self.work + work
            self.found[key] = _in_blocks(op, functions, given, columns), given
        return self.found[key][0]


def is_possible(table: Array, columns: int) -> bool:
    """Whether a table of products that are so wide is made of the rows of another, if there are no more."""
    size, work = _cost(table, columns)
    return size <= LARGEST and work <= MOST_WORK


def _cost(table: Array, columns: int) -> tuple[int, int]:
    """The bytes of a table of products that are so wide, and the multiplications for it."""
    return len(table) * columns * table.itemsize, columns * table.size


def _in_blocks(op: str, functions: tuple[str, ...], given: list[Array | None], columns: int) -> Array:
    """Summed up in float64, so that the order of the sums, which depends on the machine, is not seen."""
    table, *others = (None if a is None else a.astype(np.float64) if n else a for n, a in enumerate(given))
    assert table is not None
    out = np.empty((len(table), columns), table.dtype)
    for start in range(0, len(table), BLOCK):
        rows = table[start : start + BLOCK].astype(np.float64)
        for name in functions:
            (rows,) = ops.evaluate(name, [rows], {}, (TensorType(F64, rows.shape),))
        (out[start : start + BLOCK],) = ops.evaluate(op, [rows, *others], {}, (TensorType(F64, (len(rows), columns)),))
    return out


class _Tabulate:
    def __init__(self, function: Function, made: _Tables) -> None:
        self.function, self.made = function, made
        self.constants = dict(function.constants)
        self.rows = Rows(self.constants)
        self.changed = False

    def run(self) -> Function:
        body = [new for node in self.function.body for new in self.node(node)]
        return without_dead(replace(self.function, body=body, constants=self.constants)) if self.changed else self.function

    def node(self, node: Node) -> list[Node]:
        if not isinstance(node, Assign):
            return [node]
        row = self.rows.product(node)
        if row is not None:
            return self.product(node, row)
        self.rows.learn(node)
        return [node]

    def product(self, node: Assign, row: Row) -> list[Node]:
        """The row of the table of products, in the shape of the product."""
        (result,), (table, index) = node.results, row.take.args
        columns = result.type.shape[-1]
        arrays = [None if a is None else self.constants[a] for a in (table, *node.args[1:])]
        assert table is not None and index is not None and isinstance(columns, int)
        if (array := self.made.product(node.op, row.functions, arrays, columns)) is None:
            return [node]
        self.changed = True
        made = Value(f"{result.name}.table", TensorType(table.type.dtype, array.shape), table.location)
        self.constants[made] = array
        taken = Value(f"{result.name}.row", TensorType(result.type.dtype, (*index.type.shape, columns)), result.location)
        take = Assign((taken,), row.take.op, (made, index), row.take.attributes, node.location)
        return [take, Assign((result,), "reshape", (taken,), {"shape": result.type.shape}, node.location)]
