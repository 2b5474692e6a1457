"""Decisions on the sizes of the call's arguments: the same as eager PyTorch's for all sizes, whatever the example's."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import singledispatch
from numbers import Integral

import pytest
import torch
from comparing import call, compare
from torch import Tensor

from bough.base.errors import CompileError
from bough.frontends.staging import export_module
from bough.ir.interpret_program import CheckFailed
from bough.ir.program import Dim

FUNCTIONS: list[Callable[[Tensor], Tensor]] = []


def case(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    FUNCTIONS.append(function)
    return function


@case
def cut(x: Tensor) -> Tensor:
    if x.shape[0] > 5:
        return x[:5] * 2
    return x + 1


@case
def empty(x: Tensor) -> Tensor:
    if len(x) == 0:
        return torch.zeros(4)
    return x.max(0).values


@case
def guarded_division(x: Tensor) -> Tensor:
    return x.sum(0) / max(x.shape[0], 1)


@case
def even(x: Tensor) -> Tensor:
    return x * (2.0 if x.shape[0] % 2 == 0 else 3.0)


@case
def halved(x: Tensor) -> Tensor:
    n = x.shape[0]
    while n > 1:
        n = n // 2
        x = x * 1.5
    return x


@case
def filled_up(x: Tensor) -> Tensor:
    n = x.shape[0]
    if n < 8:
        x = torch.cat([x, torch.zeros(8 - n, 4)])
    return x[:8].sum(0) + x[7]


@case
def padded_to_a_multiple(x: Tensor) -> Tensor:
    rest = (-x.shape[0]) % 4
    if rest:
        x = torch.nn.functional.pad(x, (0, 0, 0, rest), value=0.5)
    return x.sum(0) + x.shape[0]


@case
def one_size(x: Tensor) -> Tensor:
    if x.shape[0] == 4:
        return x.reshape(2, 8).sum(0)
    return x.reshape(-1)


@case
def a_large_size(x: Tensor) -> Tensor:
    if x.shape[0] * 2 == 274:
        return x * 3
    return x


@case
def nested(x: Tensor) -> Tensor:
    n = x.shape[0]
    if n > 3:
        if n < 6:
            return x[3]
        elif n % 3 == 0:
            return x[5] * 2
        else:
            return x[4] * 3
    return x[0] * 4 if n == 1 else x.sum(0) * 5


@case
def beside_data(x: Tensor) -> Tensor:
    if x.sum() > 0 or x.shape[0] < 3:
        return x.sum(0)
    return x[2]


@case
def in_turns(x: Tensor) -> Tensor:
    out, i = torch.zeros(4), 0
    while i < x.shape[0]:
        out = torch.tanh(out + x[i : i + 4].sum(0))
        i += 4
    return out


@case
def shrinking(x: Tensor) -> Tensor:
    while x.shape[0] > 2:
        x = x[::2]
    return x.sum(0)


@case
def as_numbers(x: Tensor) -> Tensor:
    k = math.ceil(x.shape[0] / 2)
    return x[:k].sum(0) * float(x.shape[0] > 3) + int(x.shape[0] == 2)


@case
def one_of_several(x: Tensor) -> Tensor:
    match x.shape[0]:
        case 1:
            return x[0]
        case 2:
            return x[0] + x[1]
    return x.sum(0) * (2 if x.shape[0] in (3, 7) else 1)


@case
def chained(x: Tensor) -> Tensor:
    if not len(x) > 3:
        return x.sum(0)
    elif 3 < len(x) < 7:
        return x.mean(0)
    return x[-7:].sum(0)


@case
def of_ints(x: Tensor) -> Tensor:
    return x * 2 if isinstance(x.shape[0], int) and not isinstance(len(x), bool) else x * 3


@case
def matched_class(x: Tensor) -> Tensor:
    match x.shape[0]:
        case int(n):
            return x * n
        case _:
            return x


@case
def of_numbers(x: Tensor) -> Tensor:
    sizes = all(isinstance(s, Integral) for s in x.shape) and isinstance(x.numel() / 2, float)
    return x * 2 if sizes else x * 3


@singledispatch
def _doubled(n: object) -> int:
    return 0


@_doubled.register
def _(n: int) -> int:
    return 2 * n


@case
def dispatched(x: Tensor) -> Tensor:
    return x + _doubled(x.shape[0])


@case
def class_beside_a_decision(x: Tensor) -> Tensor:
    y = x + 1 if x.sum() > 0 else x
    return y * 2 if type(x.shape[0]) is int and isinstance(x.shape[0], int) else y * 3


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_all_sizes(function: Callable[[Tensor], Tensor]) -> None:
    imported = export_module(function, (torch.randn(3, 4),), dynamic={"x": {0: Dim("n", 0, 200)}})
    for n in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 137):
        x = torch.randn(n, 4)
        try:
            wanted = function(x)
        except (IndexError, RuntimeError):
            continue
        compare(call(imported, x), wanted)


def test_a_stand_in_is_no_example() -> None:
    """The branch that the example does not take is traced as if it did."""
    imported = export_module(cut, (torch.randn(9, 4),), dynamic={"x": {0: "n"}})
    for n in (1, 5, 6, 30):
        x = torch.randn(n, 4)
        compare(call(imported, x), cut(x))


def test_two_sizes() -> None:
    def f(x: Tensor, y: Tensor) -> Tensor:
        if x.shape[0] == y.shape[0]:
            return (x + y).sum(0)
        if y.shape[0] > x.shape[0]:
            y = y[: x.shape[0]]
        return x.sum(0) * y.sum(0)

    imported = export_module(f, (torch.randn(3, 4), torch.randn(5, 4)), dynamic={"x": {0: "n"}, "y": {0: "m"}})
    for n, m in ((1, 1), (3, 5), (5, 3), (6, 6)):
        x, y = torch.randn(n, 4), torch.randn(m, 4)
        compare(call(imported, x, y), f(x, y))


class Shrinking(torch.nn.Module):
    """Convolutions without padding where the picture decides, which make it smaller in both directions."""

    def __init__(self, turns: bool) -> None:
        super().__init__()
        self.turns = turns
        self.first, self.more = torch.nn.Conv2d(1, 3, 3, padding=1), torch.nn.Conv2d(3, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        if self.turns:
            while x.mean() > 0.1 and x.shape[2] > 6 and x.shape[3] > 6:
                x = torch.relu(self.more(x))
        elif x.mean() > 0.2:
            x = torch.relu(self.more(x))
        if x.sum() > 60:
            x = x[:, :, 1:]
        return x * x.shape[3]


@pytest.mark.parametrize("turns", [False, True])
def test_two_sizes_that_change_by_the_same(turns: bool) -> None:
    torch.manual_seed(1)
    model = Shrinking(turns)
    dims = {2: Dim("height", 5, 60), 3: Dim("width", 5, 60)}
    imported = export_module(model, (torch.randn(1, 1, 9, 9),), dynamic={"x": dims})
    shapes = set()
    for height, width in ((9, 9), (5, 5), (5, 60), (8, 7), (7, 8), (31, 12)):
        for scale in (0.01, 0.3, 3.0):
            x = torch.randn(1, 1, height, width) * scale
            wanted = model(x)
            shapes.add((height - wanted.shape[2], width - wanted.shape[3]))
            compare(call(imported, x), wanted)
    assert len(shapes) > 2


def test_an_assertion() -> None:
    def f(x: Tensor) -> Tensor:
        assert x.shape[0] <= 8, "too long"
        return x * 2

    imported = export_module(f, (torch.randn(3, 4),), dynamic={"x": {0: "n"}})
    compare(call(imported, x := torch.randn(8, 4)), f(x))
    with pytest.raises(CheckFailed, match="too long"):
        call(imported, torch.randn(9, 4))


def broadcast_by_condition(x: Tensor) -> Tensor:
    if x.shape[0] == 4:
        return x + torch.ones(4, 4)
    return x


def second_row(x: Tensor) -> Tensor:
    if x.shape[0] > 2:
        return x[3]
    return x[0]


@pytest.mark.parametrize("function", [broadcast_by_condition, second_row])
def test_what_a_condition_does_not_say_is_refused(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(CompileError) as caught:
        export_module(function, (torch.randn(3, 4),), dynamic={"x": {0: "n"}})
    assert caught.value.code in ("BGH-DIM-001", "BGH-TRACE-001")
