"""SkipNet: residual networks whose gates decide at each block whether it is computed.

Wang et al., "SkipNet: learning dynamic routing in convolutional networks", ECCV 2018.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bough.bench.zoo.dynamic.calibrate import bias_for, settle, threshold
from bough.bench.zoo.dynamic.residual import Classifier, Residual, Stem, conv, shortcut, sizes

GATE = 10
"""Features and units of the recurrent gate."""
LOOKS, LITTLE, MEANS = 6, 0.05, 1.0
"""Of so many blocks the recurrent gate looks at the picture at one; how little it sees at others; how different blocks are."""
OPEN = (0.5, 1.0, 0.0, 1.0)
"""The share of the inputs for which a gate is open: of the gates, one after the other."""


class FeedForwardGate(nn.Module):
    """Two convolutions and a softmax over skipping and computing (the paper's FFGate-I)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv(channels, channels), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = conv(channels, channels, stride=2), nn.BatchNorm2d(channels)
        self.choose = nn.Conv2d(channels, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(x, 2)
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        x = F.avg_pool2d(x, x.shape[2:])
        return F.softmax(self.choose(x).flatten(1), dim=1)


class RecurrentGate(nn.Module):
    """One LSTM over the blocks, whose state the gate keeps while a picture goes through the network."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(GATE, GATE)
        self.choose = nn.Linear(GATE, 1)
        self.state: tuple[Tensor, Tensor] | None = None

    def reset(self, batch: int) -> None:
        self.state = torch.zeros(1, batch, GATE), torch.zeros(1, batch, GATE)

    def forward(self, features: Tensor) -> Tensor:
        output, self.state = self.lstm(features[None], self.state)
        return torch.sigmoid(self.choose(output[0]))


class GatedBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = Residual(inputs, outputs, stride)
        self.shortcut = shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residual(x) + self.shortcut(x))


class FeedForwardSkipNet(nn.Module):
    """A gate of its own before each block but the first of a stage. Returns the classes' scores and which gates were open."""

    def __init__(self, blocks: int, classes: int = 10) -> None:
        super().__init__()
        self.stem = Stem(16)
        self.blocks = nn.ModuleList(GatedBlock(*size) for size in sizes(blocks))
        self.gates = nn.ModuleList(
            FeedForwardGate(inputs) if inputs == outputs else nn.Identity() for inputs, outputs, _ in sizes(blocks)
        )
        self.classify = Classifier(64, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, list[bool]]:
        x = self.stem(x)
        opened = []
        for gate, block in zip(self.gates, self.blocks):
            if isinstance(gate, nn.Identity):
                x = block(x)
                continue
            choice = gate(x)
            is_open = bool(choice[0, 1] > choice[0, 0])
            if is_open:
                x = block(x)
            opened.append(is_open)
        return self.classify(x), opened


class RecurrentSkipNet(nn.Module):
    """One recurrent gate for all blocks, told of each block's input by a projection of its stage.

    Returns the classes' scores and the mean of the gates that were open.
    """

    def __init__(self, blocks: int, classes: int = 10) -> None:
        super().__init__()
        self.stem = Stem(16)
        self.blocks = nn.ModuleList(GatedBlock(*size) for size in sizes(blocks))
        self.projections = nn.ModuleList(nn.Linear(outputs, GATE) for _, outputs, _ in sizes(blocks))
        self.always = {number for number, (_, _, stride) in enumerate(sizes(blocks), start=-1) if stride > 1}
        self.gate = RecurrentGate()
        self.classify = Classifier(64, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        self.gate.reset(x.shape[0])
        x = self.blocks[0](x)
        opened = []
        for number, block in enumerate(self.blocks[1:]):
            probability = self.gate(self.projections[number](x.mean((2, 3))))
            if probability.item() > 0.5 or number in self.always:
                x = block(x)
            opened.append(probability.round())
        return self.classify(x), torch.cat(opened, 1)


def calibrate_feed_forward(model: FeedForwardSkipNet, x: Tensor) -> None:
    """Gives each gate a bias with which it is open for its share of the pictures."""
    x = settle(model.stem, x)
    for number, (gate, block) in enumerate(zip(model.gates, model.blocks)):
        computed = settle(block, x)
        if isinstance(gate, FeedForwardGate):
            logits = settle(gate, x).log()
            bias = bias_for(logits[:, 1] - logits[:, 0], OPEN[number % len(OPEN)])
            cast(Tensor, gate.choose.bias).add_(torch.tensor([0.0, bias]))
            choice = gate(x)
            computed = torch.where((choice[:, 1] > choice[:, 0])[:, None, None, None], computed, x)
        x = computed
    settle(model.classify, x)


def calibrate_recurrent(model: RecurrentSkipNet, x: Tensor) -> None:
    """Sets what the gate sees at each block: at some the picture, at most hardly more than which block it is. Gives it a bias
    with which it is open half of the times."""
    start = settle(model.blocks[0], settle(model.stem, x))
    model.gate.choose.weight.mul_(8)
    for _ in range(2):
        model.gate.reset(len(x))
        x, logits = start, []
        for number, (projection, block) in enumerate(zip(model.projections, model.blocks[1:])):
            computed = settle(block, x)
            features = x.mean((2, 3))
            _standardize(cast(nn.Linear, projection), features, 1.0 if number % LOOKS == 1 else LITTLE)
            probability = model.gate(projection(features))
            logits.append(probability.logit())
            x = torch.where((probability > 0.5)[:, :, None, None], computed, x) if computed.shape == x.shape else computed
        model.gate.choose.bias.sub_(threshold(torch.cat(logits), 0.5))
    settle(model.classify, x)


def _standardize(linear: nn.Linear, features: Tensor, deviation: float) -> None:
    """Makes the layer's results for these features of this deviation, about random means."""
    results = linear(features)
    scale = deviation / (results.std(0) + 1e-6)
    linear.bias.copy_((linear.bias - results.mean(0)) * scale + MEANS * torch.randn(GATE))
    linear.weight.mul_(scale[:, None])
