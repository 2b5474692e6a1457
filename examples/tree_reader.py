"""A TreeLSTM over syntax trees: written as plain recursion, to be compiled, and by hand over many trees at once, to be trained.

`TreeReader` is what Bough compiles. Training is outside Bough, and in eager PyTorch it is only quick where many nodes are
computed at once; so `classify_by_depth` is the same network with the same weights, batched by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from python_functions import KINDS, WORDS, Node, Sample
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 128
BATCHES = 50


class TreeReader(nn.Module):
    """A child-sum TreeLSTM (Tai et al. 2015) over kinds and words of nodes, and a linear classifier at the root."""

    def __init__(self, packages: int) -> None:
        super().__init__()
        self.kinds = nn.Embedding(len(KINDS), WIDTH)
        self.words = nn.Embedding(WORDS, WIDTH)
        self.input = nn.Linear(WIDTH, 3 * WIDTH)
        self.hidden = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.input_forget = nn.Linear(WIDTH, WIDTH)
        self.hidden_forget = nn.Linear(WIDTH, WIDTH, bias=False)
        self.classify = nn.Linear(WIDTH, packages)

    def forward(self, tree: Node) -> Tensor:
        hidden, _ = self.read(tree)
        return self.classify(hidden)

    def read(self, node: Node) -> tuple[Tensor, Tensor]:
        x = self.kinds.weight[node.kind] + self.words.weight[node.word]
        gates = self.input(x)
        if not node.children:
            i, o, u = gates.chunk(3)
            cell = torch.sigmoid(i) * torch.tanh(u)
            return torch.sigmoid(o) * torch.tanh(cell), cell
        states = [self.read(child) for child in node.children]
        hidden = torch.stack([h for h, _ in states])
        cells = torch.stack([c for _, c in states])
        i, o, u = (gates + self.hidden(hidden.sum(0))).chunk(3)
        forget = torch.sigmoid(self.input_forget(x) + self.hidden_forget(hidden))
        cell = torch.sigmoid(i) * torch.tanh(u) + (forget * cells).sum(0)
        return torch.sigmoid(o) * torch.tanh(cell), cell


class Depth(NamedTuple):
    """Nodes of one depth in several trees, each with the position of its parent in the depth above."""

    kinds: Tensor
    words: Tensor
    parents: Tensor


def by_depth(trees: Sequence[Node]) -> list[Depth]:
    depths: list[Depth] = []
    nodes, parents = list(trees), [0] * len(trees)
    while nodes:
        depths.append(Depth(*map(torch.tensor, ([n.kind for n in nodes], [n.word for n in nodes], parents))))
        parents = [at for at, n in enumerate(nodes) for _ in n.children]
        nodes = [child for n in nodes for child in n.children]
    return depths


def classify_by_depth(model: TreeReader, depths: Sequence[Depth]) -> Tensor:
    """What `model` says to each tree, computed by hand for all nodes of a depth at once, from the deepest up."""
    hidden = cells = torch.zeros(0, WIDTH)
    parents = torch.zeros(0, dtype=torch.long)
    for depth in reversed(depths):
        x = model.kinds(depth.kinds) + model.words(depth.words)
        none = torch.zeros_like(x)
        i, o, u = (model.input(x) + model.hidden(none.index_add(0, parents, hidden))).chunk(3, 1)
        forget = torch.sigmoid(model.input_forget(x)[parents] + model.hidden_forget(hidden))
        cells = torch.sigmoid(i) * torch.tanh(u) + none.index_add(0, parents, forget * cells)
        hidden, parents = torch.sigmoid(o) * torch.tanh(cells), depth.parents
    return model.classify(hidden)


def train(model: TreeReader, samples: Sequence[Sample], epochs: int) -> None:
    """Hides half of the words, different ones each time: identifiers alone would soon tell all trees of training apart."""
    with torch.no_grad():
        for table in (model.kinds, model.words):
            table.weight *= 0.3
    batches = [samples[n::BATCHES] for n in range(BATCHES)]
    prepared = [(by_depth([s.tree for s in batch]), torch.tensor([s.package for s in batch])) for batch in batches]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.3)
    for _ in range(epochs):
        for n in torch.randperm(BATCHES).tolist():
            depths, packages = prepared[n]
            hidden = [d._replace(words=d.words * (torch.rand(d.words.shape) < 0.5)) for d in depths]
            optimizer.zero_grad()
            F.cross_entropy(classify_by_depth(model, hidden), packages).backward()
            optimizer.step()
    model.eval()
