"""What is known about the values of index variables: ranges whose ends are numbers or expressions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bough.ir.expr import Const, Extent, as_extent, sub
from bough.ir.kernel import Axis
from bough.ir.program import Dim


@dataclass(frozen=True, slots=True)
class Interval:
    """`low` and `high` inclusive; None where unbounded, an expression over other variables where an end is symbolic."""

    low: Extent | None = None
    high: Extent | None = None

    @staticmethod
    def of_extent(extent: Extent) -> Interval:
        """The values of an axis or loop from 0 to `extent` exclusive."""
        return Interval(0, as_extent(sub(extent, 1)))


Facts = Mapping[str, Interval]


def axis_facts(axes: Iterable[Axis], dims: Iterable[Dim] = ()) -> dict[str, Interval]:
    """What axes and symbolic sizes say about the variables of their names."""
    facts = {d.name: Interval(d.low, d.high) for d in dims}
    return facts | {a.name: Interval.of_extent(a.extent) for a in axes}


Range = tuple[float, float]
"""Numeric ends, integers or infinite."""

EVERYTHING: Range = (-math.inf, math.inf)


def range_add(a: Range, b: Range) -> Range:
    return a[0] + b[0], a[1] + b[1]


def range_mul(a: Range, b: Range) -> Range:
    products = [x * y if x and y else 0 for x in a for y in b]
    return min(products), max(products)


def range_floordiv(a: Range, divisor: Range) -> Range:
    """Of a divisor known to be positive; everything otherwise."""
    if divisor[0] < 1:
        return EVERYTHING
    quotients = [_floordiv(x, y) for x in a for y in divisor]
    return min(quotients), max(quotients)


def _floordiv(a: float, b: float) -> float:
    if math.isinf(a):
        return a if not math.isinf(b) or a < 0 else 0
    return (-1 if a < 0 else 0) if math.isinf(b) else a // b


def number(extent: Extent | None, unbounded: float) -> float | None:
    """The numeric end, `unbounded` for None, None where it is an expression."""
    if extent is None:
        return unbounded
    if isinstance(extent, Const):
        return int(extent.value)
    return extent if isinstance(extent, int) else None
