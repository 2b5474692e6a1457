"""BlockDrop: a small network looks at the picture and says which blocks of a large one to compute.

Wu et al., "BlockDrop: dynamic inference paths in residual networks", CVPR 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bough.bench.zoo.dynamic.calibrate import bias_for, settle
from bough.bench.zoo.dynamic.residual import BasicBlock, Classifier, Residual, Stem, sizes

KEEP = (1.0, 0.0, 1.0, 0.5, 1.0, 0.0, 1.0, 1.0, 0.0)
"""The share of the inputs for which a block is kept: of the blocks, one after the other."""


class Policy(nn.Module):
    """A residual network with one block a stage (ResNet-8) and a probability for each block of the other network."""

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.features = nn.Sequential(Stem(16), *(BasicBlock(*size) for size in sizes(1)), nn.AdaptiveAvgPool2d(1))
        self.decide = nn.Linear(64, actions)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.decide(self.features(x).flatten(1)))


class PaddingShortcut(nn.Module):
    """Every second pixel, and zeros for the channels that are new."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, 2)
        return torch.cat([x, torch.zeros(x.shape[0], self.channels, *x.shape[2:])], dim=1)


class BlockDrop(nn.Module):
    """Three stages of residual blocks (ResNet-110 has 18 each). Returns the classes' scores and the policy, 0 or 1 a block."""

    def __init__(self, blocks: int, classes: int = 10) -> None:
        super().__init__()
        shapes = list(sizes(blocks))
        self.policy = Policy(len(shapes))
        self.stem = Stem(16)
        self.blocks = nn.ModuleList(Residual(*shape) for shape in shapes)
        self.shortcuts = nn.ModuleList(
            nn.Identity() if inputs == outputs else PaddingShortcut(outputs - inputs) for inputs, outputs, _ in shapes
        )
        self.classify = Classifier(64, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        policy = (self.policy(x) > 0.5).float()
        x = self.stem(x)
        for keep, block, shortcut in zip(policy[0], self.blocks, self.shortcuts):
            passed = shortcut(x)
            if keep == 1:
                x = F.relu(block(x) + passed)
            else:
                x = passed
        return self.classify(x), policy


def calibrate(model: BlockDrop, x: Tensor) -> None:
    """Gives each probability a bias with which the block is kept for its share of the pictures."""
    logits = settle(model.policy, x).double().logit()
    for number, logit in enumerate(logits.T):
        model.policy.decide.bias[number] += bias_for(logit, KEEP[number % len(KEEP)])
    policy = model.policy(x) > 0.5
    x = settle(model.stem, x)
    for keep, block, shortcut in zip(policy.T, model.blocks, model.shortcuts):
        passed = shortcut(x)
        x = torch.where(keep[:, None, None, None], F.relu(settle(block, x) + passed), passed)
    settle(model.classify, x)
