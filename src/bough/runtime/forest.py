"""Structures that are flat already: objects given by columns, without a Python object for each.

    forest = Forest.from_parents(parent, children=("left", "right"), word=words)
    compiled(forest[0]); compiled.map(forest.roots())

A node of a forest stands wherever an object is expected: as an argument of a compiled function, which reads the columns in
place, and of the plain module, since its attributes read as those of any object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bough.base.errors import InputError
from bough.runtime.arrays import Array, is_torch


@dataclass(frozen=True, slots=True)
class Lists:
    """A column of lists of objects: object i has those numbered `items[first[i]:first[i + 1]]`."""

    first: Array
    items: Array


class Forest:
    """Objects 0 .. n-1. Object i has one attribute for each column:

    - of `references`, int64 [n]: the object of that number, or None for -1,
    - of `lists`: a list of objects,
    - of `values` [n, ...], arrays or tensors: row i, which is a Python number where the column has one axis.

    Objects may be shared, but no object may lie below itself. Columns must not change while the forest is in use.
    """

    def __init__(
        self,
        references: Mapping[str, Any] | None = None,
        lists: Mapping[str, Lists] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> None:
        self.references = {name: _indices(name, column) for name, column in (references or {}).items()}
        self.lists = {n: Lists(_indices(n, c.first), _indices(n, c.items)) for n, c in (lists or {}).items()}
        self.values = {name: column if is_torch(column) else np.asarray(column) for name, column in (values or {}).items()}
        self._size = _common_size(self)
        self._nodes: dict[int, FlatNode] = {}

    @classmethod
    def from_parents(cls, parents: Any, children: str | Sequence[str] = "children", **values: Any) -> Forest:
        """Trees by the parent of each node, -1 for roots. Children are in the order of their numbers.

        `children` is the name of the list of children; or the names of the attributes that hold the first child, the second,
        ..., and None where there is none.
        """
        parents = _indices("parents", parents)
        _check_range("parents", parents, len(parents))
        order = np.argsort(parents, kind="stable")
        order = order[np.searchsorted(parents[order], 0) :]
        counts = np.bincount(parents[order], minlength=len(parents))
        first = np.concatenate(([0], np.cumsum(counts)))
        if isinstance(children, str):
            return cls(lists={children: Lists(first, order)}, values=values)
        if len(counts) and counts.max() > len(children):
            raise _unfit(f"node {int(counts.argmax())} has {int(counts.max())} children", f"only {len(children)} have a name")
        references = {}
        for n, name in enumerate(children):
            column = np.full(len(parents), -1, np.int64)
            has = counts > n
            column[has] = order[first[:-1][has] + n]
            references[name] = column
        return cls(references, values=values)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, number: int) -> FlatNode:
        """Object `number`; the same Python object each time."""
        if not 0 <= number < self._size:
            raise IndexError(f"a forest of {self._size} objects has no number {number}")
        found = self._nodes.get(number)
        return found if found is not None else self._nodes.setdefault(number, FlatNode(self, number))

    def roots(self) -> list[FlatNode]:
        """The objects that no other refers to, in order."""
        inner = np.zeros(self._size, bool)
        for column in (*self.references.values(), *(c.items for c in self.lists.values())):
            inner[column[column >= 0]] = True
        return [self[int(n)] for n in np.flatnonzero(~inner)]


class FlatNode:
    """An object of a forest."""

    __slots__ = ("forest", "index")

    def __init__(self, forest: Forest, index: int) -> None:
        self.forest, self.index = forest, index

    def __getattr__(self, name: str) -> Any:
        forest, index = self.forest, self.index
        if name in forest.references:
            target = int(forest.references[name][index])
            return None if target < 0 else forest[target]
        if name in forest.lists:
            column = forest.lists[name]
            return [forest[int(n)] for n in column.items[column.first[index] : column.first[index + 1]]]
        if name in forest.values:
            row = forest.values[name][index]
            return row.item() if row.ndim == 0 else row
        raise AttributeError(f"the forest has no column {name!r}")

    def __repr__(self) -> str:
        return f"{self.forest!r}[{self.index}]"


def _common_size(forest: Forest) -> int:
    sizes = {n: len(c) for n, c in (*forest.references.items(), *forest.values.items())}
    sizes |= {n: len(c.first) - 1 for n, c in forest.lists.items()}
    if len(set(sizes.values())) != 1:
        found = ", ".join(f"{size} ({n})" for n, size in sizes.items()) or "no"
        raise _unfit(f"the columns have {found} rows", "all need as many")
    size = next(iter(sizes.values()))
    for name, column in forest.references.items():
        _check_range(name, column, size)
    for name, lists in forest.lists.items():
        _check_range(name, lists.items, size, 0)
        if lists.first[0] != 0 or lists.first[-1] != len(lists.items) or (np.diff(lists.first) < 0).any():
            raise _unfit(f"the lists of column {name} are no parts of its items", "`first` rises from 0 to their number")
    return size


def _check_range(name: str, column: Array, size: int, low: int = -1) -> None:
    wrong = np.flatnonzero((column < low) | (column >= size))
    if len(wrong):
        n = int(wrong[0])
        raise _unfit(f"element {n} of {name} is {int(column[n])}", f"there are {size} objects, numbered from 0")


def _indices(name: str, column: Any) -> Array:
    array = np.asarray(column)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise _unfit(f"{name} is {array.dtype.name} of shape {list(array.shape)}", "it numbers objects")
    return np.ascontiguousarray(array, np.int64)


def _unfit(what: str, because: str) -> InputError:
    return InputError(what, code="BGH-ST-007", because=because, advice="see bough.Forest")
