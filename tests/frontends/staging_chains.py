"""Modules over chains, over nodes that may lack something, and over several trees at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from staging_structures import Chain, H, Model, Tree, chains, on, trees
from torch import Tensor, nn


@on(chains)
class Recurrent(Model):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(H, H)

    def forward(self, c: Chain) -> Tensor:
        return self.out(self.state(c)[0])

    def state(self, c: Chain | None) -> tuple[Tensor, Tensor]:
        if c is None:
            return torch.zeros(H), torch.zeros(H)
        return self.cell(torch.as_tensor(c.features), self.state(c.rest))


class Optional:
    """A node with a tensor or none."""

    def __init__(self, extra: Tensor | None, children: tuple[Any, ...] = (), flag: bool = False, count: int = 0) -> None:
        self.extra, self.children, self.flag, self.count = extra, children, flag, count


@on(
    lambda: [
        Optional(torch.ones(H), (Optional(None, count=2), Optional(torch.full((H,), 2.0), flag=True, count=5))),
        Optional(None, (Optional(None, (), True, 3),), True),
    ]
)
class OptionalTensors(Model):
    def forward(self, n: Any) -> Tensor:
        h = sum((self(c) for c in n.children), self.one.bias)
        if n.extra is not None:
            h = h + n.extra
        if n.flag and n.count >= 3:
            h = h * n.count
        elif n.count:
            h = h - torch.tensor(n.count, dtype=torch.float32)
        return torch.tanh(h)


@on(lambda: [Optional(torch.ones(H), (Optional(torch.zeros(H)),))])
class SideInputs(Model):
    """Other arguments beside the structure are tensors of the wrapper."""

    def forward(self, n: Any) -> Tensor:
        return self.out(self.encode(n))

    @torch.no_grad()
    def encode(self, n: Any) -> Tensor:
        with torch.no_grad():
            h = n.extra
            for c in n.children:
                h = h + self.encode(c)
            return h


@dataclass
class Forest:
    members: list[Tree] = field(default_factory=list)


@on(lambda: [Forest(trees()), Forest(trees()[:1])])
class OfForest(Model):
    def forward(self, f: Forest) -> Tensor:
        return self.out(torch.stack([self.encode(t) for t in f.members]).mean(0))

    def encode(self, t: Tree) -> Tensor:
        return self.embedding.weight[t.word] if t.is_leaf else self.encode(t.left) - self.encode(t.right)
