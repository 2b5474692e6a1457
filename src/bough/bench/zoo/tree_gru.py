"""Gated recurrent units over trees."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bough.bench.zoo.nodes import Tree


class TreeGRU(nn.Module):
    """A gated recurrent unit whose state before is the sum of the children's (Cho et al., "Learning phrase representations
    using RNN encoder-decoder", EMNLP 2014, over trees as in Tai et al., ACL 2015). Words are at the leaves."""

    def __init__(self, hidden: int, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.input = nn.Linear(hidden, 2 * hidden)
        self.gates = nn.Linear(hidden, 2 * hidden)
        self.candidate = nn.Linear(hidden, hidden)

    def forward(self, tree: Tree) -> Tensor:
        if tree.left is None:
            update, candidate = self.input(self.embedding.weight[tree.word]).chunk(2)
            return (1 - torch.sigmoid(update)) * torch.tanh(candidate)
        total = self.forward(tree.left) + self.forward(tree.right)
        reset, update = torch.sigmoid(self.gates(total)).chunk(2)
        candidate = torch.tanh(self.candidate(reset * total))
        return self.mix(update, candidate, total)

    def mix(self, update: Tensor, candidate: Tensor, total: Tensor) -> Tensor:
        return (1 - update) * candidate + update * total


class SimpleTreeGRU(TreeGRU):
    """The same without the term that carries the children's states past the gates, the second model on which Fegade et al.
    try recursive refactoring ("Cortex: a compiler for recursive deep learning models", MLSys 2021)."""

    def mix(self, update: Tensor, candidate: Tensor, total: Tensor) -> Tensor:
        return (1 - update) * candidate
