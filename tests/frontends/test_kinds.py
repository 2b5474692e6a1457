"""Numbers that are ints on one way and floats on another."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comparing import call
from torch import Tensor, nn

from bough.base.errors import CompileError
from bough.frontends.staging import export_module


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Any:
        total: float = 0
        for row in x:
            if row[0] > 0:
                total = total + row.sum().item()
        factor = 1 if x[0, 0] > 0 else 2.5
        once = factor * 2 - 1
        kinds = isinstance(factor, int), isinstance(factor, float), isinstance(factor, (int, float))
        return total, factor, once, once / 2, kinds, x * factor, [-factor, abs(factor)], float(factor), int(factor), once // 2


class Sums(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return sum(row.sum().item() for row in x if row[0] > 0)


class Turns(nn.Module):
    def forward(self, x: Tensor) -> Any:
        n: float = 0
        while x.sum() < 10:
            x = x.abs() + 1
            n = n + x.max().item()
        return x, n


def kinds_of(value: Any) -> Any:
    return [kinds_of(v) for v in value] if isinstance(value, (tuple, list)) else type(value)


@pytest.mark.parametrize("model", [Branches, Sums, Turns])
def test_they_come_back_as_what_they_are(model: type[nn.Module]) -> None:
    module = model()
    imported = export_module(module, (torch.randn(3, 4),))
    for x in (*(torch.randn(3, 4, generator=torch.Generator().manual_seed(n)) for n in range(6)), -torch.ones(3, 4), torch.ones(3, 4)):
        got, wanted = call(imported, x), module(x)
        torch.testing.assert_close(got, wanted)
        assert kinds_of(got) == kinds_of(wanted)


class OfType(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.arange(3) * (1 if x[0, 0] > 0 else 2.5)


class Filled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.full((3,), 1 if x[0, 0] > 0 else 2.5)


@pytest.mark.parametrize("model", [OfType, Filled])
def test_where_the_type_of_a_tensor_depends_on_it(model: type[nn.Module]) -> None:
    with pytest.raises(CompileError, match="where its type matters"):
        export_module(model(), (torch.randn(3, 4),))
