"""What a mask selects, where the number of it is computed, against eager PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from comparing import call, compare
from torch import Tensor, nn

from bough.frontends.staging import export_module


class Calls(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def where(x: Tensor) -> Any:
    return torch.where(x > 0)


def nonzero(x: Tensor) -> Any:
    return x.relu().nonzero(), torch.nonzero(x > 1, as_tuple=True), torch.argwhere(x < 0)


def masked(x: Tensor) -> Any:
    return x[x > 0], torch.masked_select(x, x[:1] > 0)


def rows(x: Tensor) -> Any:
    return x[x[:, 0] > 0], x[x[:, 0] > 0, 1:3], x[1:, x[0] > 0]


def changed(x: Tensor) -> Any:
    y, z = x.clone(), x.clone()
    y[x > 0] = y[x > 0] * 2
    z[x > 0] = 0.0
    return y, z


def counted(x: Tensor) -> Any:
    kept = x[x > 0]
    return len(kept), kept.sum()


def routed(x: Tensor) -> Any:
    """As the words of an expert are gathered and its results added."""
    mask = x > 0.5
    out = torch.zeros_like(x)
    if mask.any():
        row, column = torch.where(mask)
        out.index_add_(0, row, x[row] * x[row, column, None])
    return out


FUNCTIONS = (where, nonzero, masked, rows, changed, counted, routed)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_as_in_eager_pytorch(function: Callable[[Tensor], Any]) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(4, 6), torch.randn(4, 6), torch.full((4, 6), -1.0), torch.full((4, 6), 2.0)]
    imported = export_module(Calls(function), (inputs[0],))
    for x in inputs:
        compare(call(imported, x), function(x))
