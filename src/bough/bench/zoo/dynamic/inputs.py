"""Inputs by their number: pictures of several kinds, and texts about several topics. The same number, the same input."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

KINDS = 4
"""How many kinds of inputs there are. Number i is of kind i % KINDS, as a data set has easy inputs and hard ones."""
SIDE = 32
BASE = (0.3, 0.6, 1.0, 1.6)
"""The contrast of a kind's pictures."""
COMMON = 0.7
GRAIN = (0.05, 0.3, 0.1, 0.6)
"""The share of noise from pixel to pixel in a kind's pictures."""


def picture(number: int) -> Tensor:
    """A batch of one picture of three channels: a smooth pattern, most of which its kind has in common, and noise."""
    generator = torch.Generator().manual_seed(number)
    kind = number % KINDS
    common = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(kind))
    coarse = COMMON * common + (1 - COMMON) * torch.randn(1, 3, 4, 4, generator=generator)
    smooth = F.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    noise = torch.randn(1, 3, SIDE, SIDE, generator=generator)
    return BASE[kind] * ((1 - GRAIN[kind]) * smooth + GRAIN[kind] * noise)


def pictures(count: int, first: int) -> Tensor:
    return torch.cat([picture(first + i) for i in range(count)])


def text(number: int, words: int, vocabulary: int, first: int = 0) -> Tensor:
    """Numbers of words from `first` on, below `vocabulary`; a text keeps to the words of one topic."""
    generator = torch.Generator().manual_seed(number)
    size = (vocabulary - first) // KINDS
    begin = first + number % KINDS * size
    return torch.randint(begin, begin + size, (words,), generator=generator)


def length(number: int, least: int, most: int) -> int:
    """A length for a text."""
    generator = torch.Generator().manual_seed(10_000 + number)
    return int(torch.randint(least, most + 1, (), generator=generator))


def by_topic(embedding: Tensor, first: int = 0, spread: float = 0.5) -> None:
    """Moves the rows of an embedding's weights together by topic, as training does, in place."""
    size = (len(embedding) - first) // KINDS
    for topic in range(KINDS):
        rows = embedding[first + topic * size : first + (topic + 1) * size]
        centre = rows[:1].clone()
        rows.mul_(spread).add_(centre)
