"""torch's own control flow operators become branches and loops."""

from __future__ import annotations

import pytest
import torch
from comparing import call, compare
from torch import nn
from torch._higher_order_ops import map as map_elements
from torch._higher_order_ops import scan, while_loop

from bough.frontends.torch_export import export
from bough.ir.program import If, Loop, While


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        def then(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.linear(x), torch.cond(x.max() > 1, lambda y: y * 2, lambda y: y - 1, (x,))

        def otherwise(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x + 1, x.clone()

        return torch.cond(x.sum() > 0, then, otherwise, (x,))


class Doubling(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return while_loop(lambda i, y: y.sum() < 100, lambda i, y: (i + 1, y * 2), (torch.tensor(0), x))


class Recurrence(nn.Module):
    def __init__(self, reverse: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.reverse = reverse

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        def step(h: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            h = torch.tanh(self.linear(h) + x)
            return h, torch.cond(h.sum() > 0, lambda h: h * 2, lambda h: -h, (h,))

        return scan(step, torch.zeros(4), x, dim=0, reverse=self.reverse)


class Mapped(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return map_elements(lambda row, y: row * y + row.sum(), x, y)


def test_cond_in_cond() -> None:
    torch.manual_seed(0)
    module = Nested().eval()
    imported = export(module, (torch.rand(3, 4),), dynamic={"x": {0: "batch"}})
    outer = next(n for n in imported.program.functions["main"].body if isinstance(n, If))
    assert any(isinstance(n, If) for n in outer.then)
    for x in (torch.rand(3, 4), torch.rand(2, 4) * 2, -torch.rand(5, 4)):
        compare(call(imported, x), module(x))


def test_while_loop() -> None:
    module = Doubling()
    imported = export(module, (torch.ones(3),))
    assert any(isinstance(n, While) for n in imported.program.functions["main"].body)
    for x in (torch.ones(3), torch.full((3,), 90.0), torch.full((3,), 0.01)):
        compare(call(imported, x), module(x))


@pytest.mark.parametrize("reverse", [False, True])
def test_scan(reverse: bool) -> None:
    torch.manual_seed(0)
    module = Recurrence(reverse).eval()
    imported = export(module, (torch.randn(5, 4),), dynamic={"x": {0: "steps"}})
    assert any(isinstance(n, Loop) for n in imported.program.functions["main"].body)
    for length in (2, 7):
        x = torch.randn(length, 4)
        compare(call(imported, x), module(x))


def test_map() -> None:
    module, x, y = Mapped(), torch.randn(5, 3), torch.randn(3)
    compare(call(export(module, (x, y)), x, y), module(x, y))
