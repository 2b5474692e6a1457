"""BERT (Devlin et al., NAACL 2019) and DistilBERT (Sanh et al., arXiv 1910.01108, 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bough.bench.zoo.static.layers import FeedForward

EPS = 1e-12


class Layer(nn.Module):
    """Attention where the mask is true, and a network at each place, each followed by layer normalisation."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.attended, self.network = nn.Linear(width, width), FeedForward(width, 4 * width)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=EPS), nn.LayerNorm(width, eps=EPS)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, words, width = x.shape
        query, key, value = (
            layer(x).view(batch, words, self.heads, -1).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = self.norm1(x + self.attended(y.transpose(1, 2).reshape(batch, words, width)))
        result: Tensor = self.norm2(x + self.network(x))
        return result


class Bert(nn.Module):
    """States of all words and the pooled one, given words and where there are any; BERT-base as it stands. Without kinds
    (sentence A or B) and pooling it is DistilBERT."""

    def __init__(
        self, width: int = 768, heads: int = 12, layers: int = 12, vocabulary: int = 30522, places: int = 512, kinds: int = 2
    ) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(places, width)
        self.kinds = nn.Embedding(kinds, width) if kinds else None
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.pool = nn.Linear(width, width) if kinds else None

    def forward(self, words: Tensor, there: Tensor) -> tuple[Tensor, ...]:
        x = self.words(words) + self.places(torch.arange(words.shape[1]))
        if self.kinds is not None:
            x = x + self.kinds(torch.zeros_like(words))
        x = self.norm(x)
        mask = there[:, None, None, :] != 0
        for layer in self.layers:
            x = layer(x, mask)
        return (x,) if self.pool is None else (x, torch.tanh(self.pool(x[:, 0])))
