"""Products by parts, where these are less work: with matrices that are diagonals and products of low rank without these matrices,
and with rows of constant tables apart from the rest, so that they can be made when compiling (`tabulate`).

    m = diag(d) + t @ v;  y = w @ m    ->    y = w * d + (w @ t) @ v
    m = diag(d) + t @ v;  y = m @ x    ->    y = d * x + t @ (v @ x)
    w @ concat(a, b)                   ->    w[:, :n] @ a + w[:, n:] @ b, where a or b is such a matrix
    linear(concat(x, h), w, b)         ->    linear(x, w[:, :n], b) + linear(h, w[:, n:]), where x or h is such a row

What is left where the matrix is still needed as it is computes that, too, so whether this gains shows in the work of the whole
(`work`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from bough import ops
from bough.base.source import Location
from bough.graph_passes.values import without_dead
from bough.ir.expr import Extent
from bough.ir.program import Assign, Function, Node, Value
from bough.recursion.rows import PRODUCTS, Rows

Array = np.ndarray[Any, Any]
LARGEST = 1 << 22
"""Elements of what is looked at for being a diagonal's mask."""


@dataclass(frozen=True, slots=True)
class Diagonal:
    """The matrix with the elements of `row`, [1, n], on its diagonal."""

    row: Value


@dataclass(frozen=True, slots=True)
class LowRank:
    """`tall @ wide`, whose inner dimension is less than half of the outer ones."""

    tall: Value
    wide: Value


Term = Diagonal | LowRank


class Weights:
    """Arrays of weights by parts, which cells share. What is taken apart in one cell is in all, so that no weights are held in
    two ways."""

    def __init__(self) -> None:
        self.parts: dict[tuple[int, int, int], Array] = {}
        self.apart: dict[int, Array] = {}

    def columns(self, array: Array, begin: int, end: int) -> Array:
        self.apart[id(array)] = array
        key = id(array), begin, end
        if key not in self.parts:
            self.parts[key] = np.ascontiguousarray(array[:, begin:end])
        return self.parts[key]


def factored(function: Function, weights: Weights) -> Function:
    """The function with such products by parts; with those, too, of which the weights are apart already."""
    return without_dead(_Factored(function, weights).run())


def work(function: Function) -> int:
    """The multiplications of a function's products, those inside of control and those that `tabulate` makes left out: one for
    each element of a result and of what it is summed over."""
    total, rows = 0, Rows(function.constants)
    for node in function.body:
        if not isinstance(node, Assign):
            continue
        row = rows.learn(node)
        if node.op in PRODUCTS and node.args[0] is not None and row is None:
            shape = (*node.results[0].type.shape, node.args[0].type.shape[-1])
            total += prod(e for e in shape if isinstance(e, int))
    return total


class _Factored:
    def __init__(self, function: Function, weights: Weights) -> None:
        self.function, self.weights = function, weights
        self.constants = dict(function.constants)
        self.body: list[Node] = []
        self.location: Location | None = None
        self.known: dict[Value, Array] = {}
        """What can be told without the call, of whole numbers and of truth."""
        self.terms: dict[Value, tuple[Term, ...]] = {}
        """Matrices as sums."""
        self.joined: dict[Value, tuple[Value, ...]] = {}
        """Matrices of others below each other."""
        self.beside: dict[Value, tuple[Value, ...]] = {}
        """Vectors of others behind each other."""
        self.rows = Rows(self.constants)

    def run(self) -> Function:
        for node in self.function.body:
            if isinstance(node, Assign):
                self.node(node)
            else:
                self.body.append(node)
        return replace(self.function, body=self.body, constants=self.constants)

    def node(self, node: Assign) -> None:
        self.location = node.location
        made = None
        if node.op == "matmul" and all(a is not None and _is_matrix(a) for a in node.args):
            made = self.product(node)
        elif node.op == "linear":
            made = self.linear(node)
        if made is None:
            self.body.append(node)
            self.learn(node)
            return
        self.body.append(replace(node, op="reshape", args=(made,), attributes={"shape": node.results[0].type.shape}))

    # ------------------------------------------------------------------------------------------- what values are made of

    def learn(self, node: Assign) -> None:
        result, args = node.results[0], [a for a in node.args if a is not None]
        self.evaluate(node, args)
        self.rows.learn(node)
        match node.op:
            case "select" if (row := self.diagonal(*args)) is not None:
                self.terms[result] = (Diagonal(row),)
            case "matmul" if all(map(_is_matrix, args)) and 2 * _size(args[0], 1) < min(_size(args[0], 0), _size(args[1], 1)):
                self.terms[result] = (LowRank(*args),)
            case "add" if all(a in self.terms and a.type == result.type for a in args):
                self.terms[result] = (*self.terms[args[0]], *self.terms[args[1]])
            case "concat" if node.attributes["axis"] in (0, -2) and all(map(_is_matrix, args)):
                self.joined[result] = tuple(args)
            case "concat" if node.attributes["axis"] in (-1, result.type.rank - 1) and all(map(_is_float, args)):
                self.beside[result] = tuple(args)

    def evaluate(self, node: Assign, args: list[Value]) -> None:
        (result, *others), given = node.results, [self.value(a) for a in args]
        whole = result.type.dtype.kind in ("int", "bool") and all(isinstance(e, int) for e in result.type.shape)
        small = prod(e for e in result.type.shape if isinstance(e, int)) <= LARGEST
        if whole and small and not others and all(a is not None for a in given):
            (self.known[result],) = ops.evaluate(node.op, given, node.attributes, (result.type,))

    def value(self, v: Value) -> Array | None:
        return self.known.get(v, self.constants.get(v))

    def diagonal(self, where: Value, then: Value, otherwise: Value) -> Value | None:
        """The row that is chosen on the diagonal, where zero is everywhere else."""
        mask, zero = self.value(where), self.value(otherwise)
        if (
            mask is None
            or zero is None
            or zero.any()
            or mask.ndim != 2
            or not np.array_equal(mask, np.eye(len(mask), dtype=bool))
        ):
            return None
        n = len(mask)
        return (
            then
            if then.type.shape == (1, n)
            else self.assign("reshape", (then,), shape=(1, n))
            if then.type.shape == (n,)
            else None
        )

    # ------------------------------------------------------------------------------------------------------------ products

    def product(self, node: Assign) -> Value | None:
        """The product by parts; None where that is more work."""
        a, b = node.args
        assert a is not None and b is not None
        if a in self.terms and self.gains(self.terms[a], a, _size(b, 1)):
            return self.sum([self.from_left(term, b) for term in self.terms[a]])
        if b in self.terms and self.gains(self.terms[b], b, _size(a, 0)):
            return self.sum([self.from_right(a, term) for term in self.terms[b]])
        if b in self.joined and a in self.constants and self.is_apart(a, any(self.is_worth(part, a) for part in self.joined[b])):
            parts = self.split(a, self.joined[b], 0)
            return self.sum([value for part, w in parts for value in self.parts_of(w, part)])
        return None

    def linear(self, node: Assign) -> Value | None:
        """The product of joined vectors by parts; None where none is the row of a table."""
        x, w, *bias = node.args
        assert x is not None and w is not None
        if x not in self.beside or w not in self.constants or any(b is not None and b not in self.constants for b in bias):
            return None
        if not self.is_apart(w, any(part in self.rows.found for part in self.beside[x])):
            return None
        (first, weights), *others = self.split(w, self.beside[x], -1)
        products = [self.assign("linear", (first, weights, *bias))]
        return self.sum([*products, *(self.assign("linear", (part, of, *(None for _ in bias))) for part, of in others)])

    def is_apart(self, weights: Value, wanted: bool) -> bool:
        return wanted or id(self.constants[weights]) in self.weights.apart

    def split(self, weights: Value, parts: Sequence[Value], axis: int) -> list[tuple[Value, Value]]:
        """Each part with the columns of the weights that it is multiplied by."""
        ends = np.cumsum([0, *(_size(part, axis) for part in parts)])
        return [(part, self.columns(weights, int(begin), int(end))) for part, begin, end in zip(parts, ends, ends[1:])]

    def is_worth(self, part: Value, a: Value) -> bool:
        return part in self.terms and self.gains(self.terms[part], part, _size(a, 0))

    def parts_of(self, w: Value, part: Value) -> list[Value]:
        if self.is_worth(part, w):
            return [self.from_right(w, term) for term in self.terms[part]]
        return [self.assign("matmul", (w, part))]

    def gains(self, terms: Sequence[Term], matrix: Value, others: int) -> bool:
        """Whether products with the terms are less work than half of that with the matrix, of `others` rows or columns."""
        outer = _size(matrix, 0) + _size(matrix, 1)
        each = [others * (outer * _size(t.tall, 1) if isinstance(t, LowRank) else outer // 2) for t in terms]
        return 2 * sum(each) < others * _size(matrix, 0) * _size(matrix, 1)

    def from_left(self, term: Term, x: Value) -> Value:
        if isinstance(term, LowRank):
            return self.assign("matmul", (term.tall, self.assign("matmul", (term.wide, x))))
        column = self.assign("reshape", (term.row,), shape=(_size(term.row, 1), 1))
        return self.assign("mul", (column, x))

    def from_right(self, w: Value, term: Term) -> Value:
        if isinstance(term, LowRank):
            return self.assign("matmul", (self.assign("matmul", (w, term.tall)), term.wide))
        return self.assign("mul", (w, term.row))

    def sum(self, values: list[Value]) -> Value:
        total = values[0]
        for value in values[1:]:
            total = self.assign("add", (total, value))
        return total

    def columns(self, w: Value, begin: int, end: int) -> Value:
        array = self.weights.columns(self.constants[w], begin, end)
        found = next((v for v, a in self.constants.items() if a is array), None)
        part = found or Value(f"{w.name}.{begin}", replace(w.type, shape=array.shape), w.location)
        self.constants[part] = array
        return part

    def assign(self, op: str, args: tuple[Value | None, ...], **attributes: Any) -> Value:
        (kind,) = ops.infer(op, tuple(None if a is None else a.type for a in args), attributes)
        result = Value(f"{op}.factored{len(self.body)}", kind, self.location)
        self.body.append(Assign((result,), op, args, attributes, self.location))
        return result


def _is_matrix(v: Value) -> bool:
    return v.type.rank == 2 and _is_float(v) and isinstance(v.type.shape[0], int)


def _is_float(v: Value) -> bool:
    """Whether it is of floats, and its rows of a length that is known."""
    return v.type.dtype.kind == "float" and v.type.rank > 0 and isinstance(v.type.shape[-1], int)


def _size(v: Value, axis: int) -> int:
    extent: Extent = v.type.shape[axis]
    assert isinstance(extent, int)
    return extent
