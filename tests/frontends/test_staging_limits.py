"""How deep modules may nest, and how many branches they may have, until they are refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import bough
from bough.frontends.staging import branches, export_module


class Inner(nn.Module):
    """Goes on inside where its input is large enough."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth, self.inside = depth, Inner(depth - 1) if depth else None

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > self.depth:
            y = 1.1 * x
            return y if self.inside is None else self.inside(y)
        return x - 1


class Both(Inner):
    """Goes on inside in any case, from each side on its own."""

    def __init__(self, depth: int) -> None:
        super().__init__(0)
        self.depth, self.inside = depth, Both(depth - 1) if depth else None

    def forward(self, x: Tensor) -> Tensor:
        if self.inside is None:
            return x
        if x.sum() > self.depth:
            y: Tensor = self.inside(1.1 * x)
        else:
            y = self.inside(x - 1)
        return y


def test_modules_with_decisions_nest_forty_deep() -> None:
    module = Inner(40)
    compiled = bough.compile(module, (torch.ones(3),), cache=False, threads=1)
    for size in (0.0, 1.0, 5.0, 30.0):
        x = size * torch.ones(3)
        torch.testing.assert_close(compiled(x), module(x))


def test_branches_that_double_at_each_level_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branches, "MOST_BRANCHES", 40)
    export_module(Both(5), (torch.ones(3),))
    with pytest.raises(bough.CompileError, match="BGH-CTRL-003"):
        export_module(Both(40), (torch.ones(3),))
