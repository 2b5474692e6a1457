"""Swin transformer (Liu et al., "Swin transformer: hierarchical vision transformer using shifted windows", ICCV 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bough.bench.zoo.static.layers import FeedForward


def windows(x: Tensor, size: int) -> Tensor:
    """[batch, rows, columns, width] to [batch * windows, size * size, width]."""
    batch, rows, columns, width = x.shape
    x = x.view(batch, rows // size, size, columns // size, size, width)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, size * size, width)


def joined(x: Tensor, size: int, rows: int, columns: int) -> Tensor:
    """The other way."""
    x = x.view(-1, rows // size, columns // size, size, size, x.shape[-1])
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, rows, columns, x.shape[-1])


def relative_index(size: int) -> Tensor:
    """For each pair of places of a window the number of their distance."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()])
    distance = places[:, :, None] - places[:, None, :] + size - 1
    return distance[0] * (2 * size - 1) + distance[1]


def shift_mask(side: int, size: int, shift: int) -> Tensor:
    """Minus 100 where a shifted window joins places that are no neighbours, [windows, places, places]."""
    region = torch.zeros(side)
    region[-size:-shift], region[-shift:] = 1, 2
    regions = (3 * region[:, None] + region)[None, :, :, None]
    parts = windows(regions, size)[..., 0]
    return torch.where(parts[:, None, :] == parts[:, :, None], 0.0, -100.0)


class WindowAttention(nn.Module):
    """Attention inside each window, with a bias for each distance."""

    relative: Tensor

    def __init__(self, width: int, heads: int, size: int) -> None:
        super().__init__()
        self.heads = heads
        self.project, self.attended = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(0.02 * torch.randn((2 * size - 1) ** 2, heads))
        self.register_buffer("relative", relative_index(size), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        count, places, width = x.shape
        parts = self.project(x).reshape(count, places, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        scores = query * (width // self.heads) ** -0.5 @ key.transpose(-2, -1)
        bias = self.bias[self.relative.view(-1)].view(places, places, self.heads)
        scores = scores + bias.permute(2, 0, 1)
        if mask is not None:
            scores = scores.view(-1, len(mask), self.heads, places, places) + mask[:, None]
            scores = scores.view(count, self.heads, places, places)
        y = scores.softmax(-1) @ value
        result: Tensor = self.attended(y.transpose(1, 2).reshape(count, places, width))
        return result


class Block(nn.Module):
    """Attention in windows, which are shifted in every second block, and a network at each place."""

    mask: Tensor | None

    def __init__(self, width: int, heads: int, side: int, size: int, shift: int) -> None:
        super().__init__()
        self.size, self.shift = size, shift
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.network = WindowAttention(width, heads, size), FeedForward(width, 4 * width)
        self.register_buffer("mask", shift_mask(side, size, shift) if shift else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        _, rows, columns, _ = x.shape
        y = self.norm1(x)
        if self.shift:
            y = torch.roll(y, (-self.shift, -self.shift), (1, 2))
        y = joined(self.attention(windows(y, self.size), self.mask), self.size, rows, columns)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        x = x + y
        result: Tensor = x + self.network(self.norm2(x))
        return result


class Merge(nn.Module):
    """Four neighbours become one place with twice the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.reduce = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]]
        result: Tensor = self.reduce(self.norm(torch.cat(parts, -1)))
        return result


class Swin(nn.Module):
    """Swin-T as it stands."""

    def __init__(
        self, side: int = 224, patch: int = 4, width: int = 96, depths: Sequence[int] = (2, 2, 6, 2),
        heads: Sequence[int] = (3, 6, 12, 24), size: int = 7, classes: int = 1000,
    ) -> None:  # fmt: skip
        super().__init__()
        self.patches, self.first = nn.Conv2d(3, width, patch, patch), nn.LayerNorm(width)
        side //= patch
        layers: list[nn.Module] = []
        for stage, (depth, count) in enumerate(zip(depths, heads, strict=True)):
            if stage:
                layers.append(Merge(width))
                side, width = side // 2, 2 * width
            shift = size // 2 if side > size else 0
            layers += [Block(width, count, side, size, shift if number % 2 else 0) for number in range(depth)]
        self.layers = nn.Sequential(*layers)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.patches(x).permute(0, 2, 3, 1))
        scores: Tensor = self.head(self.norm(self.layers(x)).mean((1, 2)))
        return scores
