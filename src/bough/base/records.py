"""Objects of classes of the user's among nested arguments and results, as plain data: a class by its name, and what it holds.

Named tuples, dataclasses, and ordered dictionaries with attributes are taken apart and put together again without running code of
their classes. Where the class is not at hand, a named tuple of the same fields stands for the object.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from keyword import iskeyword
from types import MemberDescriptorType
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """An object whose class is called `name`, as "module:Outer.Class". `parts` are what its fields hold, in their order; those of
    the fields in `keys` are its elements as a dictionary too. `kind` is the class itself, if it is at hand."""

    name: str
    fields: tuple[str, ...]
    parts: tuple[Any, ...]
    keys: tuple[str, ...] = ()
    kind: type | None = field(default=None, compare=False, repr=False)


Classes = Mapping[str, type]
"""Classes by the names that records have for them."""


def taken_apart(value: object) -> Record | None:
    """An object as a record; None for what is no object of such a class."""
    kind = type(value)
    if isinstance(value, tuple):
        names = _tuple_fields(kind)
        return Record(_name(kind), names, tuple(value), kind=kind) if names is not None and len(names) == len(value) else None
    if isinstance(value, OrderedDict) and kind is not OrderedDict:
        held = _attributes(value)
        if not all(isinstance(k, str) and held.get(k, v) is v for k, v in value.items()):
            return None
        elements = {str(k): v for k, v in value.items()}
        return Record(_name(kind), *_split({**held, **elements}), tuple(elements), kind=kind)
    if dataclasses.is_dataclass(value) and not isinstance(value, (type, dict, list)):
        return Record(_name(kind), *_split(_attributes(value)), kind=kind)
    return None


def put_together(record: Record, kind: type) -> Callable[..., Any]:
    """A function that makes an object of a class from its parts."""
    fields, keys = record.fields, frozenset(record.keys)
    if issubclass(kind, tuple):
        named = "_fields" in dir(kind)
        return (lambda *parts: tuple.__new__(kind, parts)) if named else (lambda *parts: kind(parts))
    create: Callable[[Any], Any] = OrderedDict.__new__ if issubclass(kind, OrderedDict) else object.__new__
    attributes = frozenset(fields) if dataclasses.is_dataclass(kind) or not keys else frozenset(fields) - keys

    def make(*parts: Any) -> Any:
        made = create(kind)
        for name, part in zip(fields, parts, strict=True):
            if name in keys:
                OrderedDict.__setitem__(made, name, part)
            if name in attributes:
                object.__setattr__(made, name, part)
        return made

    return make


def maker(record: Record, classes: Classes) -> Callable[..., Any]:
    """A function that makes of its parts what a record describes: a named tuple where `classes` does not have its class."""
    kind = classes.get(record.name)
    if kind is not None:
        return put_together(record, kind)
    name = record.name.rpartition(".")[2].rpartition(":")[2]
    return namedtuple(name if name.isidentifier() and not iskeyword(name) else "Record", record.fields, rename=True)


def classes_of(records: Iterable[Record]) -> dict[str, type]:
    """The classes that are at hand in records."""
    return {r.name: r.kind for r in records if r.kind is not None}


def found(record: Record) -> type | None:
    """The class of a record among the modules that are loaded, if it is one still; nothing is imported."""
    module, _, path = record.name.partition(":")
    kind: Any = sys.modules.get(module)
    for part in path.split("."):
        kind = getattr(kind, part, None)
    if not isinstance(kind, type) or _name(kind) != record.name:
        return None
    if issubclass(kind, tuple):
        return kind if _tuple_fields(kind) == record.fields else None
    fits = issubclass(kind, OrderedDict) if record.keys else dataclasses.is_dataclass(kind) or issubclass(kind, OrderedDict)
    return kind if fits else None


def within(tree: Any) -> Iterator[Record]:
    """The records in nested tuples, lists, dictionaries and records."""
    if isinstance(tree, Record):
        yield tree
    inner = tree.parts if isinstance(tree, Record) else tree.values() if isinstance(tree, dict) else tree
    if isinstance(tree, (Record, dict, tuple, list)):
        for part in inner:
            yield from within(part)


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _split(held: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    return tuple(held), tuple(held.values())


def _tuple_fields(kind: type) -> tuple[str, ...] | None:
    """The names of a named tuple's elements, or of a structure that an operator of PyTorch returns."""
    fields = getattr(kind, "_fields", None)
    if isinstance(fields, tuple) and all(isinstance(f, str) for f in fields):
        return fields
    if not hasattr(kind, "n_sequence_fields"):
        return None
    return tuple(n for n, d in vars(kind).items() if isinstance(d, MemberDescriptorType))


def _attributes(value: Any) -> dict[str, Any]:
    """What an object holds, its declared fields first."""
    declared = [f.name for f in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
    held = {n: getattr(value, n) for n in declared if hasattr(value, n)}
    return {**held, **getattr(value, "__dict__", {})}
