"""Recursive modules that fill a list on the way and go on with it where the recursion was started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from passing_models import H, Node, alone, trees
from torch import Tensor, nn


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.mix, self.classes = nn.Embedding(10, H), nn.Linear(H, H), nn.Linear(H, 3)

    def visit(self, node: Node, out: list[Tensor]) -> Tensor:
        h = self.words(torch.tensor(node.word))
        for child in node.children:
            h = h + self.visit(child, out)
        h = torch.tanh(self.mix(h))
        out.append(h)
        return h


class Mean(Base):
    def forward(self, node: Node) -> Tensor:
        out: list[Tensor] = []
        self.visit(node, out)
        return torch.stack(out).mean(0)


class EachClassified(Base):
    """A class for every node, and one for the whole."""

    def forward(self, node: Node) -> tuple[Tensor, Tensor]:
        out: list[Tensor] = []
        root = self.visit(node, out)
        return torch.log_softmax(self.classes(torch.stack(out)), -1), self.classes(root)


class Attention(Base):
    """The root attends to all nodes."""

    def forward(self, node: Node) -> dict[str, Tensor]:
        out: list[Tensor] = []
        root = self.visit(node, out)
        states = torch.stack(out)
        weights = torch.softmax(states @ self.mix(root), 0)
        return {"weights": weights, "context": weights @ states, "states": states}


class Listed(Base):
    """A list in, a list out."""

    def forward(self, node: Node) -> list[Tensor]:
        out: list[Tensor] = []
        self.visit(node, out)
        return [self.classes(h).relu() for h in out]


class Summed(Base):
    def forward(self, node: Node) -> Tensor:
        self.states: list[Tensor] = []
        self.gather(node)
        return sum(self.states) / len(self.states)

    def gather(self, node: Node) -> None:
        for child in node.children:
            self.gather(child)
        self.states.append(self.words(torch.tensor(node.word)))


class InADictionary(Base):
    """Lists in a dictionary, extended by several at once and by +=."""

    def gather(self, node: Node, found: dict[str, list[Tensor]]) -> Tensor:
        h = self.words(torch.tensor(node.word))
        below = torch.stack([self.gather(c, found) for c in node.children]).sum(0) if node.children else torch.zeros(H)
        found["states"].extend([h, below])
        words = found["words"]
        words += [h.exp()]
        return torch.tanh(h + below)

    def forward(self, node: Node) -> tuple[Tensor, list[Tensor]]:
        found: dict[str, list[Tensor]] = {"states": [], "words": []}
        h = self.gather(node, found)
        return torch.stack(found["states"]).mean(0) * h, found["words"]


class Ends(Base):
    """The first and the last of the list, and how many there are."""

    def forward(self, node: Node) -> tuple[Tensor, int]:
        out: list[Tensor] = []
        self.visit(node, out)
        return out[0] - out[-1], len(out)


class Losses(Base):
    """What is predicted from above at each node: a loss for each, of no result; their mean."""

    def node(self, node: Node, above: Tensor, losses: list[Tensor]) -> None:
        wanted = torch.tensor([node.word % 3])
        losses.append(torch.nn.functional.cross_entropy(self.classes(above)[None], wanted))
        h = torch.tanh(self.mix(above) + self.words(torch.tensor(node.word)))
        for child in node.children:
            self.node(child, h, losses)

    def forward(self, node: Node) -> Tensor:
        losses: list[Tensor] = []
        self.node(node, torch.zeros(H), losses)
        return torch.stack(losses).mean() + sum(losses) / len(losses)


class Rows(Base):
    """Rows of a matrix each, joined; a layer over all of them."""

    def collect(self, node: Node, out: list[Tensor]) -> None:
        out.append(self.words(torch.tensor([node.word])))
        for child in node.children:
            self.collect(child, out)

    def forward(self, node: Node) -> tuple[Tensor, Tensor]:
        out: list[Tensor] = []
        self.collect(node, out)
        all_rows = torch.cat(out, dim=0)
        return self.classes(all_rows), all_rows.max(0).values


class TwoLists(Base):
    """Leaves and inner nodes apart."""

    def apart(self, node: Node, leaves: list[Tensor], inner: list[Tensor]) -> Tensor:
        if not node.children:
            h = self.words(torch.tensor(node.word))
            leaves.append(h)
            return h
        h = torch.stack([self.apart(c, leaves, inner) for c in node.children]).sum(0)
        inner.append(torch.tanh(h))
        return h

    def forward(self, node: Node) -> Tensor:
        leaves: list[Tensor] = []
        inner: list[Tensor] = []
        h = self.apart(node, leaves, inner)
        return torch.cat([torch.stack(leaves).amax(0), torch.stack(inner).sum(0), h])


class SomeAsWays(Base):
    """What is done with the list depends on the structure."""

    def forward(self, node: Node) -> Tensor:
        out: list[Tensor] = []
        h = self.visit(node, out)
        if node.word == 1:
            return h
        return torch.stack(out).mean(0) - h


MODELS: dict[str, tuple[type[nn.Module], Callable[[], list[tuple[Any, ...]]]]] = {
    m.__name__: (m, lambda: alone(trees()))
    for m in (Mean, EachClassified, Attention, Listed, Summed, InADictionary, Ends, Losses, Rows, SomeAsWays)
}
MODELS["TwoLists"] = TwoLists, lambda: alone([t for t in trees() if t.children])
