"""Recurrent networks over sequences, written as recursion over linked lists."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bough.bench.zoo.nodes import Frame, Word


class ListLSTM(nn.Module):
    """Long short-term memory (Hochreiter and Schmidhuber, Neural Computation 1997) over a list of words."""

    def __init__(self, hidden: int, vocabulary: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.cell = nn.LSTMCell(hidden, hidden)

    def forward(self, word: Word) -> Tensor:
        h, _ = self.state(word)
        return h

    def state(self, word: Word | None) -> tuple[Tensor, Tensor]:
        if word is None:
            zero = self.embedding.weight.new_zeros(self.hidden)
            return zero, zero
        state: tuple[Tensor, Tensor] = self.cell(self.embedding.weight[word.index], self.state(word.previous))
        return state


class ListGRU(nn.Module):
    """A gated recurrent unit (Cho et al., EMNLP 2014) over a list of feature vectors, with a learned first state."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first = nn.Parameter(0.1 * torch.randn(hidden))
        self.cell = nn.GRUCell(hidden, hidden)

    def forward(self, frame: Frame) -> Tensor:
        before = self.first if frame.previous is None else self(frame.previous)
        state: Tensor = self.cell(frame.features, before)
        return state
