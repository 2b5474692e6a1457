"""Which values of a cell are functions of one row of constant tables, such as the state of a leaf that is made of its word alone.

    x = take(e, word);  i, u = split(linear(x, w, b));  c = sigmoid(i) * tanh(u)      x, i, u and c are the same for the same word
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bough import ops
from bough.ir.dtypes import F32, F64, DType
from bough.ir.expr import Extent
from bough.ir.program import Assign, TensorType, Value

Array = np.ndarray[Any, Any]
SHORTEST = 32
"""A sum of fewer products takes less time than reading its result from far away."""
LARGEST = 1 << 26
"""Bytes of all tables that are made for a recursion."""
MOST_WORK = 1 << 33
"""Multiplications for them."""
PRODUCTS = ("linear", "matmul")
FUNCTIONS = frozenset({
    "abs", "add", "elu", "erf", "gelu", "gelu_tanh", "leaky_relu", "max", "min", "mul", "neg", "relu", "relu6", "sigmoid", "silu",
    "softplus", "softsign", "square", "sub", "tanh",
})  # fmt: skip
"""Functions of elements without steps, so that they mean the same in the float64 of tables as anywhere."""


@dataclass(frozen=True, eq=False)
class Row:
    """A row of a table, where `op` is "take", or what an operator makes of constants and rows that have the index of `take`.

    Rows of the same `key` are the same function of their index. `count` is the length of the tables.
    """

    op: str
    args: tuple[Row | Array | None, ...]
    attributes: Mapping[str, Any]
    dtype: DType
    width: int
    take: Assign

    @cached_property
    def key(self) -> Hashable:
        given = tuple(a.key if isinstance(a, Row) else None if a is None else id(a) for a in self.args)
        return self.op, given, tuple(sorted((k, repr(v)) for k, v in self.attributes.items())), self.width

    @cached_property
    def count(self) -> int:
        return self.rows[0].count if self.rows else len(self._table)

    @property
    def _table(self) -> Array:
        (table,) = self.args
        assert isinstance(table, np.ndarray)
        return table

    @property
    def index(self) -> Value:
        index = self.take.args[1]
        assert index is not None
        return index

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(a for a in self.args if isinstance(a, Row))

    @property
    def size(self) -> int:
        """The bytes of the table of this row for each index."""
        return self.count * self.width * self.dtype.bytes

    def products(self) -> Iterator[tuple[Hashable, int]]:
        """The products that it is made with, and the multiplications of each for the whole table."""
        for row in self.rows:
            yield from row.products()
        if self.op in PRODUCTS:
            yield self.key, self.count * self.width * self.rows[0].width

    def is_possible(self) -> bool:
        """Whether its table is made, if it is the only one."""
        return self.size <= LARGEST and sum(dict(self.products()).values()) <= MOST_WORK

    def evaluate(self, begin: int, end: int, known: dict[Hashable, Array]) -> Array:
        """[end - begin, width] in float64, where the order of sums, which depends on the machine, is not seen after rounding.
        `known` are the rows that have been evaluated there."""
        if self.key not in known:
            known[self.key] = self._evaluate(begin, end, known)
        return known[self.key]

    def _evaluate(self, begin: int, end: int, known: dict[Hashable, Array]) -> Array:
        if self.op == "take":
            return self._table[begin:end].astype(np.float64)
        given: list[Array | None] = []
        for a in self.args:
            if a is None or isinstance(a, Row):
                given.append(a.evaluate(begin, end, known) if a else None)
            else:
                given.append((a.ravel() if self.op in FUNCTIONS else a).astype(np.float64))
        (result,) = ops.evaluate(self.op, given, self.attributes, (TensorType(F64, (end - begin, self.width)),))
        return result


class Rows:
    """The rows among the values of a cell, as its assignments are gone through."""

    def __init__(self, constants: Mapping[Value, Array]) -> None:
        self.constants = constants
        self.found: dict[Value, Row] = {}

    def learn(self, node: Assign) -> Row | None:
        """The row that an assignment gives, if it does."""
        result, args = node.results[0], node.args
        row = self._table(node) if node.op in ("take", "embedding") else self._of_rows(node) if self._is_of_rows(args) else None
        if row is not None and (node.op not in PRODUCTS or row.is_possible()):
            self.found[result] = row
            return row
        return None

    def _table(self, node: Assign) -> Row | None:
        """A row of a table that is worth multiplying."""
        table = node.args[0]
        if table is None or table not in self.constants or node.attributes.get("axis", 0) != 0 or table.type.rank != 2:
            return None
        array, dtype = self.constants[table], table.type.dtype
        is_worth = dtype in (F32, F64) and array.shape[1] >= SHORTEST
        return Row("take", (array,), {}, dtype, array.shape[1], node) if is_worth else None

    def _is_of_rows(self, args: tuple[Value | None, ...]) -> bool:
        """Whether all are rows with one index or constants, and at least one is a row."""
        rows = [self.found[a] for a in args if a in self.found]
        rest = all(a is None or a in self.found or a in self.constants for a in args)
        return bool(rows) and rest and len({(r.index, r.count, r.dtype, r.take.op, repr(r.take.attributes)) for r in rows}) == 1

    def _of_rows(self, node: Assign) -> Row | None:
        """What an operator makes of rows, each for itself."""
        result, rows = node.results[0], [a for a in node.args if a in self.found]
        if not result.type.shape or not isinstance(width := result.type.shape[-1], int) or len(node.results) > 1:
            return None
        row, attributes = self.found[rows[0]], dict(node.attributes)
        if node.op == "reshape":
            return row if row.width == width else None
        if node.op in PRODUCTS:
            fits = rows == [node.args[0]] and node.args[1] is not None and node.args[1].type.rank == 2
        elif node.op in ("slice", "concat"):
            fits = attributes["axis"] in (-1, result.type.rank - 1) and len(rows) == len(node.args)
            attributes["axis"] = 1
        else:
            fits = node.op in FUNCTIONS and all(self._is_beside(a, width) for a in node.args)
        if not fits or result.type.dtype != row.dtype or any(_lead(a) != _lead(result) for a in rows):
            return None
        args = tuple(a if a is None else self.found.get(a, self.constants.get(a)) for a in node.args)
        return Row(node.op, args, attributes, row.dtype, width, row.take)

    def _is_beside(self, operand: Value | None, width: int) -> bool:
        """Whether an operand has an element for each of a row so wide, or one for all."""
        if operand is None or operand in self.found:
            return operand is None or self.found[operand].width == width
        array = self.constants[operand]
        return array.size == 1 or (array.size == width and array.shape[-1] == width)


def _lead(v: Value) -> list[Extent]:
    """How many rows a value has: its dimensions but the last, those of one element left out."""
    return [e for e in v.type.shape[:-1] if e != 1]
