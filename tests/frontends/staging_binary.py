"""Modules over binary trees: ways to know a leaf, to give results, to remember them."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from staging_structures import H, Model, Tree, on, trees, unshared
from torch import Tensor, nn


@on(trees)
class ByProperty(Model):
    def forward(self, t: Tree) -> Tensor:
        if t.is_leaf:
            return self.embedding(torch.tensor(t.word))
        return torch.tanh(self.two(torch.cat([self(t.left), self(t.right)])))


@on(trees)
class ByNone(Model):
    def forward(self, t: Tree) -> Tensor:
        if t is None:
            return torch.zeros(H)
        return torch.tanh(self.one(self(t.left)) - self(t.right) + self.embedding.weight[t.word])


@on(trees)
class Classified(Model):
    def forward(self, t: Tree) -> dict[str, Tensor]:
        h, c = self.state(t)
        return {"scores": torch.softmax(self.out(h), 0), "state": c}

    def state(self, t: Tree) -> tuple[Tensor, Tensor]:
        if not t.left:
            h = self.embedding(torch.tensor([t.word]))[0]
        else:
            (lh, lc), (rh, rc) = self.state(t.left), self.state(t.right)
            h = self.mix(lh, rh) + lc * rc
        return h, torch.sigmoid(h)

    def mix(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.relu(self.two(torch.cat((a, b), dim=-1)))


class State(NamedTuple):
    h: Tensor
    c: Tensor


@on(trees)
class NamedStates(Model):
    def forward(self, t: Tree) -> State:
        if t.left is not None and t.right is not None:
            a, b = self.forward(t.left), self.forward(t.right)
            return State(a.h + b.c, c=torch.tanh(a.c * b.h))
        e = self.embedding.weight[t.word]
        return State(h=e, c=-e)


@on(unshared)
class LocalFunction(Model):
    def forward(self, t: Tree) -> tuple[Tensor, list[Tensor]]:
        seen: list[Tensor] = []

        def visit(node: Tree) -> Tensor:
            h = self.embedding.weight[node.word]
            for side in (node.left, node.right):
                if side is not None:
                    h = h + self.one(visit(side))
            seen.append(h)
            return h

        return visit(t), seen


@on(trees)
class Memo(Model):
    def forward(self, t: Tree) -> Tensor:
        return self.encode(t, {})

    def encode(self, t: Tree, memo: dict[int, Tensor]) -> Tensor:
        if id(t) in memo:
            return memo[id(t)]
        if t.is_leaf:
            h = self.embedding.weight[t.word]
        else:
            h = torch.tanh(self.encode(t.left, memo) + self.one(self.encode(t.right, memo)))
        memo[id(t)] = h
        return h


@on(trees)
class MemoOfObjects(Model):
    def forward(self, t: Tree) -> Tensor:
        self.memo: dict[Tree, Tensor] = {}
        return self.encode(t)

    def encode(self, t: Tree) -> Tensor:
        known = self.memo.get(t)
        if known is not None:
            return known
        self.memo[t] = self.one(self.encode(t.left) + self.encode(t.right)) if t.left else self.embedding.weight[t.word]
        return self.memo[t]


@on(trees)
class Cached(Model):
    def forward(self, t: Tree) -> Tensor:
        return self.encode(t)

    @functools.cache  # noqa: B019
    def encode(self, t: Tree) -> Tensor:
        if t.left is None:
            return self.embedding.weight[t.word]
        return self.one(self.encode(t.left)) * self.encode(t.right)


@on(unshared)
class EveryNode(Model):
    """Results from every node, through a list on the module."""

    def forward(self, t: Tree) -> tuple[Tensor, Tensor]:
        self.scores: list[Tensor] = []
        root = self.visit(t)
        return root, torch.stack(self.scores)

    def visit(self, t: Tree) -> Tensor:
        h = self.embedding.weight[t.word]
        if not t.is_leaf:
            h = h + self.visit(t.left)
            self.scores.append(h.sum())
            h = h * self.visit(t.right)
        self.scores.append(h.mean())
        return h


@on(trees)
class StaticDepth(Model):
    """Weights of their own for the first levels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(H, H) for _ in range(3)])

    def forward(self, t: Tree, depth: int = 0) -> Tensor:
        if t.is_leaf:
            return self.embedding.weight[t.word]
        below = min(depth + 1, 2)
        return self.layers[depth](self(t.left, below) + self(t.right, depth=below))


class Submodule(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(2 * width, width)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return torch.tanh(self.layer(torch.cat([left, right])))


@on(trees)
class Submodules(Model):
    def __init__(self) -> None:
        super().__init__()
        self.compose = nn.ModuleDict({"even": Submodule(H), "odd": Submodule(H)})
        self.head = nn.Sequential(nn.Linear(H, 4), nn.ReLU(), nn.Linear(4, 2))

    def forward(self, t: Tree) -> Tensor:
        even, _ = self.both(t)
        return self.head(even)

    def both(self, t: Tree) -> tuple[Tensor, Tensor]:
        return self.even(t), self.odd(t)

    def even(self, t: Tree) -> Tensor:
        return self.embedding.weight[t.word] if t.is_leaf else self.compose["even"](self.odd(t.left), self.odd(t.right))

    def odd(self, t: Tree) -> Tensor:
        return -self.embedding.weight[t.word] if t.is_leaf else self.compose["odd"](self.even(t.left), self.even(t.right))


@on(trees)
class InPlace(Model):
    """What a call gives may be changed in place."""

    def forward(self, t: Tree) -> Tensor:
        if t.is_leaf:
            return self.one(self.embedding.weight[t.word])
        h = self.forward(t.left)
        h += self.forward(t.right)
        h.mul_(0.5).tanh_()
        return h


@on(trees)
class ClearedMemo(Model):
    def __init__(self) -> None:
        super().__init__()
        self.memo: dict[Tree, Tensor] = {}

    def forward(self, t: Tree) -> Tensor:
        self.memo.clear()
        return self.encode(t)

    def encode(self, t: Tree) -> Tensor:
        if t in self.memo:
            return self.memo[t]
        h = self.embedding.weight[t.word] if t.is_leaf else self.one(self.encode(t.left) * self.encode(t.right))
        self.memo[t] = h
        return h
