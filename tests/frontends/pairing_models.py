"""Recursive modules over several structures at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from passing_models import H, Node, Pair, pairs, trees
from torch import Tensor, nn


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.mix = nn.Embedding(10, H), nn.Linear(2 * H, H)

    def both(self, a: Any, b: Any) -> Tensor:
        return self.mix(torch.cat([self.words(torch.tensor(a.word)), self.words(torch.tensor(b.word))]))


class SideBySide(Base):
    """Two trees, as far as they have the same shape; the sides swap places on the way down."""

    def forward(self, a: Pair, b: Pair) -> Tensor:
        h = self.both(a, b)
        if a.left is not None and b.left is not None:
            h = h + self(b.left, a.left) - self(a.right, b.right)
        return torch.tanh(h)


class Absent(Base):
    """One of the two may be missing."""

    def compare(self, a: Pair | None, b: Pair | None) -> Tensor:
        if a is None and b is None:
            return torch.zeros(H)
        if a is None or b is None:
            return torch.ones(H)
        return torch.relu(self.both(a, b) + self.compare(a.left, b.left) + self.compare(a.right, b.right))

    def forward(self, a: Pair, b: Pair) -> Tensor:
        return self.compare(a, b)


class AllPairs(Base):
    """Every child of one with the other, and with every child of its own."""

    def match(self, a: Node, b: Node, scale: Tensor) -> Tensor:
        h = self.both(a, b) * scale
        for child in a.children:
            h = h + self.match(child, b, scale * 0.5)
        return torch.tanh(h)

    def across(self, a: Node, b: Node) -> Tensor:
        return self.match(a, b, torch.ones(1)) + sum(self.across(a, c) for c in b.children)

    def forward(self, a: Node, b: Node) -> Tensor:
        return self.across(a, b)


class Pushed(Base):
    """A linked list merged into a tree: each level takes one element."""

    def forward(self, node: Node, rest: Pair | None) -> Tensor:
        if rest is None or not node.children:
            return self.words(torch.tensor(node.word))
        return torch.tanh(torch.stack([self(c, rest.left) for c in node.children]).mean(0) + self.both(node, rest))


def two(structures: list[Any]) -> list[tuple[Any, ...]]:
    return list(zip(structures, structures[::-1], strict=True))


def merged() -> list[tuple[Any, ...]]:
    chain = Pair(1, Pair(2, Pair(3, Pair(4))))
    return [(t, rest) for t in trees() for rest in (chain, chain.left)]


MODELS: dict[str, tuple[type[nn.Module], Callable[[], list[tuple[Any, ...]]]]] = {
    "SideBySide": (SideBySide, lambda: two(pairs())),
    "Absent": (Absent, lambda: two(pairs())),
    "AllPairs": (AllPairs, lambda: two(trees())),
    "Pushed": (Pushed, merged),
}
