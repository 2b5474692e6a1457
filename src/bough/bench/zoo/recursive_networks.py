"""Recursive networks whose state is a vector: one layer over the states of two children."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bough.bench.zoo.nodes import Nested, Tree

CLASSES = 5


class TreeFC(nn.Module):
    """A fully connected layer at every inner node (Looks et al., "Deep learning with dynamic computation graphs", ICLR 2017)."""

    def __init__(self, hidden: int, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.fc = nn.Linear(2 * hidden, hidden)

    def forward(self, tree: Tree) -> Tensor:
        if tree.is_leaf:
            return self.embedding.weight[tree.word]
        return torch.relu(self.fc(torch.cat((self(tree.left), self(tree.right)))))


class TreeRNN(nn.Module):
    """The recursive neural network with a classifier at the root (Socher et al., "Parsing natural scenes and natural
    language with recursive neural networks", ICML 2011). A tree is a word or a pair of trees."""

    def __init__(self, hidden: int, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.left = nn.Linear(hidden, hidden)
        self.right = nn.Linear(hidden, hidden, bias=False)
        self.classify = nn.Linear(hidden, CLASSES)

    def forward(self, tree: Nested) -> Tensor:
        return torch.log_softmax(self.classify(self.compose(tree)), dim=-1)

    def compose(self, tree: Nested) -> Tensor:
        if isinstance(tree, int):
            return torch.tanh(self.embedding.weight[tree])
        left, right = tree
        return torch.tanh(self.left(self.compose(left)) + self.right(self.compose(right)))


class RNTN(nn.Module):
    """The recursive neural tensor network, which classifies every phrase (Socher et al., "Recursive deep models for semantic
    compositionality over a sentiment treebank", EMNLP 2013). Gives a row for each node, children before their parents."""

    def __init__(self, hidden: int, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.tensor = nn.Parameter(torch.empty(hidden, 2 * hidden, 2 * hidden).uniform_(-1, 1) / (4 * hidden))
        self.linear = nn.Linear(2 * hidden, hidden)
        self.classify = nn.Linear(hidden, CLASSES)

    def forward(self, tree: Tree) -> Tensor:
        scores: list[Tensor] = []
        self.compose(tree, scores)
        return torch.stack(scores)

    def compose(self, tree: Tree, scores: list[Tensor]) -> Tensor:
        if tree.left is None:
            state = torch.tanh(self.embedding(torch.tensor(tree.word)))
        else:
            left = self.compose(tree.left, scores)
            right = self.compose(tree.right, scores)
            pair = torch.cat([left, right])
            state = torch.tanh((self.tensor @ pair) @ pair + self.linear(pair))
        scores.append(torch.log_softmax(self.classify(state), dim=-1))
        return state
