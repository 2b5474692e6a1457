"""Index arithmetic while it is emitted: sums of known multiples of run-time integers, and of the lane number.

Addresses of unrolled code differ by constants, those of vector code by multiples of the lane; both show here, so that loads
become contiguous vector loads and share their address computation.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import gcd
from typing import Any

_serial = itertools.count()


@dataclass(eq=False, slots=True)
class Atom:
    """A run-time `i64` of one emitted function, with the bounds that are known of it (inclusive)."""

    value: Any
    low: int | None = None
    high: int | None = None
    serial: int = field(default_factory=lambda: next(_serial))


Range = tuple[int | None, int | None]
Terms = tuple[tuple[Atom, int], ...]
"""Atoms and their coefficients."""


@dataclass(frozen=True, slots=True)
class Linear:
    """`const + sum(coefficient * atom) + lane * (number of the lane)`. Atoms stand in the order of their making."""

    const: int = 0
    terms: Terms = ()
    lane: int = 0

    @property
    def is_constant(self) -> bool:
        return not self.terms and not self.lane

    @property
    def uniform(self) -> Linear:
        """Its value in lane 0."""
        return Linear(self.const, self.terms) if self.lane else self

    def __add__(self, other: Linear) -> Linear:
        if not other.terms:
            return Linear(self.const + other.const, self.terms, self.lane + other.lane)
        if not self.terms:
            return Linear(self.const + other.const, other.terms, self.lane + other.lane)
        sums: dict[Atom, int] = dict(self.terms)
        for atom, c in other.terms:
            sums[atom] = sums.get(atom, 0) + c
        terms = sorted(((a, c) for a, c in sums.items() if c), key=lambda item: item[0].serial)
        return Linear(self.const + other.const, tuple(terms), self.lane + other.lane)

    def __sub__(self, other: Linear) -> Linear:
        return self + other.scaled(-1)

    def scaled(self, factor: int) -> Linear:
        if factor == 1:
            return self
        if factor == 0:
            return ZERO
        return Linear(self.const * factor, tuple((a, c * factor) for a, c in self.terms), self.lane * factor)

    def range(self, lanes: int) -> Range:
        """Bounds of its value over all lanes, where known."""
        span = self.lane * max(lanes - 1, 0)
        low: int | None = self.const + min(span, 0)
        high: int | None = self.const + max(span, 0)
        for atom, c in self.terms:
            least, most = (atom.low, atom.high) if c > 0 else (atom.high, atom.low)
            low = None if low is None or least is None else low + c * least
            high = None if high is None or most is None else high + c * most
        return low, high

    def within(self, low: int, stop: int, lanes: int) -> bool:
        """Whether its value is known to lie in `low` .. `stop - 1` in all lanes."""
        least, most = self.range(lanes)
        return least is not None and most is not None and low <= least and most < stop

    def split(self, divisor: int) -> tuple[Linear, Linear]:
        """`(a, b)` with `self == divisor * a + b`, `b` holding what `divisor` does not divide, its constant 0 or more."""
        whole, rest = divmod(self.const, divisor)
        lane = self.lane if self.lane % divisor else 0
        return (
            Linear(whole, tuple((a, c // divisor) for a, c in self.terms if c % divisor == 0), (self.lane - lane) // divisor),
            Linear(rest, tuple((a, c) for a, c in self.terms if c % divisor), lane),
        )

    def factor(self) -> int:
        """The largest known divisor of its value in lane 0; 0 for zero."""
        return gcd(self.const, *(c for _, c in self.terms))

    def divisors(self, n: int) -> Iterable[int]:
        """Divisors of `n` that some of the terms have, largest first."""
        found = {gcd(n, c) for _, c in self.terms} - {1, n}
        return sorted(found, reverse=True)


ZERO = Linear()
ONE = Linear(1)
LANE = Linear(lane=1)


def atom(value: Any, low: int | None = None, high: int | None = None) -> Linear:
    """A run-time integer by itself."""
    return Linear(0, ((Atom(value, low, high), 1),))
