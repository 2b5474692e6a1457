"""Sums that a kernel takes one after the other, so that more rows have room in registers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bough
from bough.ir.kernel import Kernel
from bough.ir.sequence import kernels
from bough.pipeline.passes import Pass
from bough.search.cost import machine_of
from bough.search.heuristic import Context
from bough.search.sums import sums_in_turn
from bough.targets import TARGETS

MACHINE = machine_of(TARGETS["avx512"])
CONTEXT = Context(TARGETS["avx512"], 2, frozenset(), {})


class Watch:
    """The kernel of most sums, before schedules are chosen."""

    kernel: Kernel

    def after(self, step: Pass, value: Any, seconds: float) -> None:
        if step.name == "normalize axes":
            self.kernel = max(kernels(value.steps), key=lambda k: len(k.reductions))


def compiled(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, Kernel]:
    watch = Watch()
    function = bough.compile(module, args, threads=2, cache=False, watchers=[watch])
    return function, watch.kernel


def nests(kernel: Kernel) -> list[int]:
    """How many sums each loop nest has."""
    over = [r.axes for _, r in kernel.reductions]
    return [over.count(axes) for axes in dict.fromkeys(over)]


def cell(kind: Any, rows: int, units: int = 48) -> tuple[nn.Module, tuple[Any, ...]]:
    torch.manual_seed(0)
    x, h, c = (torch.randn(rows, units) for _ in range(3))
    return kind(units, units).eval(), (x, (h, c) if kind is nn.LSTMCell else h)


@pytest.mark.parametrize(
    ("kind", "rows", "wanted"), [(nn.LSTMCell, 16, [4, 4]), (nn.LSTMCell, 1, [8]), (nn.GRUCell, 16, [6])]
)
def test_sums_of_cells(kind: Any, rows: int, wanted: list[int]) -> None:
    """Those of an LSTM's inputs and of its state read nothing in common; one row has room for all, and four have for a GRU's."""
    _, kernel = compiled(*cell(kind, rows))
    assert nests(kernel) == [sum(wanted)]
    assert nests(sums_in_turn(kernel, MACHINE, CONTEXT)) == wanted


def test_the_order_of_sums_stays() -> None:
    module, (x, (h, c)) = cell(nn.LSTMCell, 1)
    one, _ = compiled(module, (x, (h, c)))
    x16, h16, c16 = (t.repeat(16, 1) for t in (x, h, c))
    many, _ = compiled(module, (x16, (h16, c16)))
    for single, together in zip(one(x, (h, c)), many(x16, (h16, c16)), strict=True):
        assert torch.equal(single.expand(16, -1), together)


class Shared(nn.Module):
    """Eight sums that all read the same rows."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(48, 64) for _ in range(8))

    def forward(self, x: Tensor) -> Tensor:
        first, *others = (part(x) for part in self.parts)
        for other in others:
            first = torch.tanh(first) * other
        return first


def test_sums_that_share_what_they_read_stay_together() -> None:
    _, kernel = compiled(Shared().eval(), (torch.randn(16, 48),))
    assert len(nests(sums_in_turn(kernel, MACHINE, CONTEXT))) == 1


def test_a_kept_order_along_a_sum_stays() -> None:
    _, kernel = compiled(*cell(nn.LSTMCell, 16))
    along = replace(kernel, order=(kernel.reductions[0][1].axes[0], 1))
    assert sums_in_turn(along, MACHINE, CONTEXT) is along
