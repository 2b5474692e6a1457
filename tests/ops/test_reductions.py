"""Reductions, against PyTorch: every set of axes, empty boxes, NaN, ties, types."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
import torch

Check = Callable[..., None]
FLOATS = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2}
AXES = [axes for n in range(1, 4) for axes in combinations(range(3), n)]
NAN = float("nan")

REDUCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "reduce_sum": torch.sum,
    "reduce_mean": torch.mean,
    "reduce_max": torch.amax,
    "reduce_min": torch.amin,
    "reduce_any": torch.any,
    "reduce_all": torch.all,
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_floats(check: Check, name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(5)
    x = torch.randn(3, 4, 5).to(dtype)
    close = {"rtol": FLOATS[dtype], "atol": FLOATS[dtype]}
    for axes in AXES:
        for keep in (False, True):
            check(name, [x], REDUCTIONS[name](x, dim=axes, keepdim=keep), axes=axes, keep=keep, **close)
    check(name, [x], REDUCTIONS[name](x, dim=(0, 1, 2)), axes=None, **close)
    check(name, [x], REDUCTIONS[name](x, dim=(-1, 0)), axes=(-1, 0), **close)
    x[1, 2, 3], x[0, 0, 0], x[0, 0, 1] = NAN, float("inf"), float("-inf")
    check(name, [x], REDUCTIONS[name](x, dim=2), axes=(2,), **close)
    x[:] = 0
    check(name, [x], REDUCTIONS[name](x, dim=2), axes=(2,))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.bool])
def test_integers(check: Check, dtype: torch.dtype) -> None:
    x = torch.randint(-3, 4, (3, 4, 5)).to(dtype)
    for name in ("reduce_sum", "reduce_max", "reduce_min", "reduce_any", "reduce_all"):
        check(name, [x], REDUCTIONS[name](x, dim=(0, 2)), axes=(0, 2))
    check("reduce_prod", [x], x.prod(1), axes=(1,))


def test_prod(check: Check) -> None:
    x = torch.randn(3, 4)
    check("reduce_prod", [x], x.prod(1), axes=(1,))
    check("reduce_prod", [x], x.prod(0, keepdim=True), axes=(0,), keep=True)


def test_empty(check: Check) -> None:
    x = torch.zeros(3, 0, 2)
    for name in ("reduce_sum", "reduce_any", "reduce_all"):
        check(name, [x], REDUCTIONS[name](x, dim=1), axes=(1,))
        check(name, [x], REDUCTIONS[name](x, dim=0), axes=(0,))
    check("reduce_prod", [x], x.prod(1), axes=(1,))
    check("reduce_mean", [x], x.mean(1), axes=(1,))
    check("reduce_max", [x], torch.amax(x, 0), axes=(0,))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("correction", [0, 1, 2])
@pytest.mark.filterwarnings("ignore:var")
def test_variance(check: Check, dtype: torch.dtype, correction: int) -> None:
    torch.manual_seed(6)
    x = (torch.randn(3, 4, 5) + 10).to(dtype)
    for axes in AXES:
        want = x.var(axes, correction=correction, keepdim=True)
        close = {"rtol": FLOATS[dtype] * 10, "atol": FLOATS[dtype]}
        check("reduce_var", [x], want, axes=axes, keep=True, correction=correction, **close)
    one = torch.tensor([[3.0]])
    check("reduce_var", [one], one.var(1, correction=correction), axes=(1,), correction=correction, dynamic=False)


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int64])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions(check: Check, name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(7)
    want: Any = getattr(torch, name)
    x = torch.randint(-2, 2, (4, 6)).to(dtype)
    # PyTorch promises no particular position among equals; the operator does: the first one.
    first = torch.stack([torch.stack([(row == (row.max() if name == "argmax" else row.min())).nonzero()[0, 0] for row in x])])[0]
    check(name, [x], first, axis=1)
    apart = torch.randperm(24).reshape(4, 6).to(dtype)
    for axis in (0, 1, -1, None):
        check(name, [apart], want(apart, axis), axis=axis)
    check(name, [apart], want(apart, 1, keepdim=True), axis=1, keep=True)
    if dtype.is_floating_point:
        apart[1, 3] = NAN
        apart[1, 0] = float("inf")
        check(name, [apart], want(apart, 1), axis=1)
    check(name, [apart[0, 0]], want(apart[0, 0]), axis=None)


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int64, torch.int32, torch.bool])
def test_scans(check: Check, dtype: torch.dtype) -> None:
    torch.manual_seed(8)
    x = torch.randn(3, 4, 5).to(dtype)
    close = {"rtol": FLOATS.get(dtype, 0), "atol": FLOATS.get(dtype, 0)}
    for axis in (0, -1):
        check("cumsum", [x], x.cumsum(axis), axis=axis, **close)
        check("cumprod", [x], x.cumprod(axis), axis=axis, **close)
        check("cummax", [x], x.cummax(axis).values, axis=axis)
        check("cummin", [x], x.cummin(axis).values, axis=axis)
        if dtype.is_floating_point:
            check("logcumsumexp", [x], x.logcumsumexp(axis), axis=axis, **close)
    if dtype == torch.float32:
        x[1, 1, 1], x[2, 2, 2], x[2, :3, 3] = NAN, float("inf"), float("-inf")
        check("cumsum", [x], x.cumsum(1), axis=1)
        check("cummax", [x], x.cummax(1).values, axis=1)
        check("logcumsumexp", [x], x.logcumsumexp(1), axis=1)


@pytest.mark.parametrize("length", [0, 1, 31, 64, 65, 100, 128])
def test_long_scans(check: Check, length: int) -> None:
    x = torch.randn(2, length, 3)
    check("cumsum", [x], x.cumsum(1), axis=1)
    near_one = 1 + x / 99
    check("cumprod", [near_one], near_one.cumprod(1), axis=1)
    check("cummin", [x], x.cummin(1).values, axis=1)
    check("logcumsumexp", [x], x.logcumsumexp(1), axis=1)
    if length > 2:
        x[1, length // 2, 1] = NAN
        check("cumsum", [x], x.cumsum(1), axis=1)
