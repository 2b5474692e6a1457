"""The matrix-vector recursive network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class MVRNN(nn.Module):
    """A vector and a matrix for every phrase (Socher et al., "Semantic compositionality through recursive matrix-vector
    spaces", EMNLP 2012). The matrices of words are a diagonal and a product of low rank, as in section 2.2 there.

    A phrase is a dictionary with a `word`, or with phrases `left` and `right`.
    """

    def __init__(self, hidden: int, vocabulary: int, rank: int = 3) -> None:
        super().__init__()
        self.vectors = nn.Embedding(vocabulary, hidden)
        self.diagonals = nn.Parameter(1 + 0.01 * torch.randn(vocabulary, hidden))
        self.tall = nn.Parameter(0.1 * torch.randn(vocabulary, hidden, rank))
        self.wide = nn.Parameter(0.1 * torch.randn(vocabulary, rank, hidden))
        self.vector = nn.Linear(2 * hidden, hidden)
        self.matrix = nn.Linear(2 * hidden, hidden, bias=False)

    def forward(self, phrase: dict[str, Any]) -> Tensor:
        vector, _ = self.compose(phrase)
        return vector

    def compose(self, phrase: dict[str, Any]) -> tuple[Tensor, Tensor]:
        if "word" in phrase:
            word = phrase["word"]
            return self.vectors.weight[word], torch.diag(self.diagonals[word]) + self.tall[word] @ self.wide[word]
        left, left_matrix = self.compose(phrase["left"])
        right, right_matrix = self.compose(phrase["right"])
        vector = torch.tanh(self.vector(torch.cat((right_matrix @ left, left_matrix @ right))))
        return vector, self.matrix.weight @ torch.cat((left_matrix, right_matrix))
