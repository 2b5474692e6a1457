"""Networks for small devices: MobileNetV1 (Howard et al., arXiv 1704.04861, 2017), V2 (Sandler et al., CVPR 2018) and V3-Large
(Howard et al., ICCV 2019), and EfficientNet-B0 (Tan and Le, ICML 2019), whose blocks are theirs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from bough.bench.zoo.static.layers import Activation, ConvNorm, Head, SqueezeExcite, rounded

V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Channels and stride of each pair of convolutions."""
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks, stride of the first."""
V3 = (
    (3, 16, 16, False, nn.ReLU, 1), (3, 64, 24, False, nn.ReLU, 2), (3, 72, 24, False, nn.ReLU, 1),
    (5, 72, 40, True, nn.ReLU, 2), (5, 120, 40, True, nn.ReLU, 1), (5, 120, 40, True, nn.ReLU, 1),
    (3, 240, 80, False, nn.Hardswish, 2), (3, 200, 80, False, nn.Hardswish, 1), (3, 184, 80, False, nn.Hardswish, 1),
    (3, 184, 80, False, nn.Hardswish, 1), (3, 480, 112, True, nn.Hardswish, 1), (3, 672, 112, True, nn.Hardswish, 1),
    (5, 672, 160, True, nn.Hardswish, 2), (5, 960, 160, True, nn.Hardswish, 1), (5, 960, 160, True, nn.Hardswish, 1),
)  # fmt: skip
"""Size of the window, hidden channels, channels, whether squeezed, activation, stride."""
B0 = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip
"""Expansion, channels, blocks, stride of the first, size of the window."""


def mobilenet_v1(width: float = 1.0, classes: int = 1000) -> nn.Module:
    channels = int(32 * width)
    layers: list[nn.Module] = [ConvNorm(3, channels, 3, 2)]
    for outputs, stride in V1:
        outputs = int(outputs * width)
        layers += [ConvNorm(channels, channels, 3, stride, groups=channels), ConvNorm(channels, outputs, 1)]
        channels = outputs
    return nn.Sequential(*layers, Head(channels, classes))


@dataclass(frozen=True, slots=True)
class Shape:
    """Of an inverted residual block. `squeezed`: hidden channels of the squeeze; 0 where there is none."""

    inputs: int
    hidden: int
    outputs: int
    size: int
    stride: int
    squeezed: int = 0


class InvertedResidual(nn.Module):
    """A wide depthwise convolution between two narrow products."""

    def __init__(self, shape: Shape, activation: Activation, inner: Activation = nn.ReLU, gate: Activation = nn.Sigmoid) -> None:
        super().__init__()
        hidden = shape.hidden
        layers: list[nn.Module] = []
        if hidden != shape.inputs:
            layers.append(ConvNorm(shape.inputs, hidden, 1, activation=activation))
        layers.append(ConvNorm(hidden, hidden, shape.size, shape.stride, hidden, activation))
        if shape.squeezed:
            layers.append(SqueezeExcite(hidden, shape.squeezed, inner, gate))
        layers.append(ConvNorm(hidden, shape.outputs, 1, activation=None))
        self.layers = nn.Sequential(*layers)
        self.keeps = shape.stride == 1 and shape.inputs == shape.outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.keeps else y


def mobilenet_v2(width: float = 1.0, classes: int = 1000, stages: int = len(V2)) -> nn.Module:
    channels = rounded(32 * width)
    layers: list[nn.Module] = [ConvNorm(3, channels, 3, 2, activation=nn.ReLU6)]
    for expansion, outputs, blocks, stride in V2[:stages]:
        for block in range(blocks):
            shape = Shape(channels, channels * expansion, rounded(outputs * width), 3, 1 if block else stride)
            layers.append(InvertedResidual(shape, nn.ReLU6))
            channels = shape.outputs
    last = rounded(1280 * max(1.0, width))
    return nn.Sequential(*layers, ConvNorm(channels, last, 1, activation=nn.ReLU6), Head(last, classes))


def mobilenet_v3(width: float = 1.0, classes: int = 1000, blocks: int = len(V3)) -> nn.Module:
    channels = rounded(16 * width)
    layers: list[nn.Module] = [ConvNorm(3, channels, 3, 2, activation=nn.Hardswish)]
    for size, hidden, outputs, squeezes, activation, stride in V3[:blocks]:
        hidden = rounded(hidden * width)
        shape = Shape(channels, hidden, rounded(outputs * width), size, stride, rounded(hidden / 4) if squeezes else 0)
        layers.append(InvertedResidual(shape, activation, gate=nn.Hardsigmoid))
        channels = shape.outputs
    last = rounded(960 * width)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, 1280), nn.Hardswish(), nn.Linear(1280, classes))
    return nn.Sequential(*layers, ConvNorm(channels, last, 1, activation=nn.Hardswish), *head)


def efficientnet_b0(width: float = 1.0, classes: int = 1000, stages: int = len(B0)) -> nn.Module:
    channels = rounded(32 * width)
    layers: list[nn.Module] = [ConvNorm(3, channels, 3, 2, activation=nn.SiLU)]
    for expansion, outputs, blocks, stride, size in B0[:stages]:
        for block in range(blocks):
            squeezed = max(1, channels // 4)
            shape = Shape(channels, channels * expansion, rounded(outputs * width), size, 1 if block else stride, squeezed)
            layers.append(InvertedResidual(shape, nn.SiLU, inner=nn.SiLU))
            channels = shape.outputs
    last = rounded(1280 * width)
    return nn.Sequential(*layers, ConvNorm(channels, last, 1, activation=nn.SiLU), Head(last, classes))
