"""PyTorch modules that do at each node, with the results of any number of children, what people do with sets of vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN = 6
KINDS = 5


class Node:
    def __init__(self, x: Tensor, word: int, children: list[Node]) -> None:
        self.x, self.word, self.children = x, word, children


def tree(size: int, seed: int) -> Node:
    """A random tree of `size` nodes of any arity."""
    draw = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)

    def make(n: int) -> Node:
        children: list[Node] = []
        n -= 1
        while n > 0:
            part = int(draw.integers(1, n + 1))
            children.append(make(part))
            n -= part
        return Node(torch.randn(HIDDEN, generator=generator), int(draw.integers(KINDS)), children)

    return make(size)


class Combined(nn.Module):
    """A leaf gives its vector, a node what `up` makes of the children's results, as rows of a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(HIDDEN, HIDDEN) for _ in range(3))
        self.kinds = nn.Embedding(KINDS, HIDDEN)

    def forward(self, node: Node) -> Tensor:
        if not node.children:
            return torch.tanh(self.q(node.x))
        return torch.tanh(self.up(torch.stack([self(c) for c in node.children]), node))

    def up(self, hs: Tensor, node: Node) -> Tensor:
        raise NotImplementedError


class Statistics(Combined):
    def up(self, hs: Tensor, node: Node) -> Tensor:
        return hs.mean(0) + hs.amax(0) - hs.std(0, unbiased=False) + hs.logsumexp(0) + F.normalize(hs, dim=1).sum(0)


class Attention(Combined):
    def up(self, hs: Tensor, node: Node) -> Tensor:
        return torch.softmax(self.k(hs) @ self.q(node.x), 0) @ self.v(hs)


class AmongThemselves(Combined):
    def up(self, hs: Tensor, node: Node) -> Tensor:
        rows = torch.cat([hs, node.x[None], hs.flip(0)])
        return (torch.softmax(self.q(rows) @ self.k(rows).T, 1) @ self.v(rows)).sum(0)


class Heads(Combined):
    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(HIDDEN, 2, batch_first=True)
        self.norm = nn.LayerNorm(HIDDEN)

    def up(self, hs: Tensor, node: Node) -> Tensor:
        mixed, _ = self.attend(node.x[None, None], hs[None], hs[None])
        result: Tensor = self.norm(mixed[0, 0] + node.x)
        return result


class Sequential(Combined):
    def __init__(self) -> None:
        super().__init__()
        self.read = nn.LSTM(HIDDEN, HIDDEN, batch_first=True, bidirectional=True)

    def up(self, hs: Tensor, node: Node) -> Tensor:
        every, (last, _) = self.read(hs[None])
        return last[0, 0] + last[1, 0] + every[0, :, :HIDDEN].mean(0)


class Convolved(Combined):
    def __init__(self) -> None:
        super().__init__()
        self.window = nn.Conv1d(HIDDEN, HIDDEN, 3, padding=1)

    def up(self, hs: Tensor, node: Node) -> Tensor:
        return F.relu(self.window(hs.T[None])[0]).mean(1)


class Places(Combined):
    def up(self, hs: Tensor, node: Node) -> Tensor:
        places = torch.arange(hs.shape[0]).float() / hs.shape[0]
        return (places[:, None] * hs).sum(0) + hs[-1] + hs[0] + hs[1:].sum(0) + torch.cumsum(hs, 0).sum(0)


class Chosen(Combined):
    def up(self, hs: Tensor, node: Node) -> Tensor:
        words = torch.tensor([c.word for c in node.children])
        gated = torch.sigmoid(self.k(hs) + self.kinds(words)) * hs
        return torch.where((words > 2)[:, None], gated, -hs).sum(0) + hs[hs.sum(1).argmax()] + hs.sort(0).values[-1]


class Numbers(nn.Module):
    """Results without dimensions, at every node, leaves among them."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(HIDDEN, 1)

    def forward(self, node: Node) -> Tensor:
        total: Tensor = self.score(node.x).sum()
        for c in node.children:
            total = total + 0.5 * self(c)
        return total


class Nested(nn.Module):
    """Several results, nested; a payload and a state joined in one product."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(HIDDEN, HIDDEN), nn.Linear(2 * HIDDEN, HIDDEN)

    def forward(self, node: Node) -> dict[str, Any]:
        h, c = self.walk(node)
        return {"h": h, "pair": (c, self.a(h))}

    def walk(self, node: Node) -> tuple[Tensor, Tensor]:
        if not node.children:
            return node.x, torch.sigmoid(node.x)
        below = [self.walk(c) for c in node.children]
        h = torch.stack([r[0] for r in below]).sum(0)
        c = torch.stack([r[1] for r in below]).max(0).values
        return torch.tanh(self.b(torch.cat([h, node.x]))), c + self.a(h)


MODULES: dict[str, type[nn.Module]] = {
    m.__name__: m
    for m in (
        Statistics, Attention, AmongThemselves, Heads, Sequential, Convolved, Places, Chosen, Numbers, Nested,
    )
}
