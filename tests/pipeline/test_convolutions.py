"""Convolutions of every geometry against PyTorch: errors against float64 at most twice eager's, and rows that do not notice
their company."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import bough

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def check(module: nn.Module, x: torch.Tensor, threads: int = 2) -> None:
    module = module.eval().requires_grad_(False)
    exact, eager = copy.deepcopy(module).double()(x.double()), module(x)
    compiled = bough.compile(module, (x,), threads=threads, cache=False)(x)
    assert compiled.shape == eager.shape
    largest = exact.abs().max() if exact.numel() else 0.0
    assert ((compiled - exact).abs() <= 2 * (eager - exact).abs().max() + 4e-7 * largest).all()


@settings(max_examples=25)
@given(st.data())
def test_every_geometry(data: st.DataObject) -> None:
    rank = data.draw(st.sampled_from([1, 2, 2, 2, 3]))
    many = 3 if rank == 3 else 20

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(data.draw(st.integers(low, high)) for _ in range(rank))

    groups = data.draw(st.sampled_from([1, 1, 2, 3]))
    inputs, outputs = (groups * data.draw(st.integers(1, many)) for _ in range(2))
    if data.draw(st.booleans()) and rank < 3:
        groups = inputs = outputs = data.draw(st.integers(1, 33))
    window, stride, padding, dilation = each(1, 3), each(1, 3), each(0, 2), each(1, 2)
    sizes = [d * (w - 1) + 1 + data.draw(st.integers(0, 9)) for w, d in zip(window, dilation)]
    torch.manual_seed(sum(sizes))
    first = CONVOLUTIONS[rank - 1](inputs, outputs, window, stride, padding, dilation, groups)
    module = nn.Sequential(first, nn.ReLU(), CONVOLUTIONS[rank - 1](outputs, 17, 1), nn.SiLU())
    check(module, torch.randn(data.draw(st.integers(1, 3)), inputs, *sizes))


@pytest.mark.parametrize(("channels", "size"), [(64, 14), (48, 10), (96, 2)])
def test_fewer_products_do_not_make_errors_large(channels: int, size: int) -> None:
    torch.manual_seed(channels)
    layers = [nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 50, 3, padding=1)]
    check(nn.Sequential(*layers), torch.randn(2, channels, size, size))


@pytest.mark.parametrize(
    ("window", "stride", "padding", "height", "width"), [(3, 1, 1, 7, 9), (5, 1, 2, 9, 6), (5, 2, 1, 20, 17), (9, 1, 4, 8, 5)]
)
def test_odd_sizes_and_large_windows(window: int, stride: int, padding: int, height: int, width: int) -> None:
    torch.manual_seed(height)
    check(nn.Conv2d(64, 50, window, stride, padding), torch.randn(2, 64, height, width))


@pytest.mark.parametrize("height", [8, 7])
def test_rows_do_not_notice_their_company(height: int) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(50, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 33, 5, padding=2), nn.Conv2d(33, 33, 3, groups=33)]
    module = nn.Sequential(*layers).eval()
    x = torch.randn(5, 50, height, 12)
    many = bough.compile(module, (x,), dynamic={"input": {0: "batch"}}, threads=2)
    alone = bough.compile(module, (x[:1],), threads=1)
    together = many(x)
    assert torch.equal(bough.compile(module, (x,), threads=3)(x), together)
    for row in range(5):
        assert torch.equal(alone(x[row : row + 1]), together[row : row + 1])
        assert torch.equal(many(x[row : row + 1]), together[row : row + 1])
