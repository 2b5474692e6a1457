"""Recursive modules whose functions return lists and join those that calls return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from passing_models import H, Node, Pair, alone, pairs, trees
from torch import Tensor, nn


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.mix, self.classes = nn.Embedding(10, H), nn.Linear(2 * H, H), nn.Linear(H, 3)

    def word(self, node: Any) -> Tensor:
        return self.words(torch.tensor(node.word))


class InOrder(Base):
    def states(self, pair: Pair) -> list[Tensor]:
        if pair.left is None or pair.right is None:
            return [self.word(pair)]
        return self.states(pair.left) + [torch.tanh(self.word(pair))] + self.states(pair.right)  # noqa: RUF005

    def forward(self, pair: Pair) -> list[Tensor]:
        return self.states(pair)


class PostOrder(Base):
    """A state and the states below; an empty list at the end."""

    def visit(self, pair: Pair | None) -> tuple[Tensor, list[Tensor]]:
        if pair is None:
            return torch.zeros(H), []
        left, of_left = self.visit(pair.left)
        right, of_right = self.visit(pair.right)
        h = torch.tanh(self.mix(torch.cat([left, right])) + self.word(pair))
        return h, [*of_left, *of_right, h]

    def forward(self, pair: Pair) -> tuple[Tensor, Tensor]:
        h, states = self.visit(pair)
        return self.classes(h), torch.stack([self.classes(s) for s in states])


class InALoop(Base):
    def forward(self, node: Node) -> Tensor:
        return torch.stack(self.collect(node)).amax(0)

    def collect(self, node: Node) -> list[Tensor]:
        found = [self.word(node)]
        for child in node.children:
            found += self.collect(child)
        return found


class Extended(Base):
    def forward(self, node: Node) -> list[Tensor]:
        return self.collect(node)

    def collect(self, node: Node) -> list[Tensor]:
        found: list[Tensor] = []
        for child in node.children:
            found.extend(self.collect(child))
        found.append(self.word(node))
        return found


class Flattened(Base):
    """Leaves alone, by a comprehension of two loops."""

    def leaves(self, node: Node) -> list[Tensor]:
        if not node.children:
            return [self.word(node)]
        return [h for child in node.children for h in self.leaves(child)]

    def forward(self, node: Node) -> Tensor:
        found = self.leaves(node)
        return torch.stack(found).sum(0) / len(found)


class BySum(Base):
    def all(self, node: Node) -> list[Tensor]:
        return sum([self.all(c) for c in node.children], [self.word(node)])

    def forward(self, node: Node) -> Tensor:
        return torch.stack(self.all(node)).mean(0)


class TwoSides(InALoop):
    """Words of two trees; every call has a list of its own."""

    def forward(self, a: Node, b: Node) -> tuple[Tensor, Tensor]:
        rows, columns = torch.stack(self.collect(a)), torch.stack(self.collect(b))
        return self.classes(rows.mean(0) * columns.mean(0)), torch.log_softmax(self.classes(rows), -1)

def sides() -> list[tuple[Any, ...]]:
    return list(zip(trees(), trees()[::-1], strict=True))


MODELS: dict[str, tuple[type[nn.Module], Callable[[], list[tuple[Any, ...]]]]] = {
    **{m.__name__: (m, lambda: alone(pairs())) for m in (InOrder, PostOrder)},
    **{m.__name__: (m, lambda: alone(trees())) for m in (InALoop, Extended, Flattened, BySum)},
    "TwoSides": (TwoSides, sides),
}
