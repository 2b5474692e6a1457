"""The types of generated variables, and which variables are known where."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

ROWS, WIDTH = 3, 4
"""The sizes of matrices; vectors have `WIDTH` elements."""

TYPES = {
    "int": "a Python int, 0 to 6 in variables", "float": "a Python float, -2 to 2 in variables", "bool": "a Python bool",
    "num": "f32 of rank 0", "vec": "f32[4]", "mat": "f32[3, 4]", "grown": "f32[n, 4] with a computed n of at least 1",
    "mask": "bool[4]", "index": "i64 of rank 0, 0 to 3", "tokens": "i64[n] with a computed n of at least 1",
    "filled": "a list of vec with an element at least", "items": "a list of vec", "values": "a list of num", "counts": "a list of int",
    "maybe": "vec or None", "some": "int or None", "table": "a dictionary of vec and num", "pair": "(vec, int)", "trio": "(float, mat, bool)",
    "box": "an object with the attributes `h`, a vec, and `n`, an int",
}  # fmt: skip
"""The names of the types, which are those of the placeholders in the grammar."""

FEATURES = (
    "while", "for", "break", "continue", "return", "lists", "numbers_listed", "optional", "growth", "in_place", "tables", "pairs",
    "else_of_loop", "conditional", "asserts", "helpers", "index", "rows", "faults", "slices", "attributes", "raises", "mixed",
    "unpacking", "comprehensions", "masks", "tokens", "objects", "walrus", "modules", "closures",
)  # fmt: skip
NEEDS = {
    "filled": "lists", "items": "lists", "values": "lists", "counts": "numbers_listed", "maybe": "optional", "some": "optional",
    "table": "tables", "pair": "pairs", "trio": "pairs", "grown": "growth", "mask": "masks", "index": "index", "tokens": "tokens",
    "box": "objects",
}  # fmt: skip
"""The features without which there are no variables of a type."""


@dataclass(slots=True)
class Scope:
    """Names and their types, innermost block last. A program has some of the features only, so that one that is refused does
    not hide the others."""

    random: random.Random
    features: frozenset[str]
    blocks: list[dict[str, str]] = field(default_factory=lambda: [{}])
    locked: set[str] = field(default_factory=set)
    """Lists that a loop around walks over, which keep their length, and the counters that end loops: never assigned."""
    made: int = 0

    def has(self, feature: str) -> bool:
        return not feature or feature in self.features

    def has_type(self, kind: str) -> bool:
        return self.has(NEEDS.get(kind, ""))

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def known(self, kind: str, assigned: bool = False) -> list[str]:
        """The variables of a type; with `assigned` those that may be assigned."""
        names = {n: t for block in self.blocks for n, t in block.items()}
        return [n for n, t in names.items() if t == kind and not (assigned and n in self.locked)]

    def fresh(self, kind: str) -> str:
        self.made += 1
        return f"{kind}{self.made}"

    def declare(self, name: str, kind: str) -> None:
        self.blocks[-1][name] = kind

    @contextmanager
    def block(self, names: dict[str, str]) -> Iterator[None]:
        """What is declared inside is forgotten behind it."""
        self.blocks.append(dict(names))
        yield
        self.blocks.pop()

    @contextmanager
    def lock(self, *names: str) -> Iterator[None]:
        before = set(self.locked)
        self.locked.update(names)
        yield
        self.locked = before
