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


def many(dtype: torch.dtype, count: int) -> torch.Tensor:
    """Two rows with ties, and elements that come first or last whichever way they are ordered."""
    torch.manual_seed(count)
    x = torch.randint(-200, 200, (2, count)).to(dtype)
    if dtype.is_floating_point:
        x[0, count // 3 :: 97] = float("nan")
        x[0, 5::89], x[0, 7::83] = float("inf"), float("-inf")
        x[1, : count - 40] = float("nan")
    return x


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.int32])
@pytest.mark.parametrize("count", [512, 640, 1000])
@pytest.mark.parametrize("descending", [True, False])
def test_long_rows_are_merged(check: Check, dtype: torch.dtype, count: int, descending: bool) -> None:
    """Runs of which the last is not full, and of which one has no second to be merged with."""
    x = many(dtype, count)
    for axis, moved in ((1, x), (0, x.T.contiguous())):
        ordered = torch.sort(moved, dim=axis, descending=descending, stable=True)
        check("sort", [moved], ordered, axis=axis, descending=descending)
        half = tuple(part.narrow(axis, 0, count // 2) for part in ordered)
        check("topk", [moved], half, k=count // 2, axis=axis, largest=descending)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.uint8])
@pytest.mark.parametrize(("count", "k"), [(600, 1), (1000, 4), (3000, 16), (3001, 17), (5000, 40), (9999, 100)])
@pytest.mark.parametrize("largest", [True, False])
def test_blocks_of_many(check: Check, dtype: torch.dtype, count: int, k: int, largest: bool) -> None:
    """In one and in two steps, with blocks of which the last is not full."""
    x = many(dtype, count)
    ordered = torch.sort(x, dim=1, descending=largest, stable=True)
    check("topk", [x], tuple(part[:, :k] for part in ordered), k=k, axis=1, largest=largest)
    if count == 1000:
        moved = tuple(part[:, :k].T.contiguous() for part in ordered)
        check("topk", [x.T.contiguous()], moved, k=k, axis=0, largest=largest)
