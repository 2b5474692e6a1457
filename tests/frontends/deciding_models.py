"""Recursive modules that decide by what they compute: an early end, a chosen child, a refinement until it is good."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from passing_models import H, Node
from torch import Tensor, nn


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.mix, self.step = nn.Embedding(10, H), nn.Linear(2 * H, H), nn.Linear(H, H)

    def word(self, node: Node) -> Tensor:
        return self.words(torch.tensor(node.word))


class Binary(Base):
    """Over trees of two children each."""


class Stop(Binary):
    """What one child computes decides whether the other counts."""

    def forward(self, node: Node) -> Tensor:
        if not node.children:
            return torch.tanh(self.word(node))
        left = self(node.children[0])
        if left.sum() > 0.3:
            return torch.tanh(left + self.word(node))
        return torch.tanh(self.mix(torch.cat([left, self(node.children[1])])))


class Chosen(Binary):
    def forward(self, node: Node) -> Tensor:
        x = self.word(node)
        if not node.children:
            return torch.tanh(x)
        child = node.children[0] if self.step(x).mean() > 0 else node.children[1]
        return torch.tanh(self.step(self(child)) + x)


class ChosenByNumber(Binary):
    def forward(self, node: Node) -> Tensor:
        x = self.word(node)
        if len(node.children) < 2:
            return torch.tanh(x)
        return torch.tanh(self(node.children[int(self.step(x)[:2].argmax())]) + x)


class Refined(Binary):
    def forward(self, node: Node) -> Tensor:
        h = self.word(node)
        if node.children:
            h = torch.tanh(self.mix(torch.cat([self(child) for child in node.children])) + h)
        turns = 0
        while h.abs().sum() > 1.5 and turns < 6:
            h = h * 0.7 + 0.01 * self.step(h)
            turns += 1
        return h


class Helped(Binary):
    """A helper decides; the function of the recursion does not."""

    def gate(self, h: Tensor) -> Tensor:
        return torch.relu(self.step(h)) if h.max() > 0.5 else h * 2

    def forward(self, node: Node) -> Tensor:
        x = self.word(node)
        return torch.tanh(x + sum(self.gate(self(child)) for child in node.children))


class Down(Binary):
    """A state goes down from behind an early end."""

    def forward(self, node: Node) -> Tensor:
        return self.visit(node, torch.zeros(H))

    def visit(self, node: Node, state: Tensor) -> Tensor:
        h = torch.tanh(self.word(node) + self.step(state))
        if not node.children or h.sum() > 0.5:
            return h
        state = self.step(h)
        return h + self.visit(node.children[0], state) * 0.5 + self.visit(node.children[1], state)


class Depth(Binary):
    def forward(self, node: Node) -> Tensor:
        return self.visit(node, 0)

    def visit(self, node: Node, depth: int) -> Tensor:
        x = self.word(node)
        if depth >= 3 or not node.children:
            return x
        y = self.mix(torch.cat([x, self.visit(node.children[0], depth + 1)]))
        if y.abs().max() < 0.8:
            return y
        z = self.visit(node.children[1], depth + 1)
        return y + z if z.mean() > 0 else y - z


class Counted(Binary):
    """Numbers come up, and are decided by."""

    def forward(self, node: Node) -> tuple[Tensor, int]:
        x = self.word(node)
        if not node.children:
            return torch.tanh(x), 1
        (a, i), (b, j) = self(node.children[0]), self(node.children[1])
        if a.sum() > b.sum() or i > 3 * j:
            return torch.tanh(a + x), i + 1
        return torch.tanh(self.step(b)), j * 2


class Several(Binary):
    """Truth values among the results."""

    def visit(self, node: Node) -> tuple[Tensor, Tensor, Tensor]:
        x = self.word(node)
        if not node.children:
            return x, x.sum(), x.sum() > 0
        (a, b, c), (d, e, f) = map(self.visit, node.children)
        if c and not f:
            return a + x, b, c
        elif b < e:
            return d - x, e * 0.5, f
        return x * 0.5, b + e, c

    def forward(self, node: Node) -> dict[str, Tensor]:
        h, score, sure = self.visit(node)
        return {"h": h, "score": score, "sure": sure}


class Items(Binary):
    def forward(self, node: Node) -> Tensor:
        x = self.word(node)
        if not node.children:
            return torch.tanh(x)
        place, weight = int(x.argmax()), x.sum().item()
        left, right = (self(child) for child in node.children)
        if place % 3 == 0:
            out = left * weight
        elif place % 3 == 1:
            out = [left, right][place % 2] + right[place]
        else:
            out = right / (1 + abs(weight))
        return torch.tanh(out)


class Pairs(Binary):
    """Two objects at once, and numbers that lie in them beside computed ones."""

    def forward(self, a: Node) -> Tensor:
        return self.match(a, a)

    def match(self, a: Node, b: Node) -> Tensor:
        h = torch.tanh(self.word(a) - self.word(b) + 0.3)
        if not a.children or not b.children:
            return h
        if h.mean().item() * a.word > 0.5 + b.word / 8:
            return h + self.match(a.children[0], b.children[1])
        return h - self.match(a.children[1], b.children[0])


class Exact(Binary):
    """Python's own floats decide: 0.1 * 3 is more than 0.3."""

    def forward(self, node: Node) -> Tensor:
        h = self.word(node)
        if node.word * 0.1 > 0.3 or node.word / 10 == 0.2:
            h = -h
        if len(node.children) * 2 > node.word:
            h = h / 2
        return h + sum(self(child) for child in node.children)


class Bushy(Base):
    """Over trees of any number of children each."""


class Sums(Bushy):
    """The loop over the children is a sum; what is done with it is decided."""

    def forward(self, node: Node) -> Tensor:
        x = self.word(node)
        for child in node.children:
            x = x + self(child)
        if x.norm() > 2:
            x = x / 2
        while x.norm() > 1.5:
            x = x * 0.9
        return torch.tanh(x)


class Gated(Bushy):
    """Each child is decided about."""

    def forward(self, node: Node) -> Tensor:
        x = self.word(node)
        for child in node.children:
            h = self(child)
            if h.max() > 0.6:
                x = x + h
        return torch.tanh(x)


class Best(Bushy):
    def forward(self, node: Node) -> Tensor:
        x = best = self.word(node)
        for child in node.children:
            h = self(child)
            if h.sum() > best.sum():
                best = h
        return torch.tanh(best + x)


class Positive(Bushy):
    """Counts the objects whose state is positive, and adds these up."""

    def visit(self, node: Node) -> tuple[Tensor, int]:
        x, count = self.word(node), 0
        for child in node.children:
            h, below = self.visit(child)
            if h.sum() > 0:
                count += below
                x = x + h
        return torch.tanh(x), count + 1

    def forward(self, node: Node) -> tuple[Tensor, int]:
        return self.visit(node)


class Weighed(Bushy):
    """What the object computes decides what is done with all its children."""

    def forward(self, node: Node) -> Tensor:
        x = self.word(node)
        if node.children:
            sure = self.step(x)
            x = x + torch.stack([self(c) * 2 if sure.sum() > 0 else self(c) for c in node.children]).mean(0)
        return torch.tanh(x) if x.sum() > 0.1 else x


def binary() -> list[tuple[Any, ...]]:
    drawn = random.Random(3)

    def tree(size: int) -> Node:
        if size < 2:
            return Node(drawn.randrange(10))
        left = drawn.randrange(1, size)
        return Node(drawn.randrange(10), tree(left), tree(size - left))

    return [(tree(size),) for size in (6, 1, 2, 3, 5, 9, 14, 25)]


def bushes() -> list[tuple[Any, ...]]:
    drawn = random.Random(4)

    def tree(size: int) -> Node:
        children = []
        while size > 1:
            part = drawn.randrange(1, size)
            children.append(tree(part))
            size -= part
        return Node(drawn.randrange(10), *children)

    return [(tree(size),) for size in (6, 1, 2, 3, 5, 9, 14, 25)] + [(Node(3, *(Node(k % 10) for k in range(12))),)]


_MODELS: tuple[type[Base], ...] = (
    Stop, Chosen, ChosenByNumber, Refined, Helped, Down, Depth, Counted, Several, Items, Pairs, Exact,
    Sums, Gated, Best, Positive, Weighed,
)  # fmt: skip
MODELS: dict[str, tuple[type[Base], Callable[[], list[tuple[Any, ...]]]]] = {
    m.__name__: (m, binary if issubclass(m, Binary) else bushes) for m in _MODELS
}
