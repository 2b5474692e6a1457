"""A small U-Net for diffusion (Ho et al., "Denoising diffusion probabilistic models", NeurIPS 2020): group norm, attention and an
embedding of time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUPS = 8


class ResidualBlock(nn.Module):
    """Two convolutions, the time added between them."""

    def __init__(self, inputs: int, outputs: int, time: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, inputs), nn.GroupNorm(GROUPS, outputs)
        self.conv1, self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.time = nn.Linear(time, outputs)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x))) + self.time(F.silu(time))[:, :, None, None]
        result: Tensor = self.conv2(F.silu(self.norm2(y))) + self.shortcut(x)
        return result


class SpatialAttention(nn.Module):
    """Every place attends to every other, in one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.project, self.attended = nn.Conv2d(channels, 3 * channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, rows, columns = x.shape
        query, key, value = self.project(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, -1)
        y = F.scaled_dot_product_attention(query, key, value)
        result: Tensor = x + self.attended(y.transpose(1, 2).reshape(batch, channels, rows, columns))
        return result


def angles(time: Tensor, width: int) -> Tensor:
    """Sines and cosines of the time at many frequencies."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) / (half - 1) * torch.arange(half))
    turned = time[:, None] * frequencies
    return torch.cat([turned.sin(), turned.cos()], 1)


class DiffusionUNet(nn.Module):
    """The noise in a picture at a time, over three resolutions, with attention at the lowest two."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.width = width
        time = 4 * width
        self.time = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.down1, self.down2 = ResidualBlock(width, width, time), ResidualBlock(width, 2 * width, time)
        self.attend2 = SpatialAttention(2 * width)
        self.half1, self.half2 = (nn.Conv2d(c, c, 3, 2, 1) for c in (width, 2 * width))
        self.middle1, self.middle2 = (ResidualBlock(2 * width, 2 * width, time) for _ in range(2))
        self.attend = SpatialAttention(2 * width)
        self.up2, self.up1 = ResidualBlock(4 * width, 2 * width, time), ResidualBlock(3 * width, width, time)
        self.double2, self.double1 = (nn.Conv2d(2 * width, 2 * width, 3, padding=1) for _ in range(2))
        self.norm, self.last = nn.GroupNorm(GROUPS, width), nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        t = self.time(angles(time, self.width))
        high = self.down1(self.first(x), t)
        low = self.attend2(self.down2(self.half1(high), t))
        y = self.middle2(self.attend(self.middle1(self.half2(low), t)), t)
        y = self.double2(F.interpolate(y, scale_factor=2.0, mode="nearest"))
        y = self.up2(torch.cat([y, low], 1), t)
        y = self.double1(F.interpolate(y, scale_factor=2.0, mode="nearest"))
        y = self.up1(torch.cat([y, high], 1), t)
        result: Tensor = self.last(F.silu(self.norm(y)))
        return result
