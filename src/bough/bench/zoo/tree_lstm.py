"""Tree-structured long short-term memory (Tai, Socher, Manning, "Improved semantic representations from tree-structured
long short-term memory networks", ACL 2015)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bough.bench.zoo.nodes import Phrase, Syntax, Tree

State = tuple[Tensor, Tensor]


class TreeLSTM(nn.Module):
    """The binary form (section 3.2): a forget gate for each child, weights of their own for left and right. Words are at the
    leaves."""

    def __init__(self, hidden: int, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.input = nn.Linear(hidden, 3 * hidden)
        self.gates = nn.Linear(2 * hidden, 5 * hidden)

    def forward(self, tree: Tree) -> Tensor:
        return self.encode(tree)[0]

    def encode(self, tree: Tree) -> State:
        if tree.is_leaf:
            i, o, u = self.input(self.embedding.weight[tree.word]).chunk(3)
            c = torch.sigmoid(i) * torch.tanh(u)
        else:
            left_h, left_c = self.encode(tree.left)
            right_h, right_c = self.encode(tree.right)
            i, left_f, right_f, o, u = self.gates(torch.cat([left_h, right_h])).chunk(5)
            c = torch.sigmoid(i) * torch.tanh(u) + torch.sigmoid(left_f) * left_c + torch.sigmoid(right_f) * right_c
        return torch.sigmoid(o) * torch.tanh(c), c


class ChildSumTreeLSTM(nn.Module):
    """The child-sum form (section 3.1) on phrases of any number of children. Words are at the leaves."""

    def __init__(self, hidden: int, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.input = nn.Linear(hidden, 3 * hidden)
        self.gates = nn.Linear(hidden, 3 * hidden)
        self.forget = nn.Linear(hidden, hidden)

    def forward(self, phrase: Phrase) -> Tensor:
        h, _ = self.encode(phrase)
        return h

    def encode(self, phrase: Phrase) -> State:
        if len(phrase.children) == 0:
            i, o, u = self.input(self.embedding.weight[phrase.word]).chunk(3)
            c = torch.sigmoid(i) * torch.tanh(u)
        else:
            states = [self.encode(child) for child in phrase.children]
            h = torch.stack([h for h, _ in states])
            c = torch.stack([c for _, c in states])
            i, o, u = self.gates(h.sum(dim=0)).chunk(3)
            c = torch.sigmoid(i) * torch.tanh(u) + (torch.sigmoid(self.forget(h)) * c).sum(dim=0)
        return torch.sigmoid(o) * torch.tanh(c), c


class SyntaxTreeLSTM(nn.Module):
    """The child-sum form over syntax trees: an input at every node, and a classifier at the root."""

    def __init__(self, hidden: int, vocabulary: int, classes: int = 10) -> None:
        super().__init__()
        self.kinds = nn.Embedding(vocabulary, hidden)
        self.w_iou = nn.Linear(hidden, 3 * hidden)
        self.u_iou = nn.Linear(hidden, 3 * hidden, bias=False)
        self.w_f = nn.Linear(hidden, hidden)
        self.u_f = nn.Linear(hidden, hidden, bias=False)
        self.classify = nn.Linear(hidden, classes)

    def forward(self, node: Syntax) -> Tensor:
        h, _ = self.encode(node)
        scores: Tensor = self.classify(h)
        return scores

    def encode(self, node: Syntax) -> State:
        x = self.kinds.weight[node.kind]
        states = [self.encode(child) for child in node.children]
        before = sum((h for h, _ in states), torch.zeros_like(x))
        i, o, u = (self.w_iou(x) + self.u_iou(before)).chunk(3)
        w = self.w_f(x)
        c = torch.sigmoid(i) * torch.tanh(u) + sum(torch.sigmoid(w + self.u_f(h)) * c for h, c in states)
        return torch.sigmoid(o) * torch.tanh(c), c
