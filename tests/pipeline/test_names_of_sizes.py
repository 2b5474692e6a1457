"""Names of dynamic sizes mean nothing to the compiler: also those that kernels use for their own axes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import bough


def decides(x: Tensor) -> Tensor:
    if x.sum() > 0:
        return x.cumsum(0)
    return x * 2


def turns(x: Tensor) -> tuple[Tensor, int]:
    y, n = x * 1, 0
    while y.sum() < 10 and n < 9:
        y, n = y + x.abs(), n + 1
    return torch.cat([y, x]), n


@pytest.mark.parametrize("name", ["n", "m", "i0", "k0", "sample", "total"])
def test_any_name_of_a_size(name: str) -> None:
    inputs = [torch.randn(rows, 4) for rows in (3, 5, 8, 1)]
    first = bough.compile(decides, (inputs[0],), dynamic={"x": {0: name}}, threads=1)
    second = bough.compile(turns, (inputs[0],), dynamic={"x": {0: name}}, threads=1)
    for x, one, (two, count) in zip(inputs, first.map(inputs), second.map(inputs), strict=True):
        torch.testing.assert_close(first(x), decides(x))
        assert torch.equal(one, first(x))
        again, turned = second(x)
        assert torch.equal(two, again) and count == turned == turns(x)[1]


def test_a_decision_on_a_size_in_map() -> None:
    def odd(x: Tensor) -> Tensor:
        return x.sum(0) if x.shape[0] % 2 else x.mean(0)

    compiled = bough.compile(odd, (torch.randn(3, 4),), dynamic={"x": {0: "n"}}, threads=1)
    inputs = [torch.randn(rows, 4) for rows in (3, 5, 8, 1)]
    for x, row in zip(inputs, compiled.map(inputs), strict=True):
        assert torch.equal(row, compiled(x))
        torch.testing.assert_close(row, odd(x))
