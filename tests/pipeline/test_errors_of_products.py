"""Errors of products of one row against float64: at most twice PyTorch eager's, whose sums have a part in each lane of a vector."""

from __future__ import annotations

import copy

import pytest
import torch

import bough


@pytest.mark.parametrize("length", [48, 64, 100, 128, 200])
def test_a_row(length: int) -> None:
    torch.manual_seed(length)
    layer = torch.nn.Linear(length, 200).eval().requires_grad_(False)
    exact = copy.deepcopy(layer).double()
    compiled = bough.compile(layer, (torch.randn(length),), threads=1)
    ours, eager = [], []
    for x in torch.randn(20, length):
        wanted = exact(x.double())
        ours.append((compiled(x) - wanted).abs())
        eager.append((layer(x) - wanted).abs())
    assert torch.cat(ours).max() <= 2 * torch.cat(eager).max() + 2e-7
    assert torch.cat(ours).square().mean() <= 4 * torch.cat(eager).square().mean()
