"""Modules over nodes with any number of children: sums, stacks, positions, loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from staging_structures import H, Model, Slotted, bushes, on
from torch import Tensor, nn


@on(bushes)
class SumOfChildren(Model):
    def forward(self, n: Slotted) -> Tensor:
        x = self.embedding.weight[0] * n.value
        return torch.tanh(x + sum(self.one(self(c)) for c in n.children))


@on(bushes)
class MeanOfChildren(Model):
    def forward(self, n: Slotted) -> Tensor:
        x = torch.full((H,), 0.5) + n.value
        if len(n.children) > 0:
            x = x + torch.stack([self(c) for c in n.children]).mean(0) / len(n.children)
        return torch.tanh(self.one(x))


@on(bushes)
class MaxOfChildren(Model):
    def forward(self, n: Slotted) -> Tensor:
        best = torch.full((H,), -10.0)
        total = self.one.bias
        product = torch.ones(H)
        for c in n.children:
            h = self(c)
            best = torch.maximum(best, h)
            total = h + total
            product = product * torch.sigmoid(h)
        return torch.tanh(self.one(best / 10 + total) + product + n.value)


@on(bushes)
class Appended(Model):
    def forward(self, n: Slotted) -> Tensor:
        if not n.children:
            return torch.tanh(self.one.bias * n.value)
        hs = []
        for c in n.children:
            hs.append(self.one(self(c)))
        return torch.stack(hs, dim=0).amax(dim=0) + hs[0] - hs[-1] * n.value


@on(bushes)
class Attention(Model):
    def forward(self, n: Slotted) -> Tensor:
        x = torch.tanh(self.one.bias + n.value)
        if not n.children:
            return x
        states = torch.stack([self.forward(c) for c in n.children])
        scores = torch.softmax(states @ self.one(x) / H**0.5, dim=0)
        return torch.tanh(scores @ states)


@on(bushes)
class PairsOfChildren(Model):
    def forward(self, n: Slotted) -> Tensor:
        return self.state(n)[0]

    def state(self, n: Slotted) -> tuple[Tensor, Tensor]:
        x = self.one.bias * n.value
        if len(n.children) == 0:
            return torch.sigmoid(x), x
        hs, cs = zip(*[self.state(c) for c in n.children])
        gates = [torch.sigmoid(self.one(h) + x) for h in hs]
        c = x + sum(g * c for g, c in zip(gates, cs))
        return torch.tanh(c) + torch.stack(hs).sum(0), c


@on(bushes)
class Positions(Model):
    def forward(self, n: Slotted) -> Tensor:
        total = torch.tanh(self.one.bias + n.value)
        for i, c in enumerate(n.children):
            total = total + self.embedding(torch.tensor(i)) * self(c)
        for i in range(len(n.children)):
            total = total - self.embedding.weight[i] * n.children[i].value
        return total


@on(bushes)
class ByArity(Model):
    """Two, one or no children, by their number."""

    def forward(self, n: Slotted) -> Tensor:
        x = torch.tanh(self.one.bias * n.value)
        match len(n.children):
            case 0:
                return x
            case 1:
                return self.one(self(n.children[0])) + x
            case 2:
                left, right = n.children
                return self.two(torch.cat([self(left), self(right)]))
        return sum((self(c) for c in n.children), x)


@on(bushes)
class FirstAndRest(Model):
    def forward(self, n: Slotted) -> Tensor:
        if not n.children:
            return self.one.bias + n.value
        total = self.one(self(n.children[0]))
        for c in n.children[1:]:
            total = total + torch.relu(self(c))
        return torch.tanh(total) * self(n.children[-1])


@on(bushes)
class NumbersOfChildren(Model):
    def forward(self, n: Slotted) -> Tensor:
        weights = [c.value * 0.5 + 1 for c in n.children]
        states = [w * self(c) for w, c in zip(weights, n.children)]
        return torch.tanh(sum(states, self.one.bias * n.value))


@on(bushes)
class SubtreeSizes(Model):
    """A recursion whose results are numbers."""

    def forward(self, n: Slotted) -> Tensor:
        return self.one.bias / self.weight(n)

    def weight(self, n: Slotted) -> Tensor:
        return torch.tensor(1.0) + sum(self.weight(c) for c in n.children)


@on(bushes)
class Rows(Model):
    """States with two axes."""

    def forward(self, n: Slotted) -> Tensor:
        x = torch.outer(self.one.bias, self.one.bias) * n.value
        total = x
        for c in n.children:
            m = self(c)
            total = total + torch.tanh(m @ self.one.weight + m.t() @ x)[:, :H]
        return total.softmax(dim=0)


@on(bushes)
class ElementCells(Model):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(H, H)
        self.norm = nn.LayerNorm(H)

    def forward(self, n: Slotted) -> Tensor:
        x = torch.tanh(self.one.bias * n.value)
        updated = [self.norm(self.cell(x, self(c))) for c in n.children]
        halves = [torch.cat([u[:2], u.chunk(2)[1], u[-1:]]) for u in updated]
        return sum(halves, x)


@on(lambda: bushes()[::-1])
class WeightsByPosition(Model):
    """Each of the first children has weights of its own, the others share those of the third."""

    def __init__(self) -> None:
        super().__init__()
        self.at = nn.ModuleList([nn.Linear(H, H) for _ in range(3)])

    def forward(self, n: Slotted) -> Tensor:
        total = self.one.bias * n.value
        for i, c in enumerate(n.children):
            total = total + self.at[min(i, 2)](self(c))
        return torch.tanh(total)


@on(lambda: bushes()[::-1])
class CellOverChildren(Model):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(H, H)

    def forward(self, n: Slotted) -> Tensor:
        h = torch.tanh(self.one.bias * n.value)
        for c in n.children:
            h = self.cell(self(c), h)
        return h


@on(lambda: bushes()[:2])
class SomeChildren(Model):
    def forward(self, n: Slotted) -> Tensor:
        hs = [self(c) for c in n.children if c.value > 0]
        for c in reversed(n.children):
            if not c.children:
                hs.append(self.one.bias * c.value)
                break
        return torch.tanh(self.one(torch.stack(hs).sum(0)) if hs else self.one.bias)


@dataclass
class Call:
    name: int
    args: list[Any] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)


@on(lambda: [Call(1, [Call(2), Call(3, [Call(4)], [1])], [0, 1]), Call(5)])
class TwoLists(Model):
    def forward(self, n: Call) -> Tensor:
        total = self.embedding.weight[n.name]
        for arg, kind in zip(n.args, n.kinds):
            total = total + self(arg) * self.embedding.weight[kind]
        return torch.tanh(total)


def fold(node: Slotted, combine: Callable[[Slotted, list[Tensor]], Tensor]) -> Tensor:
    """A function of the module that calls itself by its name."""
    return combine(node, [fold(c, combine) for c in node.children])


@on(bushes)
class Folded(Model):
    def forward(self, n: Slotted) -> Tensor:
        return fold(n, lambda node, hs: torch.tanh(self.one(sum(hs) if hs else self.one.bias) * node.value))


@on(bushes)
class Measured(Model):
    """Numbers that are found by recursion go into the tensors."""

    def size(self, n: Slotted) -> int:
        return 1 + sum(self.size(c) for c in n.children)

    def depth(self, n: Slotted) -> int:
        return 1 + max([self.depth(c) for c in n.children], default=0)

    def forward(self, n: Slotted) -> Tensor:
        return self.one.bias * self.depth(n) / self.size(n)


@on(bushes)
class CountedLoop(Model):
    def forward(self, n: Slotted) -> Tensor:
        h, i = self.one.bias * n.value, 0
        while i < len(n.children):
            h = h + torch.tanh(self(n.children[i]))
            i += 1
        return h


class Iterated:
    """A node that is walked over itself."""

    def __init__(self, index: int, *below: Iterated) -> None:
        self.index, self.below = index, below

    def __iter__(self) -> Any:
        return iter(self.below)

    def __len__(self) -> int:
        return len(self.below)


@on(lambda: [Iterated(1, Iterated(2), Iterated(3, Iterated(4))), Iterated(5)])
class OwnIteration(Model):
    def forward(self, n: Iterated) -> Tensor:
        h = self.embedding.weight[n.index]
        return h + sum(self.one(self(c)) for c in n) / len(n) if len(n) > 0 else h


@on(bushes)
class LayersOverChildren(Model):
    """torch's own layers over the states of the children."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(H, H, batch_first=True)
        self.attention = nn.MultiheadAttention(H, 2, batch_first=True)

    def forward(self, n: Slotted) -> Tensor:
        x = torch.tanh(self.one.bias + n.value)
        if not n.children:
            return x
        states = torch.stack([self(c) for c in n.children]).unsqueeze(0)
        _, last = self.gru(states)
        mixed, _ = self.attention(x[None, None], states, states, need_weights=False)
        return x + last[0, 0] * mixed[0, 0]
