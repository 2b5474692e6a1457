"""ConvNeXt (Liu et al., "A ConvNet for the 2020s", CVPR 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bough.bench.zoo.static.layers import FeedForward


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of [batch, channels, rows, columns]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """A depthwise convolution of 7 x 7 and a network at each place, scaled by channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.network = FeedForward(channels, 4 * channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.scale * self.network(self.norm(self.spatial(x).permute(0, 2, 3, 1)))
        return x + y.permute(0, 3, 1, 2)


class Last(nn.Module):
    """The mean of all places, normalised, and a linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(channels, eps=1e-6), nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear(self.norm(x.mean((2, 3))))
        return result


def convnext(
    depths: Sequence[int] = (3, 3, 9, 3), widths: Sequence[int] = (96, 192, 384, 768), classes: int = 1000
) -> nn.Module:
    """ConvNeXt-T as it stands."""
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 4), ChannelNorm(widths[0], eps=1e-6)]
    before = widths[0]
    for depth, width in zip(depths, widths, strict=True):
        if width != before:
            layers += [ChannelNorm(before, eps=1e-6), nn.Conv2d(before, width, 2, 2)]
        layers += [Block(width) for _ in range(depth)]
        before = width
    return nn.Sequential(*layers, Last(before, classes))
