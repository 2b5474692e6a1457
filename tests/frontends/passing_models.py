"""Recursive modules in which something goes down from parents to children, each as a user might write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

H = 6


class Node:
    def __init__(self, word: int, *children: Node) -> None:
        self.word, self.children = word, list(children)


def trees() -> list[Node]:
    deep = Node(0)
    for n in range(12):
        deep = Node(n % 9, deep)
    return [
        Node(1, Node(2), Node(3, Node(4), Node(5, Node(8)), Node(1))),
        Node(7),
        Node(6, *[Node(n, Node(n + 1), *[Node(k) for k in range(n)]) for n in range(4)]),
        deep,
    ]


class Pair:
    def __init__(self, word: int, left: Pair | None = None, right: Pair | None = None) -> None:
        self.word, self.left, self.right = word, left, right


def pairs() -> list[Pair]:
    a = Pair(1, Pair(2), Pair(3, Pair(4), Pair(5)))
    return [a, Pair(7), Pair(6, Pair(2, a, Pair(3)), Pair(0, Pair(8), Pair(1)))]


class Context(nn.Module):
    """A context that is the same at every node."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, H)
        self.own, self.around = nn.Linear(2 * H, H), nn.Linear(H, H)

    def node(self, node: Node, context: Tensor) -> Tensor:
        h = self.own(torch.cat([self.words(torch.tensor(node.word)), context]))
        for child in node.children:
            h = h + self.around(self.node(child, context))
        return torch.tanh(h)

    def forward(self, node: Node, context: Tensor) -> Tensor:
        return self.node(node, torch.relu(context))


class Question(Context):
    """The context comes out of another recursion."""

    def encode(self, node: Node) -> Tensor:
        h = self.words(torch.tensor(node.word))
        if node.children:
            h = h + torch.stack([self.encode(c) for c in node.children]).mean(0)
        return torch.sigmoid(h)

    def forward(self, node: Node, question: Node) -> Tensor:
        return self.node(node, self.encode(question))


class TopDown(nn.Module):
    """States go from parents to children; every node's is collected."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, H)
        self.left, self.right = nn.GRUCell(H, H), nn.GRUCell(H, H)
        self.start = nn.Parameter(torch.randn(H))

    def forward(self, pair: Pair) -> list[Tensor]:
        out: list[Tensor] = []
        self.down(pair, self.start, out)
        return out

    def down(self, pair: Pair, h: Tensor, out: list[Tensor]) -> None:
        out.append(h)
        x = self.words(torch.tensor(pair.word))
        if pair.left is not None:
            self.down(pair.left, self.left(x[None], h[None])[0], out)
        if pair.right is not None:
            self.down(pair.right, self.right(x[None], h[None])[0], out)


class BothWays(nn.Module):
    """An LSTM down and sums up, with what went down at each node."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, H)
        self.cell = nn.LSTMCell(H, H)
        self.join = nn.Linear(2 * H, H)

    def visit(self, node: Node, state: tuple[Tensor, Tensor]) -> Tensor:
        h, c = self.cell(self.words(torch.tensor([node.word])), state)
        below = torch.zeros(H)
        for child in node.children:
            below = below + self.visit(child, (h, c))
        return torch.tanh(self.join(torch.cat([h[0], below])))

    def forward(self, node: Node) -> Tensor:
        return self.visit(node, (torch.zeros(1, H), torch.zeros(1, H)))


class Closure(nn.Module):
    """A nested function that captures what goes down."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.mix = nn.Embedding(10, H), nn.Linear(H, H)

    def forward(self, node: Node, query: Tensor) -> Tensor:
        key = self.mix(query)

        def visit(node: Node) -> Tensor:
            h = self.words(torch.tensor(node.word)) * key
            return torch.tanh(h + sum(visit(c) for c in node.children))

        return visit(node)


class Weighted(nn.Module):
    """Each child takes its own part."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.score = nn.Embedding(10, H), nn.Linear(H, 1)

    def spread(self, node: Node, mass: Tensor) -> Tensor:
        own = self.words(torch.tensor(node.word)) * mass
        if not node.children:
            return own
        scores = torch.cat([self.score(self.words(torch.tensor(c.word))) for c in node.children])
        shares = torch.softmax(scores, 0)
        return own + torch.stack([self.spread(c, mass * s) for c, s in zip(node.children, shares)]).sum(0)

    def forward(self, node: Node) -> Tensor:
        return self.spread(node, torch.ones(1))


class Depth(nn.Module):
    """The depth of a node takes part in its state, and its parent's word."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.depths = nn.Embedding(10, H), nn.Embedding(200, H)

    def at(self, node: Node, depth: int, above: int) -> Tensor:
        h = self.words(torch.tensor(node.word)) + self.depths(torch.tensor(depth)) - self.words(torch.tensor(above))
        for child in node.children:
            h = h + torch.tanh(self.at(child, depth + 1, node.word)) / (depth + 1)
        return h

    def forward(self, node: Node) -> Tensor:
        return self.at(node, 0, 0)


class OptionalState(nn.Module):
    """The root has no state from above."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.pass_on = nn.Embedding(10, H), nn.Linear(H, H)

    def forward(self, node: Node, above: Tensor | None = None) -> Tensor:
        h = self.words(torch.tensor(node.word))
        if above is not None:
            h = h + self.pass_on(above)
        return torch.tanh(h) + sum(self(c, above=h) for c in node.children)


def with_vectors(structures: list[Any]) -> list[tuple[Any, ...]]:
    return [(s, torch.randn(H, generator=torch.Generator().manual_seed(n))) for n, s in enumerate(structures)]


def alone(structures: list[Any]) -> list[tuple[Any, ...]]:
    return [(s,) for s in structures]


def deep() -> list[tuple[Any, ...]]:
    chain = Node(0)
    for n in range(90):
        chain = Node(n % 10, chain)
    return [(chain,), *alone(trees())]


MODELS: dict[str, tuple[type[nn.Module], Callable[[], list[tuple[Any, ...]]]]] = {
    "Context": (Context, lambda: with_vectors(trees())),
    "Question": (Question, lambda: list(zip(trees(), trees()[::-1], strict=True))),
    "TopDown": (TopDown, lambda: alone(pairs())),
    "BothWays": (BothWays, lambda: alone(trees())),
    "Closure": (Closure, lambda: with_vectors(trees())),
    "Weighted": (Weighted, lambda: alone(trees())),
    "Depth": (Depth, deep),
    "OptionalState": (OptionalState, lambda: alone(trees())),
}
