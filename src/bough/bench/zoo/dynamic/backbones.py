"""The networks that get classifiers inside: MobileNet, VGG, ResNet and WideResNet, for pictures of 32 x 32."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from bough.bench.zoo.dynamic.residual import BasicBlock, Classifier, Stem, conv, shortcut, sizes

CLASSES = 10
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
MOBILE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
Parts = tuple[list[nn.Module], nn.Module]


def mobilenet(small: bool) -> Parts:
    """MobileNet (Howard et al., arXiv 1704.04861, 2017): depthwise convolutions and pointwise ones."""
    narrow = 8 if small else 1
    layers: list[nn.Module] = [Stem(32 // narrow)]
    inputs = 32 // narrow
    for outputs, stride in MOBILE[:7] if small else MOBILE:
        layers.append(separable(inputs, outputs // narrow, stride))
        inputs = outputs // narrow
    return layers, Classifier(inputs, CLASSES)


def separable(inputs: int, outputs: int, stride: int) -> nn.Module:
    depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
    return nn.Sequential(
        depthwise, nn.BatchNorm2d(inputs), nn.ReLU(), conv(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def vgg(small: bool) -> Parts:
    """VGG-16 (Simonyan and Zisserman, ICLR 2015) with batch normalisation."""
    narrow = 8 if small else 1
    layers: list[nn.Module] = []
    inputs = 3
    for widths in VGG16[:3] if small else VGG16:
        for number, width in enumerate(widths):
            outputs = width // narrow
            parts = [conv(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU()]
            pool = [nn.MaxPool2d(2)] if number == len(widths) - 1 else []
            layers.append(nn.Sequential(*parts, *pool))
            inputs = outputs
    hidden = 512 // narrow
    return layers, nn.Sequential(nn.Flatten(), nn.LazyLinear(hidden), nn.ReLU(), nn.Linear(hidden, CLASSES))


def resnet56(small: bool) -> Parts:
    """ResNet-56 (He et al., CVPR 2016)."""
    layers: list[nn.Module] = [Stem(16)]
    layers += [BasicBlock(*size) for size in sizes(2 if small else 9)]
    return layers, Classifier(64, CLASSES)


def wide_resnet(small: bool) -> Parts:
    """WRN-32-4 (Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016)."""
    widen = 1 if small else 4
    layers: list[nn.Module] = [conv(3, 16)]
    inputs = 16
    for stage, width in enumerate((16, 32, 64)):
        for block in range(2 if small else 5):
            layers.append(WideBlock(inputs, width * widen, 2 if stage and block == 0 else 1))
            inputs = width * widen
    return layers, nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), Classifier(inputs, CLASSES))


class WideBlock(nn.Module):
    """Normalisation and activation before each convolution; what they give goes into the shortcut where that is a convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, outputs, stride=stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(outputs), conv(outputs, outputs)
        self.dropout = nn.Dropout(0.3)
        self.equal = inputs == outputs
        self.shortcut = shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.norm1(x))
        y: Tensor = self.conv2(self.dropout(F.relu(self.norm2(self.conv1(activated)))))
        return y + (x if self.equal else self.shortcut(activated))
