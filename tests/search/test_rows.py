"""Kernels that share rows in one phase: few rows still make work for all threads, in the same bits."""

from __future__ import annotations

from math import ceil
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bough
from bough.ir.sequence import Group, walk
from bough.pipeline.passes import Pass
from bough.search.chunks import nominal_chunks


class Pairs(nn.Module):
    """Products of the rows of a sample with each other, of what a small layer and tables make of it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(256, 64)
        self.tables = nn.ModuleList(nn.EmbeddingBag(50, 64, mode="sum") for _ in range(26))

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        parts = [torch.relu(self.layer(x)), *(table(words[n]) for n, table in enumerate(self.tables))]
        rows = torch.stack(parts, 1)
        return torch.bmm(rows, rows.transpose(1, 2))


class Watch:
    """The chunks of the groups that were scheduled, of those that have more than so many kernels."""

    chunks: list[set[int]]

    def __init__(self, kernels: int) -> None:
        self.kernels = kernels

    def after(self, step: Pass, value: Any, seconds: float) -> None:
        if step.name == "choose schedules":
            groups = [s for s in walk(value.sequence.steps) if isinstance(s, Group) and len(s.kernels) > self.kernels]
            self.chunks = [{nominal_chunks(k, value.scheduled[k.name].schedule, {}) for k in g.kernels} for g in groups]


@pytest.mark.parametrize(("batch", "threads", "chunks"), [(8, 4, 4), (6, 2, 2), (7, 4, 4), (16, 2, 2)])
def test_few_rows_are_shared_out(batch: int, threads: int, chunks: int) -> None:
    torch.manual_seed(0)
    module, watch = Pairs().eval().requires_grad_(False), Watch(5)
    args = torch.randn(batch, 256), torch.randint(50, (26, batch, 3))
    f = bough.compile(module, args, threads=threads, cache=False, watchers=[watch])
    assert all(len(c) == 1 and min(c) >= chunks for c in watch.chunks)
    torch.testing.assert_close(f(*args), module(*args))
    assert torch.equal(f(*args), bough.compile(module, args, threads=1, cache=False)(*args))
    last = args[0][-1:], args[1][:, -1:]
    assert torch.equal(f(*args)[-1:], bough.compile(module, last, threads=threads, cache=False)(*last))


class Squeezed(nn.Module):
    """Channels that a thread takes from a product through a depthwise convolution to their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.depthwise = nn.Conv2d(40, 120, 1), nn.Conv2d(120, 120, 5, padding=2, groups=120)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.depthwise(self.expand(x).relu())
        return y.relu().mean((2, 3))


class Blocks:
    """Into how many chunks groups cut an axis."""

    def __init__(self, rows: int) -> None:
        self.rows, self.chunks = rows, set[int]()

    def after(self, step: Pass, value: Any, seconds: float) -> None:
        if step.name == "choose schedules":
            for k in (k for s in walk(value.sequence.steps) if isinstance(s, Group) and not s.rows for k in s.kernels):
                schedule, axis = value.scheduled[k.name].schedule, next(a.name for a in k.free if a.extent == self.rows)
                self.chunks.add(ceil(self.rows / (schedule.rows(axis) * schedule.block(axis))))


@pytest.mark.parametrize("threads", [3, 4])
def test_blocks_that_all_tiles_divide_are_not_taken_where_threads_would_wait(threads: int) -> None:
    torch.manual_seed(0)
    module, x, watch = Squeezed().eval(), torch.randn(1, 40, 28, 28), Blocks(120)
    f = bough.compile(module, (x,), threads=threads, cache=False, watchers=[watch])
    (chunks,) = watch.chunks
    assert threads * ceil(chunks / threads) / chunks < 1.1
    assert torch.equal(f(x), bough.compile(module, (x,), threads=1, cache=False)(x))
    with torch.inference_mode():
        torch.testing.assert_close(f(x), module(x))


class Expanded(nn.Module):
    """A long product whose result is padded for the next convolution: few rows of pixels, which four threads cannot share evenly."""

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.depthwise = nn.Conv2d(80, 480, 1), nn.Conv2d(480, 480, 3, padding=1, groups=480)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.depthwise(self.expand(x).relu())
        return y


class Products:
    """The chunks of the kernels that sum over 80 channels."""

    def __init__(self) -> None:
        self.chunks: list[int] = []

    def after(self, step: Pass, value: Any, seconds: float) -> None:
        if step.name == "choose schedules":
            kernels = (s for s in value.scheduled.values() if any(a.extent == 80 for a in s.kernel.axes))
            self.chunks = [nominal_chunks(s.kernel, s.schedule, {}) for s in kernels]


def test_long_kernels_do_not_share_rows_that_leave_threads_waiting() -> None:
    torch.manual_seed(0)
    module, x, watch = Expanded().eval(), torch.randn(1, 80, 14, 14), Products()
    f = bough.compile(module, (x,), threads=4, cache=False, watchers=[watch])
    (chunks,) = watch.chunks
    assert 4 * ceil(chunks / 4) / chunks < 1.1
    assert torch.equal(f(x), bough.compile(module, (x,), threads=1, cache=False)(x))
    with torch.inference_mode():
        torch.testing.assert_close(f(x), module(x))


class Gated(nn.Module):
    """Rows that are short to move and long to compute."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(torch.tanh(x[:, :384]) * torch.sigmoid(x[:, 384:]), 1)


def test_work_of_a_row_counts_its_functions() -> None:
    """A row of 24 vectors takes a thousand cycles here, not a hundred: 64 of them are work for all threads."""
    watch, x = Watch(3), torch.randn(64, 768)
    f = bough.compile(Gated(), (x,), threads=4, cache=False, watchers=[watch])
    ((chunks,),) = watch.chunks
    assert chunks >= 8
    assert torch.equal(f(x), bough.compile(Gated(), (x,), threads=1, cache=False)(x))
    torch.testing.assert_close(f(x), Gated()(x))
