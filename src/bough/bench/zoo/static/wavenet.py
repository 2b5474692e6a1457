"""A dilated causal stack (van den Oord et al., "WaveNet: a generative model for raw audio", arXiv 1609.03499, 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Gated(nn.Module):
    """A dilated convolution that sees the past only, gated, with a part for the next layer and one for the result."""

    def __init__(self, channels: int, skip: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.conv = nn.Conv1d(channels, 2 * channels, 2, dilation=dilation)
        self.residual, self.skip = nn.Conv1d(channels, channels, 1), nn.Conv1d(channels, skip, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        signal, gate = self.conv(F.pad(x, (self.dilation, 0))).chunk(2, 1)
        y = torch.tanh(signal) * torch.sigmoid(gate)
        return x + self.residual(y), self.skip(y)


class WaveNet(nn.Module):
    """Scores of the next of 256 levels at each time, from the levels so far; the paper's ten dilations up to 512, three times."""

    def __init__(self, channels: int = 32, skip: int = 256, doublings: int = 10, repeats: int = 3, levels: int = 256) -> None:
        super().__init__()
        self.levels = nn.Embedding(levels, channels)
        dilations = [1 << power for power in range(doublings)] * repeats
        self.layers = nn.ModuleList(Gated(channels, skip, dilation) for dilation in dilations)
        self.last = nn.Sequential(nn.ReLU(), nn.Conv1d(skip, skip, 1), nn.ReLU(), nn.Conv1d(skip, levels, 1))

    def forward(self, sound: Tensor) -> Tensor:
        x = self.levels(sound).transpose(1, 2)
        total: Tensor | None = None
        for layer in self.layers:
            x, part = layer(x)
            total = part if total is None else total + part
        scores: Tensor = self.last(total)
        return scores
