"""Attention and transformer layers, with symbolic batch and sequence sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from comparing import check, operators
from torch import nn


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": 0.3}], ids=str)
def test_scaled_dot_product(options: dict[str, Any]) -> None:
    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, v, **options)

    size = (2, 3, 5, 4)
    imported = check(attend, torch.randn(size), torch.randn(size), torch.randn(size))
    assert operators(imported) == ["attention"]


def test_masks_and_shared_heads() -> None:
    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=q.shape[1] != k.shape[1])

    q, k, v = torch.randn(2, 4, 5, 4), torch.randn(2, 2, 6, 4), torch.randn(2, 2, 6, 4)
    check(attend, q, k, v, torch.randn(5, 6))
    check(attend, q, k, v, torch.randn(2, 1, 5, 6) > -1)


@pytest.mark.parametrize("batch_first", [True, False])
def test_encoder_layer(batch_first: bool) -> None:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=batch_first, activation="gelu", norm_first=batch_first)
    batch, seq = (0, 1) if batch_first else (1, 0)
    others = [(torch.randn(1, 1, 16),), (torch.randn(3, 7, 16),)]
    imported = check(layer, torch.randn(2, 5, 16), dynamic={"src": {batch: "batch", seq: "seq"}}, also=others)
    assert operators(imported).count("attention") == 1


def test_encoder_and_decoder() -> None:
    model = nn.Transformer(16, 2, 1, 1, 32, batch_first=True)
    check(model, torch.randn(2, 5, 16), torch.randn(2, 3, 16))


@pytest.mark.parametrize("weights", [True, False])
def test_multihead_attention(weights: bool) -> None:
    module = nn.MultiheadAttention(16, 4, batch_first=True)
    x, y = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    check(module, x, y, y, kwargs={"need_weights": weights})


def test_padding_mask() -> None:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    mask = torch.tensor([[False] * 5, [False, False, False, True, True]])
    check(layer, torch.randn(2, 5, 16), kwargs={"src_key_padding_mask": mask})


def test_written_out_causal_attention() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
            self.register_buffer("mask", torch.tril(torch.ones(32, 32)).view(1, 1, 32, 32))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            b, t, c = x.size()
            q, k, v = (y.view(b, t, 4, c // 4).transpose(1, 2) for y in self.qkv(x).split(c, dim=2))
            scores = (q @ k.transpose(-2, -1)) * (1.0 / k.size(-1) ** 0.5)
            scores = scores.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf"))
            y = F.softmax(scores, dim=-1) @ v
            return self.out(y.transpose(1, 2).contiguous().view(b, t, c))

    from bough.ir.program import Dim

    others = [(torch.randn(1, 1, 16),), (torch.randn(3, 32, 16),)]
    check(Block(), torch.randn(2, 5, 16), dynamic={"x": {0: "batch", 1: Dim("seq", 1, 32)}}, also=others)
