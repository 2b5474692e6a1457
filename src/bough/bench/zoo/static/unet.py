"""U-Net (Ronneberger et al., MICCAI 2015), padded so that pictures keep their size, with batch normalisation; and an autoencoder
of convolutions and their transposes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bough.bench.zoo.static.layers import ConvNorm

LEVELS = 4


def pair(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(ConvNorm(inputs, outputs, 3), ConvNorm(outputs, outputs, 3))


class UNet(nn.Module):
    """Scores of classes for each pixel. The sides of pictures are multiples of 16."""

    def __init__(self, width: int = 64, channels: int = 3, classes: int = 2) -> None:
        super().__init__()
        widths = [width << level for level in range(LEVELS + 1)]
        self.first = pair(channels, width)
        self.downs = nn.ModuleList(nn.Sequential(nn.MaxPool2d(2), pair(a, b)) for a, b in zip(widths, widths[1:]))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * a, a, 2, 2) for a in reversed(widths[:-1]))
        self.pairs = nn.ModuleList(pair(2 * a, a) for a in reversed(widths[:-1]))
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        passed = [x]
        for down in self.downs:
            x = down(x)
            passed.append(x)
        passed.pop()
        for up, both in zip(self.ups, self.pairs):
            x = both(torch.cat([passed.pop(), up(x)], dim=1))
        scores: Tensor = self.last(x)
        return scores


def autoencoder(width: int = 32, code: int = 128, side: int = 64) -> nn.Module:
    """Pictures of three channels and such a side, a multiple of 16, to a code and back."""
    widths = [3, *(width << level for level in range(LEVELS))]
    small = side >> LEVELS
    down: list[nn.Module] = []
    up: list[nn.Module] = []
    for a, b in zip(widths, widths[1:]):
        down += [nn.Conv2d(a, b, 4, 2, 1), nn.BatchNorm2d(b), nn.LeakyReLU(0.2)]
    for a, b in zip(widths[:1:-1], widths[-2:0:-1]):
        up += [nn.ConvTranspose2d(a, b, 4, 2, 1), nn.BatchNorm2d(b), nn.LeakyReLU(0.2)]
    size = (widths[-1], small, small)
    middle = (nn.Flatten(), nn.Linear(widths[-1] * small**2, code), nn.Linear(code, widths[-1] * small**2), nn.Unflatten(1, size))
    return nn.Sequential(*down, *middle, *up, nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Sigmoid())
