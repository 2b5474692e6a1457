"""Residual networks for ImageNet (He et al., CVPR 2016), their wide form (Zagoruyko and Komodakis, BMVC 2016), and VGG-16
(Simonyan and Zisserman, ICLR 2015)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from bough.bench.zoo.static.layers import ConvNorm, Head

VGG16 = (2, 2, 3, 3, 3)
"""Convolutions between poolings."""


class Residual(nn.Module):
    """Layers beside a shortcut, which is a convolution where sizes differ."""

    def __init__(self, layers: nn.Module, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.layers = layers
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else ConvNorm(inputs, outputs, 1, stride, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.layers(x) + self.shortcut(x))


def basic(inputs: int, width: int, stride: int) -> tuple[nn.Module, int]:
    layers = nn.Sequential(ConvNorm(inputs, width, 3, stride), ConvNorm(width, width, 3, activation=None))
    return Residual(layers, inputs, width, stride), width


def bottleneck(widening: int) -> Callable[[int, int, int], tuple[nn.Module, int]]:
    def block(inputs: int, width: int, stride: int) -> tuple[nn.Module, int]:
        inner, outputs = width * widening, 4 * width
        layers = nn.Sequential(
            ConvNorm(inputs, inner, 1), ConvNorm(inner, inner, 3, stride), ConvNorm(inner, outputs, 1, activation=None)
        )
        return Residual(layers, inputs, outputs, stride), outputs

    return block


def resnet(
    block: Callable[[int, int, int], tuple[nn.Module, int]], counts: Sequence[int], width: int = 64, classes: int = 1000
) -> nn.Module:
    """So many blocks in each of the stages, `width` channels in the first."""
    layers: list[nn.Module] = [ConvNorm(3, width, 7, 2), nn.MaxPool2d(3, 2, 1)]
    channels = width
    for stage, count in enumerate(counts):
        for number in range(count):
            made, channels = block(channels, width << stage, 2 if stage and not number else 1)
            layers.append(made)
    return nn.Sequential(*layers, Head(channels, classes))


def vgg16(width: int = 64, hidden: int = 4096, side: int = 224, classes: int = 1000) -> nn.Module:
    """For pictures of a side that is a multiple of 32."""
    layers: list[nn.Module] = []
    channels = 3
    for stage, count in enumerate(VGG16):
        outputs = width << min(stage, 3)
        for _ in range(count):
            layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.ReLU()]
            channels = outputs
        layers.append(nn.MaxPool2d(2))
    head = (nn.Linear(channels * (side // 32) ** 2, hidden), nn.ReLU(), nn.Dropout())
    return nn.Sequential(
        *layers, nn.Flatten(), *head, nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, classes)
    )
