"""What loops walk over where only the call knows how long it is: each knows its length, and its element at a position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import torch

from bough.frontends.computed_sizes import surely_equal
from bough.frontends.staging.growing import Rows
from bough.frontends.staging.scalars import Scalar, of_sizes

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging


@dataclass(frozen=True, slots=True)
class Range:
    """`range` with a bound that is computed, or a size that only the call knows."""

    start: Any
    stop: Any
    step: Any


@dataclass(frozen=True, slots=True)
class Numbered:
    """`enumerate` of what has a computed length."""

    values: Any
    start: Any


@dataclass(frozen=True, slots=True)
class Zipped:
    """`zip` of several, of which one at least has a computed length."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Backwards:
    """`reversed` of what has a computed length."""

    values: Any


def is_computed_iterable(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.dim() > 0 and isinstance(value.shape[0], torch.SymInt)
    return isinstance(value, (Range, Numbered, Zipped, Backwards, Rows))


def bounds(staging: DataStaging, values: Any) -> Range:
    """The positions of a loop over these."""
    return values if isinstance(values, Range) else Range(0, length(staging, values), 1)


def length(staging: DataStaging, values: Any) -> Any:
    match values:
        case Range(start, stop, step):
            return staging.call(max, -((start - stop) // step), 0)
        case Numbered(inner) | Backwards(inner):
            return length(staging, inner)
        case Zipped(several):
            return reduce(lambda a, b: _shorter(staging, a, b), [length(staging, v) for v in several])
        case Rows():
            return values.length
        case torch.Tensor():
            return of_sizes(staging, values.shape[0])
    return len(values)


def _shorter(staging: DataStaging, a: Any, b: Any) -> Any:
    sizes = [n.size if isinstance(n, Scalar) else n for n in (a, b)]
    known = [s for s in sizes if s is not None]
    if len(known) == 2:
        return a if surely_equal(*known) else of_sizes(staging, torch.sym_min(*known))  # type: ignore[no-untyped-call]
    return staging.call(min, a, b)


def element(staging: DataStaging, values: Any, position: Any) -> Any:
    """The element at the position of a loop over these."""
    return position if isinstance(values, Range) else _at(staging, values, position)


def _at(staging: DataStaging, values: Any, number: Any) -> Any:
    match values:
        case Range(start, _, step):
            return start + number * step
        case Numbered(inner, start):
            return number + start, _at(staging, inner, number)
        case Zipped(several):
            return tuple(_at(staging, v, number) for v in several)
        case Backwards(inner):
            return _at(staging, inner, length(staging, inner) - 1 - number)
        case Rows():
            return values.at(number)
    return staging.item(values, number)


def zipped(staging: DataStaging, values: Sequence[Any], strict: bool) -> Any:
    """`zip` of what `zip` takes."""
    if not any(map(is_computed_iterable, values)):
        return list(zip(*map(staging.elements, values), strict=strict))
    several = tuple(v if is_computed_iterable(v) else staging.elements(v) for v in values)
    if strict:
        first, *others = (length(staging, v) for v in several)
        for other in others:
            staging.check_that(first == other, "ValueError", "zip() has arguments of different lengths")
    return Zipped(several)
