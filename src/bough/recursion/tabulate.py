"""What depends on a word alone, made for each word when compiling: a function of a row of a constant table is a row of another.

    x = take(t, word); y = linear(x, w, b)                    ->    y = take(linear(t, w, b), word)
    x = take(t, word); y = sigmoid(x) * tanh(x)               ->    y = take(sigmoid(t) * tanh(t), word)

Words have embeddings. What a cell multiplies first is often the embedding of its word, and a leaf's state depends often on
nothing else.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from bough.graph_passes.decisions.walk import reads
from bough.graph_passes.values import without_dead
from bough.ir.program import Assign, Function, Node, TensorType, Value
from bough.ir.recursion import Recursion
from bough.recursion import rows as limits
from bough.recursion.regions import Member
from bough.recursion.rows import PRODUCTS, Row, Rows
from bough.runtime.arrays import allocate

Array = np.ndarray[Any, Any]
BLOCK = 1 << 8
"""Rows that are made at a time, in float64."""


def tabulate(recursion: Recursion) -> Recursion:
    """The recursion with tables in place of such values, as many as are not too large or too much work."""
    tables, plans = _planned(recursion)
    arrays = tables.made()
    cells = {
        member: replace(c, function=_with_tables(c.function, plans[member], arrays)) for member, c in recursion.cells.items()
    }
    return replace(recursion, cells=cells)


def left_out(recursion: Recursion) -> int:
    """How many products of rows `tabulate` leaves as they are, because all tables together are too large or too much work."""
    return len(_planned(recursion)[0].refused)


def _planned(recursion: Recursion) -> tuple[_Tables, dict[Member, Rows]]:
    tables = _Tables()
    return tables, {member: _plan(c.function, tables) for member, c in recursion.cells.items()}


class _Tables:
    """Tables to be made, each once: cells share the arrays that they are made of."""

    def __init__(self) -> None:
        self.wanted: dict[Hashable, Row] = {}
        self.refused: set[Hashable] = set()
        self.products: dict[Hashable, int] = {}
        self.size = 0

    def want(self, row: Row) -> bool:
        """Whether there is room and time for the table."""
        products = {**self.products, **dict(row.products())}
        size = self.size + (0 if row.key in self.wanted else row.size)
        if size > limits.LARGEST or sum(products.values()) > limits.MOST_WORK:
            return False
        self.wanted[row.key], self.size, self.products = row, size, products
        return True

    def made(self) -> dict[Hashable, Array]:
        arrays = {k: allocate(row.size).view(row.dtype.numpy).reshape(row.count, row.width) for k, row in self.wanted.items()}
        for count in {row.count for row in self.wanted.values()}:
            for begin in range(0, count, BLOCK):
                end, known = min(begin + BLOCK, count), dict[Hashable, Array]()
                for key, row in self.wanted.items():
                    if row.count == count:
                        arrays[key][begin:end] = row.evaluate(begin, end, known)
        return arrays


def _plan(function: Function, tables: _Tables) -> Rows:
    """The rows of a function, after asking for the tables that it should read."""
    rows = Rows(function.constants)
    for node in function.body:
        if isinstance(node, Assign):
            rows.learn(node)
    groups: dict[tuple[Value, int], dict[Hashable, Row]] = {}
    for row in _read(function, rows):
        groups.setdefault((row.index, row.count), {})[row.key] = row
    for group in groups.values():
        last = list(group.values())
        products = {p.key: p for row in last for p in _last_products(row)}
        narrow = sum(row.width for row in last) <= sum(p.width for p in products.values())
        for row in last:
            if not (narrow and row.op != "take" and tables.want(row)):
                _want_products(row, tables)
    return rows


def _read(function: Function, rows: Rows) -> Iterator[Row]:
    """The rows that what is no row is made of, and results; whole ones in place of slices."""
    others = [node for node in function.body if not isinstance(node, Assign) or node.results[0] not in rows.found]
    for value in (*(v for node in others for v in reads(node)), *function.results):
        if value in rows.found:
            row = rows.found[value]
            while row.op == "slice":
                (row,) = row.rows
            yield row


def _last_products(row: Row) -> Iterator[Row]:
    """The products, and rows of tables as they are, that a row is made of by functions of its elements."""
    if row.op in ("take", *PRODUCTS):
        yield row
    else:
        for part in row.rows:
            yield from _last_products(part)


def _want_products(row: Row, tables: _Tables) -> None:
    """Asks for the tables of the products that a row is made with, the last ones there is room for."""
    if row.op not in PRODUCTS or not tables.want(row):
        if row.op in PRODUCTS:
            tables.refused.add(row.key)
        for part in row.rows:
            _want_products(part, tables)


def _with_tables(function: Function, rows: Rows, arrays: dict[Hashable, Array]) -> Function:
    """The function with rows of tables where there are such."""
    constants, body, changed = dict(function.constants), list[Node](), False
    for node in function.body:
        row = rows.found.get(node.results[0]) if isinstance(node, Assign) else None
        if row is None or row.key not in arrays or not isinstance(node, Assign):
            body.append(node)
            continue
        (result,), array = node.results, arrays[row.key]
        table = next((v for v, a in constants.items() if a is array), None)
        table = table or Value(f"{result.name}.table", TensorType(row.dtype, array.shape), row.take.location)
        shape = (*row.index.type.shape, row.width)
        taken = Value(f"{result.name}.row", TensorType(row.dtype, shape), result.location)
        constants[table], changed = array, True
        body.append(Assign((taken,), row.take.op, (table, row.index), row.take.attributes, node.location))
        body.append(Assign((result,), "reshape", (taken,), {"shape": result.type.shape}, node.location))
    return without_dead(replace(function, body=body, constants=constants)) if changed else function
