"""Pictures in patches: ViT (Dosovitskiy et al., ICLR 2021) and MLP-Mixer (Tolstikhin et al., NeurIPS 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bough.bench.zoo.static.layers import FeedForward


class Patches(nn.Module):
    """A vector for each patch of the picture, [batch, patches, width]."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(3, width, size, size)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(x)
        return y.flatten(2).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project, self.attended = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, places, width = x.shape
        parts = self.project(x).view(batch, places, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        y = F.scaled_dot_product_attention(query, key, value)
        result: Tensor = self.attended(y.transpose(1, 2).reshape(batch, places, width))
        return result


class Encoder(nn.Module):
    """A block of ViT."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attention, self.network = Attention(width, heads), FeedForward(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        result: Tensor = x + self.network(self.norm2(x))
        return result


class ViT(nn.Module):
    """ViT-B/16 as it stands."""

    def __init__(
        self, side: int = 224, patch: int = 16, width: int = 768, heads: int = 12, layers: int = 12, classes: int = 1000
    ) -> None:
        super().__init__()
        self.patches = Patches(patch, width)
        self.first = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, (side // patch) ** 2 + 1, width))
        self.layers = nn.Sequential(*(Encoder(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        x = torch.cat([self.first.expand(len(x), -1, -1), x], dim=1) + self.places
        scores: Tensor = self.head(self.norm(self.layers(x))[:, 0])
        return scores


class MixerBlock(nn.Module):
    """A network over patches, then one over channels."""

    def __init__(self, patches: int, width: int, over_patches: int, over_channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.patches, self.channels = FeedForward(patches, over_patches), FeedForward(width, over_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.patches(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        result: Tensor = x + self.channels(self.norm2(x))
        return result


class Mixer(nn.Module):
    """Mixer-B/16 as it stands."""

    def __init__(
        self, side: int = 224, patch: int = 16, width: int = 768, over_patches: int = 384, over_channels: int = 3072,
        layers: int = 12, classes: int = 1000,
    ) -> None:  # fmt: skip
        super().__init__()
        self.patches = Patches(patch, width)
        count = (side // patch) ** 2
        self.layers = nn.Sequential(*(MixerBlock(count, width, over_patches, over_channels) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.norm(self.layers(self.patches(x))).mean(1))
        return scores
