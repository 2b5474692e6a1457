"""The arrays of a lowered recursion: index arrays, constants, states, lists and temporaries, each by one name."""

from __future__ import annotations

from typing import Any

import numpy as np

from bough.base.visits import Names
from bough.ir.dtypes import DType
from bough.ir.expr import Const as Number
from bough.ir.expr import Expr, Extent, Var, add, as_extent
from bough.ir.kernel import Operand
from bough.ir.program import TensorType
from bough.ir.recursion import Recursion
from bough.recursion.tables import tables, variants


class Arrays:
    """Names and types of all arrays; those of constants with equal contents are one."""

    def __init__(self, recursion: Recursion) -> None:
        self.recursion = recursion
        self.tables = tables(recursion.visits)
        self.temporaries: dict[str, Operand] = {}
        self.decided: set[str] = set()  # names that control on computed values has made
        self.constants: dict[str, np.ndarray[Any, Any]] = {}
        self.constant_types: dict[str, DType] = {}
        self.known: dict[tuple[object, ...], list[Operand]] = {}
        """The constants by type, shape and first element."""
        self.lists = self.make_lists()

    def temporary(self, name: str, dtype: DType, shape: tuple[Extent, ...]) -> Operand:
        self.temporaries[name] = found = Operand(name, dtype, shape)
        return found

    def constant(self, name: str, array: np.ndarray[Any, Any], dtype: DType) -> Operand:
        """A constant, called `name` if none has its contents yet."""
        same = self.known.setdefault((dtype, array.shape, array[(slice(1),) * array.ndim].tobytes()), [])
        for known in same:
            held = self.constants[known.name]
            if held is array or np.array_equal(_bits(held), _bits(array)):
                return known
        self.constants[name], self.constant_types[name] = array, dtype
        same.append(Operand(name, dtype, array.shape))
        return same[-1]

    def state(self, function: str, result: int) -> Operand:
        """Result number `result` of all activations of a function, variant after variant."""
        name = f"{function}.state{result}"
        if name not in self.temporaries:
            of = self.recursion.results[function][result]
            self.temporary(name, of.dtype, (as_extent(self.offset(function, None)), *of.shape))
        return self.temporaries[name]

    def given(self, function: str, argument: int) -> Operand:
        """What callers pass down as an argument of all activations of a function, variant after variant."""
        name = f"{function}.given{argument}"
        if name not in self.temporaries:
            of = self.recursion.arguments_of(function)[argument]
            self.temporary(name, of.dtype, (as_extent(self.offset(function, None)), *of.shape))
        return self.temporaries[name]

    def context(self, result: int, of: TensorType) -> Operand:
        """Result number `result` of the entry's cell, which other activations take, for each activation of the entry."""
        name = f"context{result}"
        if name not in self.temporaries:
            entry = self.recursion.visits.entry
            self.temporary(name, of.dtype, (as_extent(self.offset(entry, None)), *of.shape))
        return self.temporaries[name]

    def offset(self, function: str, variant: int | None) -> Expr:
        """Where a variant's activations begin in the state; None: where all end."""
        total: Expr = Number(0)
        for v in range(len(self.recursion.visits.function(function).variants) if variant is None else variant):
            total = add(total, Var(Names.count(function, v)))
        return total

    def rows(self, result: int) -> Operand:
        """A result of the entry that has a row for each element of a list."""
        name = f"rows{result}"
        if name not in self.temporaries:
            of = self.recursion.results[self.recursion.visits.entry][result]
            length = self.lists[self.recursion.rows[result]].shape[0]
            self.temporary(name, of.dtype, (length, *of.shape))
        return self.temporaries[name]

    def make_lists(self) -> list[Operand]:
        """The collected lists, in order."""
        lengths: dict[int, Expr] = {}
        types: dict[int, TensorType] = {}
        for (f, v), variant in variants(self.recursion.visits).items():
            for c in variant.collects:
                lengths[c.list] = add(lengths.get(c.list, Number(0)), Var(Names.count(f, v)))
                types[c.list] = self.recursion.cells[f, v].function.results[c.result].type
        return [self.temporary(f"list{n}", types[n].dtype, (as_extent(lengths[n]), *types[n].shape)) for n in sorted(lengths)]


def _bits(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The contents so that each is equal to itself alone."""
    contents = np.ascontiguousarray(array)
    return contents.reshape(-1).view(np.uint8)
