"""Structures that are flat already: objects given by columns, without a Python object for each.

    forest = Forest.from_parents(parent, children=("left", "right"), classes=Tree, word=words)
    compiled(forest[0]); compiled.map(forest.roots())

A node of a forest stands wherever an object is expected: as an argument of a compiled function, which reads the columns in
place, and of the plain module, since its attributes read as those of any object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
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

    Its class is a subclass of `classes`, or of `classes[kinds[i]]` where there are several, so that it has their methods and
    properties too. Objects may be shared, but no object may lie below itself. Columns must not change while the forest is in use.
    """

    def __init__(
        self,
        references: Mapping[str, Any] | None = None,
        lists: Mapping[str, Lists] | None = None,
        values: Mapping[str, Any] | None = None,
        *,
        classes: type | Sequence[type] | None = None,
        kinds: Any = None,
    ) -> None:
        self.references = {name: _indices(name, column) for name, column in (references or {}).items()}
        self.lists = {n: Lists(_indices(n, c.first), _indices(n, c.items)) for n, c in (lists or {}).items()}
        self.values = {name: _values(column) for name, column in (values or {}).items()}
        self._size = _common_size(self)
        self.classes = tuple(classes) if isinstance(classes, Sequence) else (classes or object,)
        self.kinds = np.zeros(self._size, np.int64) if kinds is None else _indices("kinds", kinds)
        _check_kinds(self)
        self._nodes: dict[int, Any] = {}

    @classmethod
    def from_parents(
        cls,
        parents: Any,
        children: str | Sequence[str] = "children",
        *,
        classes: type | Sequence[type] | None = None,
        kinds: Any = None,
        **values: Any,
    ) -> Forest:
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
            return cls(lists={children: Lists(first, order)}, values=values, classes=classes, kinds=kinds)
        if len(counts) and counts.max() > len(children):
            raise _unfit(f"node {int(counts.argmax())} has {int(counts.max())} children", f"only {len(children)} have a name")
        references = {}
        for n, name in enumerate(children):
            column = np.full(len(parents), -1, np.int64)
            has = counts > n
            column[has] = order[first[:-1][has] + n]
            references[name] = column
        return cls(references, values=values, classes=classes, kinds=kinds)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, number: int) -> Any:
        """Object `number`; the same Python object each time."""
        if not 0 <= number < self._size:
            raise IndexError(f"a forest of {self._size} objects has no number {number}")
        found = self._nodes.get(number)
        if found is None:
            found = _node(self, number, node_class(self.classes[self.kinds[number]]))
        return self._nodes.setdefault(number, found)

    def read(self, index: int, name: str) -> Any:
        """Attribute `name` of object `index`. Raises KeyError where there is no such column."""
        if name in self.references:
            target = int(self.references[name][index])
            return None if target < 0 else self[target]
        if name in self.lists:
            column = self.lists[name]
            return [self[int(n)] for n in column.items[column.first[index] : column.first[index + 1]]]
        row = self.values[name][index]
        return row.item() if row.ndim == 0 else row

    def roots(self) -> list[Any]:
        """The objects that no other refers to, in order."""
        inner = np.zeros(self._size, bool)
        for column in (*self.references.values(), *(c.items for c in self.lists.values())):
            inner[column[column >= 0]] = True
        return [self[int(n)] for n in np.flatnonzero(~inner)]


class FlatType(type):
    """The type of the classes of objects of forests."""


@cache
def node_class(of: Any) -> Any:
    """The class of objects of forests that stand for objects of class `of`."""
    meta: Any = FlatType if type(of) is type else type("FlatType", (FlatType, type(of)), {})

    def read(self: Any, name: str) -> Any:
        forest, index = object.__getattribute__(self, "forest"), object.__getattribute__(self, "index")
        try:
            return forest.read(index, name)
        except KeyError:
            return of.__getattribute__(self, name)

    body = {"__slots__": ("forest", "index"), "__getattribute__": read, "__module__": of.__module__,
            "__qualname__": of.__qualname__}  # fmt: skip
    return meta(of.__name__, (of,), body)


def _node(forest: Forest, index: int, of: Any) -> Any:
    """The classes' own ways of making objects are not taken: columns give all there is."""
    try:
        node: Any = object.__new__(of)
    except TypeError as error:
        raise _unfit(f"objects of {of.__name__} are no plain objects", str(error)) from error
    object.__setattr__(node, "forest", forest)
    object.__setattr__(node, "index", index)
    return node


def _check_kinds(forest: Forest) -> None:
    if len(forest.kinds) != len(forest):
        raise _unfit(f"kinds has {len(forest.kinds)} rows", f"there are {len(forest)} objects")
    _check_range("kinds", forest.kinds, len(forest.classes), 0)


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
        raise _unfit(f"element {n} of {name} is {int(column[n])}", f"there are {size}, numbered from 0")


def _values(column: Any) -> Any:
    """Numbers as an array, also those of a tensor: under some modes of torch, a tensor's elements are no numbers."""
    if not is_torch(column):
        return np.asarray(column)
    if column.ndim != 1 or not column.is_cpu or "strided" not in str(column.layout):
        return column
    plain = column.detach().resolve_neg()
    return (plain.float() if "bfloat16" in str(plain.dtype) else plain).numpy()


def _indices(name: str, column: Any) -> Array:
    array = np.asarray(column)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise _unfit(f"{name} is {array.dtype.name} of shape {list(array.shape)}", "it numbers objects")
    return np.ascontiguousarray(array, np.int64)


def _unfit(what: str, because: str) -> InputError:
    return InputError(what, code="BGH-ST-007", because=because, advice="see bough.Forest")
