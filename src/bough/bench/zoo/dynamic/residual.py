"""Residual networks for pictures of 32 x 32 (He et al., "Deep residual learning for image recognition", CVPR 2016)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (16, 32, 64)


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


class Stem(nn.Sequential):
    """The first convolution."""

    def __init__(self, outputs: int) -> None:
        super().__init__(conv(3, outputs), nn.BatchNorm2d(outputs), nn.ReLU())


class Residual(nn.Module):
    """What a basic block adds to its input."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv(inputs, outputs, stride=stride), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = conv(outputs, outputs), nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        result: Tensor = self.norm2(self.conv2(x))
        return result


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = Residual(inputs, outputs, stride)
        self.shortcut = shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residual(x) + self.shortcut(x))


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class Classifier(nn.Sequential):
    """Global average pooling and a linear layer."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def sizes(blocks: int, first: int = WIDTHS[0]) -> Iterator[tuple[int, int, int]]:
    """Channels in, channels out and stride of each of the blocks, so many in each of three stages."""
    inputs = first
    for stage, outputs in enumerate(WIDTHS):
        for block in range(blocks):
            yield inputs, outputs, 2 if stage and block == 0 else 1
            inputs = outputs
