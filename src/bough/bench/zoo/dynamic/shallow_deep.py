"""Shallow-deep networks: classifiers inside a network, of which the first that is sure gives the answer.

Kaya et al., "Shallow-deep networks: understanding and mitigating network overthinking", ICML 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bough.bench.zoo.dynamic.calibrate import confidence, scale_for, settle

POOLED = 4
SURE = 0.8
"""The confidence with which a classifier answers."""
LEAVE = (0.3, 0.1, 0.4, 0.1, 0.4, 0.1)
"""The share of the inputs at hand that leave at each classifier."""


class InternalClassifier(nn.Module):
    """Reduces the features to 4 x 4 by a learned mixture of maxima and means, and classifies them."""

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        self.window = max(1, side // POOLED)
        self.mixture = nn.Parameter(torch.rand(1))
        self.linear = nn.Linear(channels * (side // self.window) ** 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        share = torch.sigmoid(self.mixture)
        x = share * F.max_pool2d(x, self.window) + (1 - share) * F.avg_pool2d(x, self.window)
        result: Tensor = self.linear(x.flatten(1))
        return result


class ShallowDeep(nn.Module):
    """`layers` one after the other, `head` behind the last, and classifiers behind those that `where` numbers.

    Returns the classes' scores, which classifier they are of, and whether it was early. Where none is sure, the surest answers.
    """

    def __init__(self, layers: Sequence[nn.Module], where: Sequence[int], head: nn.Module, classes: int, side: int = 32) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.head = head
        self.classifiers = nn.ModuleDict()
        x = torch.zeros(1, 3, side, side)
        for number, layer in enumerate(self.layers):
            x = layer.eval()(x)
            if number in where:
                self.classifiers[str(number)] = InternalClassifier(x.shape[1], x.shape[2], classes)
        self.sure = SURE

    def forward(self, x: Tensor) -> tuple[Tensor, int, bool]:
        outputs: list[Tensor] = []
        confidences: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if str(number) in self.classifiers:
                output = self.classifiers[str(number)](x)
                certainty = torch.max(F.softmax(output, dim=1))
                if certainty >= self.sure:
                    return output, len(outputs), True
                outputs.append(output)
                confidences.append(certainty)
        output = self.head(x)
        outputs.append(output)
        confidences.append(torch.max(F.softmax(output, dim=1)))
        surest = int(torch.stack(confidences).argmax())
        return outputs[surest], surest, False


def calibrate(model: ShallowDeep, x: Tensor) -> None:
    """Scales each classifier so that its share of the pictures leaves there."""
    shares = iter(LEAVE)
    here = torch.ones(len(x), dtype=torch.bool)
    for number, layer in enumerate(model.layers):
        x = settle(layer, x)
        if str(number) in model.classifiers:
            classifier = cast(InternalClassifier, model.classifiers[str(number)])
            logits = classifier(x)
            scale_linear(classifier.linear, scale_for(logits[here], confidence, model.sure, next(shares)))
            here &= confidence(classifier(x)) < model.sure
    settle(model.head, x)


def scale_linear(linear: nn.Linear, factor: float) -> None:
    for parameter in linear.parameters():
        parameter.mul_(factor)


def spread(count: int, layers: int) -> list[int]:
    """Where `count` classifiers stand among so many layers: evenly, none behind the last."""
    return [round((i + 1) * layers / (count + 1)) - 1 for i in range(count)]

