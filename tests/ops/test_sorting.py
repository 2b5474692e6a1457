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
