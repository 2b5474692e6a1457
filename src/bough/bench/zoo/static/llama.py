"""A decoder like LLaMA's (Touvron et al., arXiv 2302.13971, 2023): rotary places, RMS norms, gated networks, and heads that share
keys and values."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bough.bench.zoo.static.layers import RMSNorm

Past = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, [batch, shared heads, words, size]."""


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns the pairs of each vector by angles that grow with its place (Su et al., "RoFormer", 2021)."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


class Block(nn.Module):
    def __init__(self, width: int, heads: int, shared: int, hidden: int) -> None:
        super().__init__()
        self.size = width // heads
        self.norm1, self.norm2 = RMSNorm(width, 1e-5), RMSNorm(width, 1e-5)
        self.query, self.attended = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.key, self.value = (nn.Linear(width, shared * self.size, bias=False) for _ in range(2))
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        batch, words, _ = x.shape
        y = self.norm1(x)
        query, key, value = (
            layer(y).view(batch, words, -1, self.size).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        if past is not None:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        groups = query.shape[1] // key.shape[1]
        keys, values = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        y = F.scaled_dot_product_attention(query, keys, values, is_causal=past is None)
        x = x + self.attended(y.transpose(1, 2).flatten(2))
        y = self.norm2(x)
        x = x + self.down(F.silu(self.gate(y)) * self.up(y))
        return x, (key, value)


class Llama(nn.Module):
    """Scores of the word after each of the new ones, and the keys and values of all. The sizes of SmolLM-135M as it stands."""

    frequencies: Tensor

    def __init__(
        self, width: int = 576, heads: int = 9, shared: int = 3, hidden: int = 1536, layers: int = 30, vocabulary: int = 49152
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(width, heads, shared, hidden) for _ in range(layers))
        self.norm = RMSNorm(width, 1e-5)
        size = width // heads
        self.register_buffer("frequencies", 10000.0 ** -(torch.arange(0, size, 2) / size), persistent=False)

    def forward(self, words: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        begin = 0 if past is None else past[0][0].shape[2]
        angles = torch.arange(begin, begin + words.shape[1])[:, None] * self.frequencies
        angles = torch.cat([angles, angles], -1)
        cos, sin = angles.cos(), angles.sin()
        x = self.words(words)
        present: Past = []
        for number, block in enumerate(self.blocks):
            x, made = block(x, cos, sin, None if past is None else past[number])
            present.append(made)
        return F.linear(self.norm(x), self.words.weight), present
