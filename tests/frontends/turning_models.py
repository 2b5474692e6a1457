"""Recursive modules in which a loop over children carries a state from each to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from passing_models import H, Node, alone, trees
from torch import Tensor, nn


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.mix = nn.Embedding(10, H), nn.Linear(2 * H, H)
        self.gru, self.lstm = nn.GRUCell(H, H), nn.LSTMCell(H, H)

    def word(self, node: Node) -> Tensor:
        return self.words(torch.tensor(node.word))


class Gru(Base):
    def forward(self, node: Node) -> Tensor:
        h = self.word(node)
        for child in node.children:
            h = self.gru(self(child)[None], h[None])[0]
        return h


class Lstm(Base):
    """The state of the loop is a tuple, with the running states kept for attention over them."""

    def encode(self, node: Node) -> Tensor:
        x = self.word(node)[None]
        state = torch.zeros(1, H), torch.zeros(1, H)
        if not node.children:
            return x
        seen = []
        for child in node.children:
            state = self.lstm(self.encode(child), state)
            seen.append(state[0])
        states = torch.cat(seen)
        weights = torch.softmax(states @ x[0], 0)
        return torch.tanh(self.mix(torch.cat([x, (weights @ states)[None]], 1)))

    def forward(self, node: Node) -> Tensor:
        return self.encode(node)[0]


class Positions(Base):
    """The position of the child takes part, and a number that grows."""

    def forward(self, node: Node) -> Tensor:
        h, scale = self.word(node), 1.0
        for n, child in enumerate(node.children):
            h = torch.tanh(h * scale + self(child) / (n + 1))
            scale = scale * 0.5
        return h * scale


class FromZero(Base):
    """A plain zero to begin with, and a decay that makes it no sum."""

    def forward(self, node: Node) -> Tensor:
        total = 0
        for child in node.children:
            total = 0.5 * total + self(child)
        return torch.tanh(self.word(node) + total)


class WithContext(Base):
    """What goes down is the same for all children; what comes up goes from one to the next."""

    def visit(self, node: Node, above: Tensor) -> Tensor:
        here = torch.tanh(self.mix(torch.cat([self.word(node), above])))
        h = here
        for child in node.children:
            h = self.gru(self.visit(child, here)[None], h[None])[0]
        return h

    def forward(self, node: Node) -> Tensor:
        return self.visit(node, torch.zeros(H))


class OnlyPayloads(Base):
    """The children's words alone, with a share of their own going down to each."""

    def visit(self, node: Node, above: Tensor) -> Tensor:
        state, total = above, self.word(node)
        for child in node.children:
            state = torch.tanh(state + self.words(torch.tensor(child.word)))
            total = total + self.visit(child, state)
        return total

    def forward(self, node: Node) -> Tensor:
        return self.visit(node, torch.zeros(H))


class Backwards(Base):
    """From the last child to the first, which are numbered from 1."""

    def forward(self, node: Node) -> Tensor:
        h = self.word(node)
        for child in reversed(node.children):
            h = self.gru(self(child)[None], h[None])[0]
        for n, child in enumerate(node.children, 1):
            h = h + self.words(torch.tensor(child.word)) / n
        return torch.tanh(h)


def bushes() -> list[tuple[Any, ...]]:
    wide = Node(3, *[Node(k % 10, *[Node(j % 10) for j in range(k)]) for k in range(12)])
    return alone([*trees(), wide])


MODELS: dict[str, tuple[type[nn.Module], Callable[[], list[tuple[Any, ...]]]]] = {
    m.__name__: (m, bushes) for m in (Gru, Lstm, Positions, FromZero, WithContext, OnlyPayloads, Backwards)
}
