"""Between which bounds the elements of an integer tensor lie, as far as operators and constants tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bough.ir.dtypes import I64
from bough.ir.expr import Const, Extent, Var, add, as_expr, as_extent
from bough.ir.program import Assign, Dim, Value

_VIEWS = frozenset({"copy", "expand", "flip", "permute", "repeat", "reshape", "roll", "slice"})


@dataclass(frozen=True, slots=True)
class Range:
    """Elements are at least `low` and less than `end`; None: nothing is known."""

    low: int | None = None
    end: Extent | None = None


class KnownRanges:
    """The ranges of the values of a function, whose assignments are told in their order."""

    def __init__(self, constants: Mapping[Value, np.ndarray[Any, Any]], dims: Iterable[Dim]) -> None:
        self.constants = constants
        self.most = {d.name: d.high for d in dims}
        self.found: dict[Value, Range] = {}

    def of(self, value: Value) -> Range:
        if value not in self.found and (array := self.constants.get(value)) is not None:
            self.found[value] = Range(int(array.min()), int(array.max()) + 1) if array.size else Range(0, 0)
        return self.found.get(value, Range())

    def note(self, node: Assign) -> None:
        """Takes in how a value is made."""
        if not node.results[0].type.dtype.is_integer:
            return
        args = [self.of(a) for a in node.args if a is not None and a.type.dtype.is_integer]
        match node.op:
            case "iota":
                self.found[node.results[0]] = _counted(node)
            case "cast" if args and node.results[0].type.dtype == I64:
                self.found[node.results[0]] = args[0]
            case "select" | "concat" if len(args) == len(node.args) - (node.op == "select"):
                self.found[node.results[0]] = self.union(args)
            case "clamp":
                self.found[node.results[0]] = _clamped(node, args[0]) if args else Range()
            case "max" | "min":
                self.found[node.results[0]] = self.clamped(node.op, args)
            case "mod" if (divisor := args[-1]).low is not None and divisor.low > 0:
                most = self.number(divisor.end)
                self.found[node.results[0]] = Range(0, None if most is None else most - 1)
            case op if op in _VIEWS and args:
                self.found[node.results[0]] = args[0]

    def union(self, ranges: list[Range]) -> Range:
        lows, ends = [r.low for r in ranges], [self.number(r.end) for r in ranges]
        same = len({r.end for r in ranges}) == 1
        low = min((n for n in lows if n is not None), default=None) if None not in lows else None
        end = max((n for n in ends if n is not None), default=None) if None not in ends else None
        return Range(low, ranges[0].end if same else end)

    def clamped(self, op: str, ranges: list[Range]) -> Range:
        lows = [r.low for r in ranges if r.low is not None]
        ends = [n for r in ranges if (n := self.number(r.end)) is not None]
        every = len(lows) == len(ranges), len(ends) == len(ranges)
        if op == "max":
            return Range(max(lows, default=None), max(ends) if every[1] else None)
        return Range(min(lows) if every[0] else None, min(ends, default=None))

    def number(self, end: Extent | None) -> int | None:
        """The most that an end may be."""
        return self.most.get(end.name) if isinstance(end, Var) else end if isinstance(end, int) else None

    def within(self, value: Value, size: Extent) -> bool:
        """Whether all elements are known to be positions of an axis of this size, counted from its beginning."""
        known = self.of(value)
        if known.low is None or known.low < 0 or known.end is None:
            return False
        end = self.number(known.end)
        return known.end == size or (end is not None and isinstance(size, int) and end <= size)


def _clamped(node: Assign, range: Range) -> Range:
    """Where the bounds cross, the upper one is what remains."""
    low, high = node.attributes.get("low"), node.attributes.get("high")
    least = low if isinstance(low, int) else range.low
    if isinstance(high, int):
        return Range(None if least is None else min(least, high), high + 1)
    return Range(least, range.end if low is None and high is None else None)


def _counted(node: Assign) -> Range:
    start, step = node.attributes.get("start", 0), node.attributes.get("step", 1)
    if not isinstance(start, int) or step != 1:
        return Range()
    size: Any = node.attributes["size"]
    return Range(start, as_extent(add(start, as_expr(size))) if not isinstance(size, Const) else None)
