"""Layers that several of the networks have."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Activation = Callable[[], nn.Module]


class ConvNorm(nn.Sequential):
    """A convolution that keeps the size but for its stride, batch normalisation, and an activation if there is one."""

    def __init__(
        self, inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1, activation: Activation | None = nn.ReLU
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride, (size - 1) // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)
        )
        if activation is not None:
            self.append(activation())


class SqueezeExcite(nn.Module):
    """Channels scaled by what all of them are on average (Hu et al., "Squeeze-and-excitation networks", CVPR 2018)."""

    def __init__(self, channels: int, hidden: int, activation: Activation, gate: Activation) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.down, self.up = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)
        self.activation, self.gate = activation(), gate()

    def forward(self, x: Tensor) -> Tensor:
        scale: Tensor = self.gate(self.up(self.activation(self.down(self.pool(x)))))
        return x * scale


class Head(nn.Sequential):
    """Global average pooling and a linear layer."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


class FeedForward(nn.Sequential):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class RMSNorm(nn.Module):
    """Vectors divided by the root of their mean square (Zhang and Sennrich, NeurIPS 2019)."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


def rounded(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of the divisor that is not below nine tenths of the number, as MobileNets round channels."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest
