"""Tensors among the arguments of functions of the recursion: what goes down from callers to callees.

    self.node(child, (h, 3))      ->      node at `child`, with (given 0, 3) for its second argument; the caller passes h

Values that nested functions capture go down in the same way.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bough.frontends.staging.per_element import PerElement
from bough.frontends.staging.signals import refuse_source
from bough.frontends.staging.symbols import Arithmetic, Number, Symbol
from bough.frontends.staging.templates import rebuild
from bough.frontends.staging.transform import STAGING


@dataclass(frozen=True, slots=True)
class Handed:
    """The place of argument number `argument` in a nesting of arguments; `number`: it is a number in Python's eyes."""

    argument: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    number: bool

    @property
    def key(self) -> tuple[Any, ...]:
        return "given", self.argument, self.dtype, self.shape, self.number


class Handing:
    """The tensors of one call. `tensor_of` makes tensors of symbolic numbers."""

    def __init__(self, function: types.FunctionType, tensor_of: Callable[[Any], Any]) -> None:
        self.function, self.tensor_of = function, tensor_of
        self.tensors: list[Any] = []
        self.handed: list[Handed] = []

    def apart(self, value: Any) -> Any:
        """The value with its tensors taken out; itself where there are none."""
        before = len(self.tensors)
        made = rebuild(value, self._leaf)
        return made if len(self.tensors) > before else value

    def _leaf(self, value: Any) -> Any:
        number = isinstance(value, Arithmetic)
        if not number and not isinstance(value, (torch.Tensor, PerElement)):
            return value
        tensor = self.tensor_of(value) if number else value
        if any(not isinstance(e, int) for e in tensor.shape):
            raise refuse_source(
                f"`{self.function.__qualname__}` is passed a tensor that is as long as a list of the structure",
                "what goes down has one size for all objects",
                "combine its rows, or let the function walk over the list itself",
            )
        self.tensors.append(tensor)
        self.handed.append(Handed(len(self.handed), tensor.dtype, tuple(tensor.shape), number))
        return self.handed[-1]

    def of_number(self, value: bool | int | float) -> Handed:
        """A plain number that differs from level to level, as one that goes down."""
        self.tensors.append(torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None))
        self.handed.append(Handed(len(self.handed), self.tensors[-1].dtype, (), True))
        return self.handed[-1]


def filled(tree: Any, run: Any) -> Any:
    """The nesting as the callee sees it, in its run."""

    def leaf(value: Any) -> Any:
        if not isinstance(value, Handed):
            return value
        tensor = run.handed_down(value.argument, value.dtype, value.shape)
        return Number(run, tensor) if value.number else tensor

    return rebuild(tree, leaf) if holds_handed(tree) else tree


def holds_handed(tree: Any) -> bool:
    found: list[Any] = []
    rebuild(tree, lambda v: found.append(v) if isinstance(v, Handed) else None)
    return bool(found)


Cells = dict[int, tuple[types.CellType, Any]]
"""Cells of functions around a nested one, by id, with the nesting that stands for what they hold."""


def captured_tensors(handing: Handing) -> Cells:
    """What the function, and functions that it captures, take from around them and is computed."""
    found: Cells = {}
    for cell in all_cells(handing.function):
        value = content(cell)
        if not isinstance(value, (types.FunctionType, Symbol)):
            apart = handing.apart(value)
            if apart is not value:
                found[id(cell)] = cell, apart
    return found


def all_cells(function: types.FunctionType) -> list[types.CellType]:
    """The cells of a function and of those in its cells, each once."""
    cells: dict[int, types.CellType] = {}
    work = [function]
    while work:
        for cell in _cells(work.pop()):
            if id(cell) not in cells:
                cells[id(cell)] = cell
                value = content(cell)
                if isinstance(value, types.FunctionType):
                    work.append(value)
    return list(cells.values())


def _cells(function: types.FunctionType) -> list[types.CellType]:
    names = function.__code__.co_freevars
    return [c for n, c in zip(names, function.__closure__ or (), strict=True) if n != STAGING]


_EMPTY = object()


def content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return _EMPTY


def with_cells(function: types.FunctionType, cells: Cells, run: Any) -> types.FunctionType:
    """A copy of the function that sees other values in some cells, as do the functions that it captures."""
    if not cells:
        return function
    new = {number: types.CellType(filled(tree, run)) for number, (_, tree) in cells.items()}
    functions: dict[int, types.FunctionType] = {}

    def copied(of: types.FunctionType) -> types.FunctionType:
        if id(of) in functions:
            return functions[id(of)]
        closure = tuple(new.setdefault(id(c), types.CellType()) for c in of.__closure__ or ())
        made = types.FunctionType(of.__code__, of.__globals__, of.__name__, of.__defaults__, closure)
        made.__kwdefaults__, made.__qualname__, made.__module__ = of.__kwdefaults__, of.__qualname__, of.__module__
        functions[id(of)] = made
        _fill(of.__closure__ or (), closure, cells, copied)
        return made

    return copied(function)


def _fill(
    old: Sequence[types.CellType], new: Sequence[types.CellType], cells: Cells,
    copied: Callable[[types.FunctionType], types.FunctionType],
) -> None:  # fmt: skip
    for before, after in zip(old, new, strict=True):
        value = content(before)
        if id(before) not in cells and value is not _EMPTY:
            after.cell_contents = copied(value) if isinstance(value, types.FunctionType) else value
