"""The types of generated variables, and which variables are known where."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Union

WIDTH, ROWS = 4, 3
"""The sizes of vectors and of matrices."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Of float32. The size `None` is computed, and 1 or more."""

    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Plain:
    """A Python number: "int" (0 to 6 in variables), "float" (-2 to 2) or "bool"."""

    kind: str


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of tensors; `filled`: it always has an element."""

    element: Tensor
    filled: bool


@dataclass(frozen=True, slots=True)
class Optional:
    """The type or None."""

    inner: Tensor


@dataclass(frozen=True, slots=True)
class Table:
    """A dictionary with the keys "a" and "b"."""

    a: Tensor
    b: Tensor


@dataclass(frozen=True, slots=True)
class Pair:
    first: Union["Tensor", "Plain"]
    second: Union["Tensor", "Plain"]


Type = Union[Tensor, Plain, ListOf, Optional, Table, Pair]

NUMBER, VECTOR, MATRIX, GROWN = Tensor(()), Tensor((WIDTH,)), Tensor((ROWS, WIDTH)), Tensor((None, WIDTH))
INT, FLOAT, BOOL = Plain("int"), Plain("float"), Plain("bool")
PREFIXES = {Tensor: "t", ListOf: "items", Optional: "maybe", Table: "table", Pair: "pair"}

FEATURES = (
    "while", "for", "break", "continue", "return", "lists", "optional", "growth", "in_place", "tables", "pairs", "else_of_loop",
    "conditional", "asserts", "helpers", "index", "rows", "faults", "slices", "attributes", "raises", "mixed", "unpacking",
    "comprehensions",
)  # fmt: skip


@dataclass(slots=True)
class Scope:
    """Names and their types, innermost block last. A program has some of the features only, so that one that is refused does
    not hide the others."""

    random: random.Random
    features: frozenset[str]
    blocks: list[dict[str, Type]] = field(default_factory=lambda: [{}])
    locked: set[str] = field(default_factory=set)
    """Lists that a loop around walks over: they keep their length."""
    counters: set[str] = field(default_factory=set)
    """What ends the loops: never assigned."""
    made: int = 0

    def has(self, feature: str) -> bool:
        return feature in self.features

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def known(self, wanted: Type, assigned: bool = False) -> list[str]:
        """The variables of a type; with `assigned` those that may be assigned."""
        names = {n: t for block in self.blocks for n, t in block.items()}
        barred = self.counters | self.locked if assigned else set()
        return [n for n, t in names.items() if t == wanted and n not in barred]

    def fresh(self, kind: Type) -> str:
        prefix = kind.kind[0] if isinstance(kind, Plain) else PREFIXES[type(kind)]
        self.made += 1
        return f"{prefix}{self.made}"

    def declare(self, name: str, kind: Type) -> None:
        self.blocks[-1][name] = kind

    @contextmanager
    def block(self, **names: Type) -> Iterator[None]:
        """What is declared inside is forgotten behind it."""
        self.blocks.append(dict(names))
        yield
        self.blocks.pop()

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        before = set(self.locked)
        self.locked.add(name)
        yield
        self.locked = before
