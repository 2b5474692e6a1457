"""Sorting and the largest elements, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

Check = Callable[..., None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
@pytest.mark.parametrize("axis", [0, -1])
def test_sort(check: Check, dtype: torch.dtype, axis: int) -> None:
    torch.manual_seed(2)
    x = torch.randint(-3, 3, (5, 7)).to(dtype)
    if dtype.is_floating_point:
        x[2, 3] = x[2, 5] = x[4, 3] = float("nan")
        x[2, 1], x[0, 3] = float("inf"), float("-inf")
    for descending in (False, True):
        check("sort", [x], torch.sort(x, dim=axis, descending=descending, stable=True), axis=axis, descending=descending)


@pytest.mark.parametrize("largest", [True, False])
def test_topk(check: Check, largest: bool) -> None:
    torch.manual_seed(2)
    x = torch.randn(4, 9)
    x[1, 3] = float("nan")
    for k in (0, 1, 3, 9):
        check("topk", [x], x.topk(k, 1, largest), k=k, axis=1, largest=largest)
    check("topk", [x], x.topk(2, 0, largest), k=2, axis=0, largest=largest)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_a_few_of_many(check: Check, dtype: torch.dtype) -> None:
    """More than are compared each with each; ties come as they stood, which PyTorch leaves open."""
    torch.manual_seed(2)
    x = torch.randint(-50, 50, (3, 300)).to(dtype)
    if dtype.is_floating_point:
        x[1, 200] = x[1, 7] = float("nan")
        x[2] = float("-inf")
        x[2, 250], x[2, 40] = float("inf"), 1.0
    for axis, moved in ((1, x), (0, x.T.contiguous())):
        ordered = torch.sort(moved, dim=axis, descending=True, stable=True)
        wanted = tuple(part.narrow(axis, 0, 5) for part in ordered)
        check("topk", [moved], wanted, k=5, axis=axis, largest=True)
    check("topk", [x[0]], tuple(part[:16] for part in torch.sort(x[0], descending=True, stable=True)), k=16, axis=0, largest=True)
