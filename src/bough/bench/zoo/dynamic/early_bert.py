"""BERT with a classifier behind each layer, of which the first with little entropy answers.

Devlin et al., "BERT: pre-training of deep bidirectional transformers for language understanding", NAACL 2019; Xin et al.,
"DeeBERT: dynamic early exiting for accelerating BERT inference", ACL 2020.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bough.bench.zoo.dynamic.calibrate import entropy, scale_for
from bough.bench.zoo.dynamic.shallow_deep import scale_linear

ENTROPY = 0.3
LEAVE = (0.3, 0.1, 0.4, 0.1, 0.4)


class Layer(nn.Module):
    """Self-attention and a feed-forward network, each with a shortcut and a normalisation."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.attended = nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def split(self, x: Tensor) -> Tensor:
        batch, words, width = x.shape
        return x.view(batch, words, self.heads, width // self.heads).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        seen = F.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(x.shape)
        x = self.norm1(x + self.attended(seen))
        result: Tensor = self.norm2(x + self.down(F.gelu(self.up(x))))
        return result


class Exit(nn.Module):
    """A classifier on the first word."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.pool, self.linear = nn.Linear(width, width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear(torch.tanh(self.pool(x[:, 0])))
        return result


class EarlyBert(nn.Module):
    """Returns the classes' scores and the number of layers that were computed."""

    def __init__(
        self, width: int = 768, heads: int = 12, layers: int = 6, vocabulary: int = 8000, words: int = 64, classes: int = 3
    ) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(words, width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.exits = nn.ModuleList(Exit(width, classes) for _ in range(layers))
        self.entropy = ENTROPY

    def embed(self, text: Tensor) -> Tensor:
        result: Tensor = self.norm(self.words(text) + self.places(torch.arange(text.shape[1])))
        return result

    def forward(self, text: Tensor) -> tuple[Tensor, int]:
        x = self.embed(text)
        computed = 0
        for layer, classify in zip(self.layers, self.exits):
            x = layer(x)
            computed += 1
            scores = classify(x)
            chances = F.softmax(scores, dim=1)
            uncertainty = -(chances * torch.log(chances)).sum()
            if uncertainty < self.entropy:
                break
        return scores, computed


def calibrate(model: EarlyBert, texts: Tensor) -> None:
    """Scales each classifier but the last so that its share of the texts leaves there."""
    here = torch.ones(len(texts), dtype=torch.bool)
    x = model.embed(texts)
    for layer, exit, share in zip(model.layers, model.exits, LEAVE):
        classify = cast(Exit, exit)
        x = layer(x)
        scale = scale_for(classify(x)[here], lambda logits: -entropy(logits), -model.entropy, share)
        scale_linear(classify.linear, scale)
        here &= entropy(classify(x)) >= model.entropy
