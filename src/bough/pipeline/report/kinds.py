"""Kernels of one kind have one color in the whole report: those that do the same at other places of the model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bough.pipeline.explain.rows import Row

NUMBERS = re.compile(r"((?<=size)\d+)?([._]\d+)*(#\d+)?$")


@dataclass(frozen=True, slots=True)
class Kind:
    """`number` 0 takes most of the time. `rows` are the numbers of the rows."""

    name: str
    number: int
    share: float
    rows: tuple[int, ...]


class Kinds:
    def __init__(self, rows: tuple[Row, ...]) -> None:
        self.rows = rows
        self.numbers = {r.kernel: n for n, r in enumerate(rows)}
        members: dict[str, list[int]] = {}
        for n, r in enumerate(rows):
            members.setdefault(base_name(r.kernel), []).append(n)
        shares = {name: sum(rows[n].share for n in found) for name, found in members.items()}
        order = sorted(members, key=lambda name: -shares[name])
        self.all = tuple(Kind(name, n, shares[name], tuple(members[name])) for n, name in enumerate(order))
        self._by_name: Mapping[str, Kind] = {k.name: k for k in self.all}

    def of(self, kernel: str) -> Kind:
        return self._by_name[base_name(kernel)]

    def heaviest(self, kernels: Iterable[str]) -> Kind:
        """The kind of the kernel among these that takes longest: it gives a phase its color."""
        return self.of(max(kernels, key=lambda name: self.rows[self.numbers[name]].ms))

    def marks(self, kernels: Iterable[str]) -> str:
        """The numbers of kernels as an attribute: marks that share one are lit together."""
        return " ".join(str(self.numbers[name]) for name in kernels if name in self.numbers)


def base_name(kernel: str) -> str:
    """The name without the numbers that tell it from others."""
    return NUMBERS.sub("", kernel)
