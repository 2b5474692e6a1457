"""RANet: easy pictures are classified at a low resolution; the next higher one takes over what the last has found.

Yang et al., "Resolution adaptive networks for efficient inference", CVPR 2020.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bough.bench.zoo.dynamic.calibrate import confidence, scale_for, settle
from bough.bench.zoo.dynamic.residual import Stem, conv
from bough.bench.zoo.dynamic.shallow_deep import scale_linear

SURE = 0.8
LEAVE = (0.3, 0.1, 0.4, 0.1, 0.4, 0.5)
Parts = nn.ModuleList


class Unit(nn.Sequential):
    """A pointwise convolution and one of 3 x 3, each behind a normalisation and an activation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        middle = 2 * outputs
        super().__init__(
            nn.BatchNorm2d(inputs), nn.ReLU(), conv(inputs, middle, 1),
            nn.BatchNorm2d(middle), nn.ReLU(), conv(middle, outputs),
        )  # fmt: skip


class DenseLayer(nn.Module):
    """Its input and what it makes of it, joined."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.new = Unit(inputs, growth)

    def forward(self, x: Tensor, lower: Tensor | None) -> Tensor:
        return torch.cat([x, self.new(x)], dim=1)


class FusionLayer(nn.Module):
    """The same, but half of what is new comes from the features of the lower resolution."""

    def __init__(self, inputs: int, lower: int, growth: int) -> None:
        super().__init__()
        self.new = Unit(inputs, growth // 2)
        self.lower = Unit(lower, growth // 2)

    def forward(self, x: Tensor, lower: Tensor) -> Tensor:
        raised = F.interpolate(self.lower(lower), size=x.shape[2:], mode="bilinear", align_corners=False)
        return torch.cat([x, self.new(x), raised], dim=1)


class Block(nn.Module):
    """So many layers, each of which sees all before it."""

    def __init__(self, inputs: int, lower: int, growth: int, layers: int) -> None:
        super().__init__()
        widths = [inputs + growth * i for i in range(layers)]
        self.layers = nn.ModuleList(FusionLayer(w, lower, growth) if lower else DenseLayer(w, growth) for w in widths)
        self.outputs = inputs + growth * layers

    def forward(self, x: Tensor, lower: Tensor | None) -> Tensor:
        for layer in self.layers:
            x = layer(x, lower)
        return x


class Pyramid(nn.Module):
    """The first features at each resolution, the lowest first."""

    def __init__(self, channels: int, scales: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList([Stem(channels)])
        for _ in range(scales - 1):
            step = nn.Sequential(conv(channels, channels, stride=2), nn.BatchNorm2d(channels), nn.ReLU())
            self.steps.append(step)

    def forward(self, x: Tensor) -> list[Tensor]:
        features: list[Tensor] = []
        for step in self.steps:
            x = step(x)
            features.insert(0, x)
        return features


class Exit(nn.Module):
    """A classifier: strided convolutions, a mean, a linear layer."""

    def __init__(self, inputs: int, middle: int, classes: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(
            conv(inputs, middle, 3, 2), nn.BatchNorm2d(middle), nn.ReLU(),
            conv(middle, middle, 3, 2), nn.BatchNorm2d(middle), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.linear = nn.Linear(middle, classes)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear(self.reduce(x))
        return result


class RANet(nn.Module):
    """A sub-network for each resolution, with a classifier behind each of its blocks.

    Returns the scores of the first classifier that is sure, and which one it was.
    """

    def __init__(
        self, scales: int = 3, blocks: int = 2, layers: int = 4, channels: int = 16, growth: int = 16, classes: int = 10
    ) -> None:
        super().__init__()
        self.pyramid = Pyramid(channels, scales)
        self.networks, self.exits = nn.ModuleList(), nn.ModuleList()
        lower = [0] * blocks
        for _ in range(scales):
            network, exits, inputs = nn.ModuleList(), nn.ModuleList(), channels
            for number in range(blocks):
                block = Block(inputs, lower[number], growth, layers)
                inputs = lower[number] = block.outputs
                network.append(block)
                exits.append(Exit(inputs, 64, classes))
            self.networks.append(network)
            self.exits.append(exits)
        self.sure = SURE

    def forward(self, picture: Tensor) -> tuple[Tensor, int]:
        lower: list[Tensor] | None = None
        number = 0
        for x, network, exits in zip(self.pyramid(picture), self.networks, self.exits):
            features = []
            for at, (block, classify) in enumerate(zip(cast(Parts, network), cast(Parts, exits))):
                x = block(x, None if lower is None else lower[at])
                features.append(x)
                scores = classify(x)
                if F.softmax(scores, dim=1).max().item() >= self.sure:
                    return scores, number
                number += 1
            lower = features
        return scores, number - 1


def calibrate(model: RANet, pictures: Tensor) -> None:
    """Scales each classifier so that its share of the pictures leaves there."""
    shares = iter(LEAVE)
    here = torch.ones(len(pictures), dtype=torch.bool)
    lower: list[Tensor | None] = [None] * len(cast(Parts, model.networks[0]))
    for x, network, exits in zip(settle(model.pyramid, pictures), model.networks, model.exits):
        for at, (block, classify) in enumerate(zip(cast(Parts, network), cast(Parts, exits))):
            lower[at] = x = settle(block, x, lower[at])
            logits = settle(classify, x)
            scale = scale_for(logits[here], confidence, model.sure, next(shares))
            scale_linear(cast(Exit, classify).linear, scale)
            here &= confidence(classify(x)) < model.sure
