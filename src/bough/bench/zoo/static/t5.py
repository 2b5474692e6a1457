"""T5 (Raffel et al., "Exploring the limits of transfer learning with a unified text-to-text transformer", JMLR 2020)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bough.bench.zoo.static.layers import RMSNorm

BUCKETS, FARTHEST = 32, 128


def buckets(queries: int, keys: int, both_ways: bool) -> Tensor:
    """For each query and key the number of their distance: exact where they are near, by its logarithm where they are far."""
    distance = torch.arange(keys)[None, :] - torch.arange(queries)[:, None]
    count = BUCKETS // 2 if both_ways else BUCKETS
    before = (distance > 0).long() * count if both_ways else torch.zeros_like(distance)
    distance = distance.abs() if both_ways else -distance.clamp(max=0)
    exact = count // 2
    far = exact + (torch.log(distance.float() / exact) / math.log(FARTHEST / exact) * (count - exact)).long()
    return before + torch.where(distance < exact, distance, far.clamp(max=count - 1))


class Attention(nn.Module):
    """Without a scale, with a bias for each distance in place of places."""

    def __init__(self, width: int, heads: int, size: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, heads * size, bias=False) for _ in range(3))
        self.attended = nn.Linear(heads * size, width, bias=False)

    def forward(self, x: Tensor, source: Tensor, bias: Tensor | None) -> Tensor:
        def split(y: Tensor) -> Tensor:
            return y.view(y.shape[0], y.shape[1], self.heads, -1).transpose(1, 2)

        scores = split(self.query(x)) @ split(self.key(source)).transpose(2, 3)
        if bias is not None:
            scores = scores + bias
        y = scores.softmax(-1) @ split(self.value(source))
        result: Tensor = self.attended(y.transpose(1, 2).flatten(2))
        return result


class Layer(nn.Module):
    """Attention to itself, to the source where there is one, and a network."""

    def __init__(self, width: int, heads: int, size: int, hidden: int, decodes: bool) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (RMSNorm(width) for _ in range(3))
        self.own = Attention(width, heads, size)
        self.cross = Attention(width, heads, size) if decodes else None
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, bias: Tensor, source: Tensor | None = None) -> Tensor:
        y = self.norm1(x)
        x = x + self.own(y, y, bias)
        if self.cross is not None and source is not None:
            x = x + self.cross(self.norm2(x), source, None)
        result: Tensor = x + self.down(F.relu(self.up(self.norm3(x))))
        return result


class Stack(nn.Module):
    def __init__(self, width: int, heads: int, size: int, hidden: int, layers: int, decodes: bool) -> None:
        super().__init__()
        self.decodes = decodes
        self.bias = nn.Embedding(BUCKETS, heads)
        self.layers = nn.ModuleList(Layer(width, heads, size, hidden, decodes) for _ in range(layers))
        self.norm = RMSNorm(width)

    def forward(self, x: Tensor, source: Tensor | None = None) -> Tensor:
        words = x.shape[1]
        bias = self.bias(buckets(words, words, both_ways=not self.decodes)).permute(2, 0, 1)
        if self.decodes:
            bias = bias.masked_fill(torch.ones(words, words, dtype=torch.bool).triu(1), -math.inf)
        for layer in self.layers:
            x = layer(x, bias, source)
        result: Tensor = self.norm(x)
        return result


class T5(nn.Module):
    """Scores of the words after each word of the target; T5-small as it stands."""

    def __init__(
        self, width: int = 512, heads: int = 8, size: int = 64, hidden: int = 2048, layers: int = 6, vocabulary: int = 32128
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.encoder = Stack(width, heads, size, hidden, layers, decodes=False)
        self.decoder = Stack(width, heads, size, hidden, layers, decodes=True)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        encoded = self.encoder(self.words(source))
        y = self.decoder(self.words(target), encoded)
        return F.linear(y * y.shape[-1] ** -0.5, self.words.weight)
