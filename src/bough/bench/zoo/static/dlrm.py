"""Recommendations from numbers and from lists of categories (Naumov et al., "Deep learning recommendation model for
personalization and recommendation systems", arXiv 1906.00091, 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def layers(widths: Sequence[int], last: type[nn.Module]) -> nn.Module:
    """Linear layers with ReLU between them."""
    made: list[nn.Module] = []
    for a, b in zip(widths, widths[1:]):
        made += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*made[:-1], last())


class DLRM(nn.Module):
    """A probability for each row of numbers and lists of categories, [tables, batch, categories in a list]."""

    first: Tensor
    second: Tensor

    def __init__(
        self, numbers: int = 13, tables: int = 26, rows: int = 20000, width: int = 64,
        bottom: Sequence[int] = (512, 256), top: Sequence[int] = (512, 512, 256),
    ) -> None:  # fmt: skip
        super().__init__()
        self.tables = nn.ModuleList(nn.EmbeddingBag(rows, width, mode="sum") for _ in range(tables))
        self.bottom = layers((numbers, *bottom, width), nn.ReLU)
        pairs = (tables + 1) * tables // 2
        self.top = layers((pairs + width, *top, 1), nn.Sigmoid)
        first, second = torch.tril_indices(tables + 1, tables + 1, -1)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        dense = self.bottom(numbers)
        bags = [table(categories[number]) for number, table in enumerate(self.tables)]
        vectors = torch.stack([dense, *bags], 1)
        products = torch.bmm(vectors, vectors.transpose(1, 2))
        chosen = products[:, self.first, self.second]
        result: Tensor = self.top(torch.cat([dense, chosen], 1))
        return result
