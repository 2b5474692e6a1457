"""Loops over dynamic axes, alone and together, and lists that they fill, whose length is known then."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from comparing import call, compare
from torch import Tensor

from bough.base.errors import CompileError
from bough.frontends.staging import export_module
from bough.ir.interpret_program import CheckFailed

Pair = Callable[[Tensor, Tensor], Tensor]
FUNCTIONS: list[Pair] = []


def case(function: Pair) -> Pair:
    FUNCTIONS.append(function)
    return function


@case
def together(x: Tensor, y: Tensor) -> Tensor:
    h = torch.zeros(4)
    for i, (a, b) in enumerate(zip(x, y, strict=False), 1):
        h = torch.tanh(h + a * b * i)
    return h


@case
def beside_a_known_list(x: Tensor, y: Tensor) -> Tensor:
    h = torch.zeros(4)
    for a, w in zip(x, [y[0], y[-1], y[0] * 2], strict=False):
        h = torch.tanh(h + a * w)
    return h


@case
def backwards(x: Tensor, y: Tensor) -> Tensor:
    h = torch.zeros(4)
    for a in reversed(x):
        h = torch.tanh(h + a)
    for i in reversed(range(len(y))):
        h = h * 0.5 + y[i]
    return h


@case
def taken_apart(x: Tensor, y: Tensor) -> Tensor:
    h = torch.zeros(1, 4)
    for a in x.split(1):  # type: ignore[no-untyped-call]
        h = torch.tanh(h + a)
    for b in y.t().unbind(1):
        h = torch.tanh(h - b)
    return h * len(torch.unbind(x))


@case
def collected(x: Tensor, y: Tensor) -> Tensor:
    """The list is as long as the axis, so a sum with it is one of equal sizes."""
    states, h = [], torch.zeros(4)
    for a in x:
        h = torch.tanh(h + a)
        states.append(h)
    return torch.stack(states) + x


@case
def collected_behind_a_first(x: Tensor, y: Tensor) -> Tensor:
    states = [x[0]]
    for i in range(x.shape[0] - 1):
        states.append(torch.tanh(states[-1] + x[i + 1]))
    return torch.stack(states) * x


@case
def both_ways(x: Tensor, y: Tensor) -> Tensor:
    first, second = [], []
    h = torch.zeros(4)
    for a in x:
        h = torch.tanh(h + a)
        first.append(h)
    for a in reversed(x):
        h = torch.tanh(h - a)
        second.append(h)
    second.reverse()
    return torch.cat([torch.stack(first), torch.stack(second)], -1)


@case
def comprehended(x: Tensor, y: Tensor) -> Tensor:
    return torch.stack([torch.tanh(a) + b.sum() for a, b in zip(x, x * 2, strict=True)]) + x


@case
def mapped(x: Tensor, y: Tensor) -> Tensor:
    last: Tensor = list(x)[-1]
    return torch.stack(list(map(torch.tanh, x))) * x + last


@case
def some_collected(x: Tensor, y: Tensor) -> Tensor:
    kept = [torch.ones(4)]
    for a in x:
        if a.sum() > 0:
            kept.append(a)
    return torch.stack(kept).sum(0)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_lengths(function: Pair) -> None:
    imported = export_module(function, (torch.randn(3, 4), torch.randn(5, 4)), dynamic={"x": {0: "n"}, "y": {0: "m"}})
    for n, m in ((1, 1), (2, 5), (5, 2), (4, 4), (9, 3)):
        x, y = torch.randn(n, 4), torch.randn(m, 4)
        compare(call(imported, x, y), function(x, y))


def test_lengths_that_must_be_equal() -> None:
    def f(x: Tensor, y: Tensor) -> Tensor:
        h = torch.zeros(4)
        for a, b in zip(x, y, strict=True):
            h = torch.tanh(h + a * b)
        return h

    imported = export_module(f, (torch.randn(3, 4), torch.randn(5, 4)), dynamic={"x": {0: "n"}, "y": {0: "m"}})
    x, y = torch.randn(4, 4), torch.randn(4, 4)
    compare(call(imported, x, y), f(x, y))
    with pytest.raises(CheckFailed, match="different lengths"):
        call(imported, x, torch.randn(3, 4))


def test_rows_that_are_written_are_refused() -> None:
    def f(x: Tensor) -> Tensor:
        x = x.clone()
        for row in x.unbind(0):
            row += 1
        return x

    with pytest.raises(CompileError):
        export_module(f, (torch.randn(3, 4),), dynamic={"x": {0: "n"}})
