"""A recurrent network over directed acyclic graphs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bough.bench.zoo.nodes import Vertex


class DagRNN(nn.Module):
    """A state for every vertex, from its features and the sum of the states before it, and a classifier at the last one
    (Shuai et al., "DAG-recurrent neural networks for scene labeling", CVPR 2016: one of the four directions).

    As it is written, Python computes a shared vertex once for every path to it.
    """

    def __init__(self, hidden: int, classes: int = 33) -> None:
        super().__init__()
        self.input = nn.Linear(hidden, hidden)
        self.recurrent = nn.Linear(hidden, hidden, bias=False)
        self.classify = nn.Linear(hidden, classes)

    def forward(self, vertex: Vertex) -> Tensor:
        scores: Tensor = self.classify(self.state(vertex))
        return scores

    def state(self, vertex: Vertex) -> Tensor:
        total: Tensor = self.input(vertex.features)
        for source in vertex.sources:
            total = total + self.recurrent(self.state(source))
        return torch.tanh(total)
