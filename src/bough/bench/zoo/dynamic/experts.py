"""A mixture of experts: each word goes through the two feed-forward networks that a router gives it.

Shazeer et al., "Outrageously large neural networks: the sparsely-gated mixture-of-experts layer", ICLR 2017; in a transformer as
in Jiang et al., "Mixtral of experts", arXiv 2401.04088, 2024.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Expert(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return result


class Experts(nn.Module):
    """The sum of the chosen experts' results, weighted by the router. Also returns how many words each expert got."""

    def __init__(self, width: int, hidden: int, experts: int, chosen: int) -> None:
        super().__init__()
        self.router = nn.Linear(width, experts, bias=False)
        self.experts = nn.ModuleList(Expert(width, hidden) for _ in range(experts))
        self.chosen = chosen

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        weights, chosen = torch.topk(F.softmax(self.router(x), dim=-1), self.chosen, dim=-1)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        result = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            mask = chosen == number
            if mask.any():
                words, rank = torch.where(mask)
                result.index_add_(0, words, expert(x[words]) * weights[words, rank, None])
        counts = torch.stack([(chosen == number).sum() for number in range(len(self.experts))])
        return result, counts


class Attention(nn.Module):
    """Causal self-attention over the words of one text."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project, self.result = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        words, width = x.shape
        query, key, value = self.project(x).view(words, 3, self.heads, -1).permute(1, 2, 0, 3)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        result: Tensor = self.result(seen.transpose(0, 1).reshape(words, width))
        return result


class MixtureOfExperts(nn.Module):
    """Scores of the word after a text, and the words of each expert, layer by layer."""

    def __init__(
        self, width: int = 384, heads: int = 6, hidden: int = 1536, experts: int = 8, chosen: int = 2, layers: int = 2,
        vocabulary: int = 8000,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.attention = nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.mixtures = nn.ModuleList(Experts(width, hidden, experts, chosen) for _ in range(layers))
        self.norms1 = nn.ModuleList(nn.RMSNorm(width) for _ in range(layers))
        self.norms2 = nn.ModuleList(nn.RMSNorm(width) for _ in range(layers))
        self.output = nn.Linear(width, vocabulary, bias=False)

    def forward(self, text: Tensor) -> tuple[Tensor, Tensor]:
        x = self.embedding(text)
        counts = []
        for attention, mixture, norm1, norm2 in zip(self.attention, self.mixtures, self.norms1, self.norms2):
            x = x + attention(norm1(x))
            mixed, count = mixture(norm2(x))
            x = x + mixed
            counts.append(count)
        return self.output(x[-1]), torch.stack(counts)
