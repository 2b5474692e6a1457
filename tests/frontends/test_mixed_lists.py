"""Lists of computed length that hold ints and floats, and names that are None at first: what Python has comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from comparing import call, compare
from torch import Tensor

from bough.frontends.staging import export_module


def summed(x: Tensor) -> Any:
    xs: list[Any] = [1]
    for v in x[:, 0]:
        if v > 0:
            xs.append(v.item())
    return sum(xs)


def of_both(x: Tensor) -> Any:
    xs: list[Any] = [7]
    for v in x[:, 0]:
        if v > 0:
            xs.append(v.item())
        if v < 0.5:
            xs.append(2)
    return max(xs), min(xs), xs[-1], sum(xs)


def behind_the_loop(x: Tensor) -> Any:
    xs: list[Any] = []
    i = 0
    while i < 3 and x[i, 0] < 1:
        xs.append(x[i, 1].item())
        i += 1
    if x.sum() > 0:
        xs.append(7)
    return sum(xs)


def best_so_far(x: Tensor) -> Any:
    best, at = None, -1
    for i, row in enumerate(x):
        value = row.sum()
        if value > 0 and (best is None or value > best):
            best, at = value, i
    return (best, at) if best is not None else (torch.zeros(()), -1)


@pytest.mark.parametrize("function", [summed, of_both, behind_the_loop, best_so_far])
def test_kinds_as_in_python(function: Callable[[Tensor], Any]) -> None:
    torch.manual_seed(0)
    imported = export_module(function, (torch.randn(3, 4),))
    for _ in range(12):
        x = torch.randn(3, 4)
        compare(call(imported, x), function(x))
