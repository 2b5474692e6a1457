"""Captions of pictures: a convolutional encoder, and an LSTM that attends to regions, word by word until the end.

Xu et al., "Show, attend and tell: neural image caption generation with visual attention", ICML 2015.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bough.bench.zoo.dynamic.residual import conv

START, END = 0, 1


class Encoder(nn.Module):
    """Features of 8 x 8 regions."""

    def __init__(self, features: int) -> None:
        super().__init__()
        widths = [3, features // 4, features // 2, features]
        self.layers = nn.Sequential()
        for inputs, outputs, stride in zip(widths, widths[1:], (1, 2, 2)):
            self.layers.extend([conv(inputs, outputs, stride=stride), nn.BatchNorm2d(outputs), nn.ReLU()])

    def forward(self, picture: Tensor) -> Tensor:
        result: Tensor = self.layers(picture).flatten(2).transpose(1, 2)
        return result


class Attention(nn.Module):
    """A mean of the regions, weighted by how well each fits the decoder's state."""

    def __init__(self, features: int, hidden: int, size: int) -> None:
        super().__init__()
        self.of_regions, self.of_state = nn.Linear(features, size), nn.Linear(hidden, size)
        self.score = nn.Linear(size, 1)

    def forward(self, regions: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.score(torch.tanh(self.of_regions(regions) + self.of_state(state).unsqueeze(1))).squeeze(2)
        weights = F.softmax(scores, dim=1)
        return (regions * weights.unsqueeze(2)).sum(dim=1), weights


class Captioner(nn.Module):
    """Greedy decoding. Returns the words, the last of which is the end if that came before the limit, and where it looked."""

    def __init__(self, features: int = 256, hidden: int = 512, vocabulary: int = 5000, limit: int = 20) -> None:
        super().__init__()
        self.encoder = Encoder(features)
        self.attention = Attention(features, hidden, hidden // 2)
        self.embedding = nn.Embedding(vocabulary, hidden // 2)
        self.first_h, self.first_c = nn.Linear(features, hidden), nn.Linear(features, hidden)
        self.gate = nn.Linear(hidden, features)
        self.cell = nn.LSTMCell(hidden // 2 + features, hidden)
        self.output = nn.Linear(hidden, vocabulary)
        self.limit = limit

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        regions = self.encoder(picture)
        mean = regions.mean(dim=1)
        h, c = torch.tanh(self.first_h(mean)), torch.tanh(self.first_c(mean))
        word = torch.tensor([START])
        words, looks = [], []
        while True:
            context, weights = self.attention(regions, h)
            context = torch.sigmoid(self.gate(h)) * context
            h, c = self.cell(torch.cat([self.embedding(word), context], dim=1), (h, c))
            word = self.output(h).argmax(dim=1)
            words.append(word)
            looks.append(weights)
            if word.item() == END or len(words) == self.limit:
                break
        return torch.cat(words), torch.cat(looks)
