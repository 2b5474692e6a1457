"""Nested arguments and results as plain data: tuples, lists, dictionaries and records whose tensor leaves are numbered slots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Union

from bough.base.errors import CompileError
from bough.base.records import Record, put_together, taken_apart


@dataclass(frozen=True, slots=True)
class Slot:
    """A tensor leaf: the parameter or result number `index`. `number`: eager code has a Python number in its place."""

    index: int
    number: bool = False


@dataclass(frozen=True, slots=True)
class ComputedNumber:
    """A Python number among a traced module's results, as a tensor of rank 0."""

    tensor: Any


@dataclass(frozen=True, slots=True)
class ComputedRows:
    """A list of computed length among a traced module's results: `part` is the nesting of an element, its tensors stacked."""

    part: Any


@dataclass(frozen=True, slots=True)
class ComputedChoice:
    """One of several values among a traced module's results: which, the i64 of rank 0 `selector` says."""

    selector: Any
    alternatives: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """A list with one element for each row of the results in `part`, which is the nesting of an element."""

    part: Any


@dataclass(frozen=True, slots=True)
class Chosen:
    """The alternative whose number is in result `selector`."""

    selector: int
    alternatives: tuple[Any, ...]


Structure = Union[Slot, Rows, Chosen, Record, tuple[Any, ...], list[Any], dict[Any, Any], None, bool, int, float, str]
"""Leaves that are no slots stand for themselves: they are the same in every call."""


def map_leaves(tree: object, path: str, leaf: Callable[[Any, str], Any]) -> Any:
    """The same nesting with `leaf(value, path)` in place of every leaf; `path` joins keys and positions by dots."""
    if isinstance(tree, Record):
        parts = zip(tree.fields, tree.parts, strict=True)
        return replace(tree, parts=tuple(map_leaves(v, f"{path}.{name}", leaf) for name, v in parts))
    if isinstance(tree, tuple):
        return tuple(map_leaves(v, f"{path}.{i}", leaf) for i, v in enumerate(tree))
    if isinstance(tree, list):
        return [map_leaves(v, f"{path}.{i}", leaf) for i, v in enumerate(tree)]
    if isinstance(tree, dict):
        return {k: map_leaves(v, f"{path}.{k}", leaf) for k, v in tree.items()}
    return leaf(tree, path)


def as_records(value: Any, path: str, inside: tuple[int, ...] = ()) -> Any:
    """Nested values with records in place of the objects that are named tuples, dataclasses and the like."""
    if isinstance(value, (ComputedNumber, ComputedRows, ComputedChoice)):
        return value
    if id(value) in inside:
        raise CompileError(
            f"`{path}` holds itself",
            code="BGH-ARG-001",
            because="arguments and results are nested, each within another",
            advice="leave the reference to what is around it out",
        )
    inside = (*inside, id(value))
    record = taken_apart(value)
    if record is not None:
        parts = zip(record.fields, record.parts, strict=True)
        return replace(record, parts=tuple(as_records(v, f"{path}.{name}", inside) for name, v in parts))
    if isinstance(value, (tuple, list)):
        inner = [as_records(v, f"{path}.{n}", inside) for n, v in enumerate(value)]
        return tuple(inner) if isinstance(value, tuple) else inner
    if isinstance(value, dict):
        return {k: as_records(v, f"{path}.{k}", inside) for k, v in value.items()}
    return value


def fill(structure: Structure, values: Sequence[Any], number: Callable[[Any], Any] = lambda value: value) -> Any:
    """The structure with `values[i]` in place of slot i, or `number(values[i])` where eager code has a number."""

    def filled(s: Any) -> Any:
        match s:
            case Slot(index, is_number):
                return number(values[index]) if is_number else values[index]
            case Chosen(selector, alternatives):
                return fill(alternatives[int(values[selector])], values, number)
            case Rows(part):
                count = min(len(values[n]) for n in slots(part))
                mine = slots(part)
                rows = ([v[i] if n in mine else v for n, v in enumerate(values)] for i in range(count))
                return [fill(part, row, number) for row in rows]
            case Record(kind=type() as kind):
                return put_together(s, kind)(*map(filled, s.parts))
            case tuple() | list():
                return type(s)(map(filled, s))
            case dict():
                return {k: filled(v) for k, v in s.items()}
        return s

    return filled(structure)


def slots(structure: Structure) -> set[int]:
    """The numbers of the slots in a structure."""
    found: set[int] = set()
    map_leaves(structure, "", lambda s, _: found.add(s.index) if isinstance(s, Slot) else None)
    return found


def static_leaf(value: object, path: str) -> Structure:
    """A leaf that is a constant of the compiled function; anything else than plain data is an error."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    kind = type(value).__name__
    raise CompileError(
        f"`{path}` is a {kind}",
        code="BGH-ARG-001",
        because="arguments and results are tensors, numbers, strings and None in tuples, lists, dictionaries and dataclasses",
        advice=f"pass the tensors of the {kind} in a tuple or dictionary",
    )


def with_kwargs(args: Sequence[Structure], kwargs: Mapping[str, Structure]) -> Structure:
    """The structure of a call: positional arguments, then those by name."""
    return (tuple(args), dict(kwargs))
