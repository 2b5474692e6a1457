"""The judge of `bough run` must itself be right: it is tried on functions that are wrong in known ways."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bough.cli.compare import compare
from bough.cli.model import Model


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(300, 40)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.linear(x)
        return y, y.argmax(-1)


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model("m", Two().eval(), (torch.randn(5, 300),), None)


def changed(model: Model, change: Any) -> list[bool]:
    return [row.right for row in compare(model, lambda *args: change(*model.module(*args)))]


def test_eager_itself_is_right(model: Model) -> None:
    assert changed(model, lambda y, i: (y, i)) == [True, True]


def test_another_order_of_the_sum_is_right(model: Model) -> None:
    linear, x = model.module.linear, model.args[0]
    assert isinstance(linear, nn.Linear)
    flipped = x.flip(1) @ linear.weight.flip(1).T + linear.bias
    assert changed(model, lambda y, i: (flipped, i)) == [True, True]


def test_a_wrong_digit_is_wrong(model: Model) -> None:
    assert changed(model, lambda y, i: (y + 1e-4, i)) == [False, True]


def test_a_wrong_index_is_wrong(model: Model) -> None:
    assert changed(model, lambda y, i: (y, i + (torch.arange(5) == 3))) == [True, False]


def test_a_nan_is_wrong_unless_eager_has_it(model: Model) -> None:
    assert changed(model, lambda y, i: (y.masked_fill(y == y.max(), float("nan")), i)) == [False, True]
    nan = Model("m", nn.Identity(), (torch.tensor([1.0, float("nan"), float("inf")]),), None)
    assert [row.right for row in compare(nan, lambda x: x.clone())] == [True]


def test_another_type_or_shape_is_wrong(model: Model) -> None:
    assert changed(model, lambda y, i: (y.double(), i)) == [False, True]
    assert changed(model, lambda y, i: (y[:4], i)) == [False, True]


def test_a_module_that_has_no_float64_form_is_compared_with_eager() -> None:
    class Mixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ torch.eye(4)

    model = Model("m", Mixed(), (torch.randn(3, 4),), None)
    (row,) = compare(model, model.module)
    assert row.right and row.eager_error is None
    (row,) = compare(model, lambda x: model.module(x) + 1)
    assert not row.right
