"""The forms that values take on the way out of a branch or around a loop: a nesting of fixed parts, and of tensors to carry.

`unify` finds the form that two values can both take; `encode` gives the tensors of a value in a form, `build` the value again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Union

import torch

from bough.frontends import markers
from bough.frontends.staging import growing
from bough.frontends.staging.choices import Choice
from bough.frontends.staging.outcomes import Jump, Return
from bough.frontends.staging.per_element import PerElement
from bough.frontends.staging.scalars import DTYPES, Scalar, cast, is_whole, number_tensor, of_sizes
from bough.frontends.staging.scopes import MISSING, Entries, Items
from bough.frontends.staging.texts import Text

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging

_RANK = {bool: 0, int: 1, float: 2}


_OF_SIZES = (torch.SymInt, torch.SymFloat, torch.SymBool)


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same in every call: a Python value, or an object by its identity."""

    value: Any

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fixed):
            return False
        a, b = self.value, other.value
        if a is b:
            return True
        if isinstance(a, _OF_SIZES) and isinstance(b, _OF_SIZES):
            return type(a) is type(b) and bool(a.node.expr == b.node.expr)
        plain = (str, int, float, bool, bytes, torch.dtype, torch.device, slice, range, complex)
        return type(a) is type(b) and isinstance(a, plain) and repr(a) == repr(b)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Number:
    """A number that is computed, or differs; `known`: it is a constant of this value so far. `mixed`: a float that is an int on
    some ways, which a second leaf tells."""

    kind: type
    known: Any = None
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class Tensor:
    dtype: torch.dtype
    rank: int
    shape: tuple[Any, ...] | None = field(default=None, compare=False)
    """The shape, where it is known."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A list, tuple, dictionary, object or outcome; `names` tells two of a kind apart."""

    kind: Any
    names: tuple[Any, ...]
    parts: tuple[Layout, ...]


@dataclass(frozen=True, slots=True)
class Choices:
    parts: tuple[Layout, ...]


@dataclass(frozen=True, slots=True)
class RowsOf:
    """A sequence of a computed number of elements of one form; what is in a list, or a list of its own."""

    kind: type
    part: Layout


Layout = Union[Fixed, Number, Tensor, Parts, Choices, RowsOf]


class Empty:
    """In place of the rows of a sequence without elements."""


EMPTY = Empty()
Leaf = Union[torch.Tensor, bool, int, float, None, Empty]
"""A tensor, a known number in the place of one, or None where the value has nothing there."""


def layout_of(staging: DataStaging, value: Any) -> Layout:
    """The form of a value: which parts are fixed, and which are tensors to carry."""
    if isinstance(value, torch.Tensor):
        return Tensor(value.dtype, value.dim(), tuple(map(_extent, value.shape)))
    if isinstance(value, Scalar):
        return Number(value.kind, mixed=value.whole is not None)
    if isinstance(value, Choice):
        return Choices(tuple(layout_of(staging, v) for v in value.alternatives))
    if type(value) in DTYPES:
        return Number(type(value), value)
    if isinstance(value, Return):
        return Parts(type(value), value.names, (layout_of(staging, value.value),))
    if isinstance(value, growing.Rows):
        return RowsOf(Items, value.part)
    varied = staging.varied_content(value)
    if varied is not None and staging.is_own(value):
        return _of_kind(layout_of(staging, varied), type(value))
    opened = opened_up(staging, value)
    if opened is None:
        return Fixed(value)
    names, parts = opened
    return Parts(type(value), names, tuple(layout_of(staging, p) for p in parts))


def _of_kind(content: Layout, kind: type) -> Layout:
    """The form of a list or dictionary by that of what is in it."""
    match content:
        case RowsOf():
            return RowsOf(kind, content.part)
        case Choices():
            return Choices(tuple(_of_kind(p, kind) for p in content.parts))
        case Parts():
            return Parts(kind, content.names, content.parts)
    return content


def opened_up(staging: DataStaging, value: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]] | None:
    """Names and values of what is in a container that nobody but the traced call knows; None for all else."""
    if isinstance(value, tuple):
        return (len(value),), tuple(value)
    if isinstance(value, Entries):
        return tuple(value), tuple(value.values())
    if isinstance(value, PerElement):
        return (value.run, value.each), (value.stacked,)
    if isinstance(value, Text):
        return value.constants, value.numbers
    if not staging.is_own(value):
        return None
    if type(value) is list or isinstance(value, dict):
        content = staging.seen.contents.get(id(value), value)
        return (tuple(content), tuple(content.values())) if isinstance(content, dict) else ((len(content),), tuple(content))
    if hasattr(value, "__dict__") and not isinstance(value, (type, torch.nn.Module, Jump, BaseException)) and not callable(value):
        held = {**vars(value), **staging.seen.attributes.get(id(value), {})}
        names = tuple(n for n, v in held.items() if v is not MISSING)
        return names, tuple(held[n] for n in names)
    return None


class GivenSize(str):
    """A size of the call's arguments, by its name: the same everywhere; one that is computed may differ from turn to turn."""


def _extent(size: Any) -> int | str:
    if isinstance(size, int):
        return size
    return str(size) if markers.is_computed(size) else GivenSize(str(size))


def row_of(tensor: torch.Tensor) -> Tensor:
    """The form of a row of a tensor."""
    return Tensor(tensor.dtype, tensor.dim() - 1, tuple(map(_extent, tensor.shape[1:])))


def unify(a: Layout, b: Layout, loop: bool) -> Layout:
    """A form for values of both; the alternatives of `a` keep their numbers. `loop`: numbers of two kinds become one."""
    if isinstance(a, Choices) or isinstance(b, Choices):
        return _with_alternatives(a, b, loop)
    made = _plainly(a, b, loop)
    return made if made is not None else Choices((a, b))


def _plainly(a: Layout, b: Layout, loop: bool) -> Layout | None:
    if a != b:
        a, b = _of_size(a), _of_size(b)
    match a, b:
        case Number(), Number():
            return _numbers(a, b, loop)
        case (Fixed(), Fixed()) | (Tensor(), Tensor()) if a == b:
            return a
        case Parts(), Parts() if a.kind is b.kind and a.names == b.names:
            return Parts(a.kind, a.names, tuple(unify(x, y, loop) for x, y in zip(a.parts, b.parts, strict=True)))
        case (Parts() | RowsOf(), Parts() | RowsOf()) if a.kind is b.kind and a.kind in (Items, list, tuple):
            return _rows(a, b)
    return None


def _of_size(form: Layout) -> Layout:
    """A number that torch computes of sizes, as one that differs."""
    match form:
        case Fixed(value=torch.SymInt()):
            return Number(int)
        case Fixed(value=torch.SymFloat()):
            return Number(float)
        case Fixed(value=torch.SymBool()):
            return Number(bool)
    return form


def _rows(a: Parts | RowsOf, b: Parts | RowsOf) -> RowsOf | None:
    """A form for sequences of different lengths: None where their elements have no form in common."""
    parts = [p for x in (a, b) for p in (x.parts if isinstance(x, Parts) else (x.part,))]
    made = parts[0]
    for part in parts[1:]:
        both = _plainly(made, part, True)
        if both is None or _shapes(both) != _shapes(part):
            return None
        made = both
    if isinstance(made, Number):
        made = Number(made.kind, mixed=made.mixed)
    if count(made) == 0 or not _is_plain(made):
        return None
    return RowsOf(a.kind, made)


def as_rows(form: Layout) -> RowsOf | None:
    """The form of a sequence as that of rows."""
    if isinstance(form, RowsOf):
        return form
    return _rows(form, form) if isinstance(form, Parts) and form.parts else None


def _shapes(form: Layout) -> list[Any]:
    match form:
        case Tensor(shape=shape):
            return [shape]
        case Parts(parts=parts):
            return [s for p in parts for s in _shapes(p)]
    return []


def _is_plain(form: Layout) -> bool:
    """Whether all of it can be stacked."""
    if isinstance(form, Parts):
        return all(map(_is_plain, form.parts))
    if isinstance(form, Tensor):
        return form.shape is not None and all(isinstance(s, (int, GivenSize)) for s in form.shape)
    return not isinstance(form, (Choices, RowsOf))


def _numbers(a: Number, b: Number, loop: bool) -> Layout | None:
    if a.known is not None and b.known is not None and Fixed(a.known) == Fixed(b.known):
        return a
    kind = max(a.kind, b.kind, key=_RANK.__getitem__)
    mixed = a.mixed or b.mixed or (kind is float and a.kind is not b.kind)
    return Number(kind, mixed=mixed) if loop or a.kind is b.kind or (a.known is not None and b.kind is kind) else None


def _with_alternatives(a: Layout, b: Layout, loop: bool) -> Layout:
    found = list(a.parts if isinstance(a, Choices) else (a,))
    for part in b.parts if isinstance(b, Choices) else (b,):
        for n, known in enumerate(found):
            made = _plainly(known, part, loop)
            if made is not None:
                found[n] = made
                break
        else:
            found.append(part)
    return found[0] if len(found) == 1 else Choices(tuple(found))


def encode(staging: DataStaging, form: Layout, value: Any) -> list[Leaf]:
    """The leaves of a value. No operator is traced where the form is the value's own, or its first alternatives are."""
    match form:
        case Fixed() | Number(known=bool() | int() | float()):
            return []
        case Tensor():
            return [value]
        case Number(kind=kind, mixed=mixed):
            value = of_sizes(staging, value)
            if mixed:
                return [number_tensor(value, kind) if isinstance(value, Scalar) else kind(value), is_whole(value)]
            if isinstance(value, Scalar):
                return [number_tensor(value, kind)]
            return [kind(value)]
        case Parts(kind=kind):
            parts = (value.value,) if issubclass(kind, Return) else _values(staging, value)
            return [x for f, v in zip(form.parts, parts, strict=True) for x in encode(staging, f, v)]
        case Choices():
            return _encode_choice(staging, form, value)
        case RowsOf(part=part):
            return list(rows_of(staging, part, value))


def rows_of(staging: DataStaging, part: Layout, value: Any) -> list[Any]:
    """The stacked leaves of a sequence whose elements have this form; `EMPTY` for each where there are none."""
    content = staging.varied_content(value)
    value = value if content is None else content
    if isinstance(value, growing.Rows):
        leaves = value.leaves
        if isinstance(part, Number) and part.mixed and isinstance(value.part, Number) and not value.part.mixed:
            leaves = (*leaves, torch.full_like(leaves[0], value.part.kind is not float, dtype=torch.bool))
        return [cast(t, d) for t, d in zip(leaves, dtypes(part), strict=True)]
    values = _values(staging, value)
    if not values:
        return [EMPTY] * count(part)
    columns = zip(*(encode(staging, part, v) for v in values), strict=True)
    return [_stacked(staging, c, d) for c, d in zip(columns, dtypes(part), strict=True)]


def _stacked(staging: DataStaging, column: Sequence[Any], dtype: torch.dtype) -> torch.Tensor:
    copies = staging.seen.tensors
    made = torch.stack([_tensor(copies.get(id(x), x), dtype) for x in column])
    staging.aliases.derived(made, [x for x in column if isinstance(x, torch.Tensor)])
    return made


def _tensor(leaf: Any, dtype: torch.dtype) -> torch.Tensor:
    return leaf if isinstance(leaf, torch.Tensor) else torch.full((), leaf, dtype=dtype)


def _values(staging: DataStaging, value: Any) -> tuple[Any, ...]:
    opened = opened_up(staging, value)
    assert opened is not None
    return opened[1]


def _encode_choice(staging: DataStaging, form: Choices, value: Any) -> list[Leaf]:
    alternatives = value.alternatives if isinstance(value, Choice) else (value,)
    numbers = [_number_of(staging, form, v) for v in alternatives]
    selector: Leaf = numbers[0]
    if isinstance(value, Choice):
        selector = value.selector.tensor
        if numbers != list(range(len(numbers))):
            selector = renumbered(selector, numbers)
    made: list[Leaf] = [selector]
    for n, part in enumerate(form.parts):
        mine = [v for v, m in zip(alternatives, numbers, strict=True) if m == n]
        if len(mine) > 1:  # two alternatives of one form: what differs between them is told by the old selector
            assert isinstance(value, Choice)
            chosen = [m == n for m in numbers]
            mine = [staging.merged(value, [k for k, c in enumerate(chosen) if c])]
        made += encode(staging, part, mine[0]) if mine else [None] * count(part)
    return made


def _number_of(staging: DataStaging, form: Choices, value: Any) -> int:
    mine = layout_of(staging, value)
    for n, part in enumerate(form.parts):
        if _plainly(part, mine, True) == part:
            return n
    raise AssertionError("the form was made for the value")


def renumbered(selector: torch.Tensor, numbers: Sequence[int]) -> torch.Tensor:
    """`numbers[selector]`."""
    if list(numbers) == list(range(len(numbers))):
        return selector
    made = torch.full((), numbers[0], dtype=torch.int64)
    for old, new in enumerate(numbers[1:], 1):
        made = torch.where(selector == old, torch.full((), new, dtype=torch.int64), made)
    return made


def count(form: Layout) -> int:
    """How many leaves values of this form have."""
    match form:
        case Tensor():
            return 1
        case Number(known=known, mixed=mixed):
            return 2 if mixed else int(known is None)
        case Parts(parts=parts):
            return sum(map(count, parts))
        case Choices(parts=parts):
            return 1 + sum(map(count, parts))
        case RowsOf(part=part):
            return count(part)
    return 0


def dtypes(form: Layout) -> list[torch.dtype]:
    """The element types of the leaves."""
    match form:
        case Tensor(dtype=dtype):
            return [dtype]
        case Number(kind=kind, known=None, mixed=mixed):
            return [DTYPES[kind], torch.bool] if mixed else [DTYPES[kind]]
        case Parts(parts=parts):
            return [d for p in parts for d in dtypes(p)]
        case Choices(parts=parts):
            return [torch.int64, *(d for p in parts for d in dtypes(p))]
        case RowsOf(part=part):
            return dtypes(part)
    return []


def build(staging: DataStaging, form: Layout, leaves: Iterator[Any]) -> Any:
    """The value again; containers are new ones."""
    match form:
        case Fixed(value=value):
            return value
        case Number(known=known) if known is not None:
            return known
        case Tensor():
            return next(leaves)
        case Number(mixed=True):
            return _of_mixed(staging, next(leaves), next(leaves))
        case Number():
            leaf = next(leaves)
            return Scalar(staging, leaf) if isinstance(leaf, torch.Tensor) else leaf
        case Choices():
            selector = next(leaves)
            return Choice(staging, Scalar(staging, selector), [build(staging, p, leaves) for p in form.parts])
    if isinstance(form, RowsOf):
        rows = growing.Rows(staging, form.part, [next(leaves) for _ in range(count(form.part))])
        return rows if form.kind is Items else growing.new_list(staging, rows)
    values = [build(staging, p, leaves) for p in form.parts]
    kind = form.kind
    if kind is PerElement:
        run, each = form.names
        return PerElement(run, each, values[0])
    if kind is Text:
        return Text(staging, form.names, values)
    if issubclass(kind, Return):
        return kind(values[0])
    if issubclass(kind, tuple):
        return kind(*values) if hasattr(kind, "_fields") else kind(values)
    if kind is list:
        return staging.fresh(values)
    if issubclass(kind, dict):
        made = kind()
        made.update(zip(form.names, values, strict=True))
        return staging.fresh(made)
    made = staging.fresh(object.__new__(kind))
    vars(made).update(zip(form.names, values, strict=True))
    return made


def _of_mixed(staging: DataStaging, leaf: Any, whole: Any) -> Any:
    """A number by its value as a float, and whether it is an int."""
    if not isinstance(leaf, torch.Tensor):
        if not isinstance(whole, torch.Tensor):
            return int(leaf) if whole else leaf
        leaf = torch.full((), leaf, dtype=torch.float64)
    if whole is True:
        return Scalar(staging, leaf.to(torch.int64))
    made = Scalar(staging, leaf)
    made.whole = whole if isinstance(whole, torch.Tensor) else None
    return made
