"""Objects of the user's own classes that change where control depends on computed values, in every way in which Python changes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from comparing import call, compare
from torch import Tensor, nn

from bough.base.errors import CompileError
from bough.frontends.staging import export_module


class Meter:
    kept = 0.0

    def __init__(self) -> None:
        self.level = 0.0

    def add(self, value: float) -> None:
        self.level += value

    @property
    def shown(self) -> float:
        return self.level

    @shown.setter
    def shown(self, value: float) -> None:
        self.level = value

    def __iadd__(self, value: float) -> Meter:
        self.level += value
        return self

    def __add__(self, value: float) -> Meter:
        self.level += value
        return self

    def __call__(self, value: float) -> None:
        self.level += value

    def __enter__(self) -> Meter:
        self.level += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.level *= 2

    def __lt__(self, other: float) -> bool:
        self.level += other
        return True


class Doubled(Meter):
    def __setattr__(self, name: str, value: float) -> None:
        object.__setattr__(self, name, value * 2)

    def add(self, value: float) -> None:
        if value > 0.5:
            super().add(value)


def shown(meter: Meter, value: float) -> None:
    meter.shown = value + meter.shown


def added(meter: Meter, value: float) -> None:
    meter += value


def summed(meter: Meter, value: float) -> None:
    _ = meter + value


def called(meter: Meter, value: float) -> None:
    meter(value)


def entered(meter: Meter, value: float) -> None:
    with meter:
        meter.level += value


def compared(meter: Meter, value: float) -> None:
    _ = meter < value


class Steps(nn.Module):
    def __init__(self, kind: type[Meter], step: Callable[[Meter, float], None]) -> None:
        super().__init__()
        self.kind, self.step = kind, step

    def forward(self, x: Tensor) -> float:
        meter = self.kind()
        for value in x:
            if value > 0:
                self.step(meter, value.item())
        return meter.level


class Inside(nn.Module):
    """The classes are the function's own."""

    def forward(self, x: Tensor) -> tuple[Any, ...]:
        class Total:
            largest = 0.0

            def __init__(self) -> None:
                self.sum = 0.0

            def add(self, value: float) -> Total:
                self.sum += value
                if value > Total.largest:
                    Total.largest = value
                return self

        @dataclass
        class Count:
            n: int = 0

            def more(self) -> None:
                self.n += 1

        total, count, values = Total(), Count(), [0.0]
        for value in x:
            if value > 0:
                total.add(value.item())
                count.more()
                list.__setitem__(values, 0, value.item())
        return total.sum, Total.largest, count.n, values


def compare_on_others(module: nn.Module) -> None:
    torch.manual_seed(0)
    imported = export_module(module, (torch.randn(5),))
    for _ in range(6):
        x = torch.randn(5)
        compare(call(imported, x), module(x))


@pytest.mark.parametrize("step", [Meter.add, shown, added, summed, called, entered, compared])
def test_whoever_calls_the_method(step: Callable[[Meter, float], None]) -> None:
    before = {name: vars(Meter)[name] for name in vars(Meter)}
    compare_on_others(Steps(Meter, step))
    assert before == {name: vars(Meter)[name] for name in vars(Meter)}


@pytest.mark.parametrize("step", [Doubled.add, shown, lambda meter, value: meter.add(value)])
def test_a_way_of_its_own_to_set_attributes(step: Callable[[Meter, float], None]) -> None:
    compare_on_others(Steps(Doubled, step))


def test_classes_made_while_the_module_runs() -> None:
    compare_on_others(Inside())


class Mapped(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=False):
            y = torch.vmap(lambda row: row * row.sum())(x)
        return y, torch.vmap(torch.dot)(x, x)


class Derived(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.func.jacrev(lambda r: r.sin())(x[0])
        return y


def test_transforms_of_functions() -> None:
    imported = export_module(Mapped(), (torch.randn(3, 5),))
    x = torch.randn(3, 5)
    compare(call(imported, x), Mapped()(x))
    with pytest.raises(CompileError, match="BGH-TRACE-001"):
        export_module(Derived(), (x,))


class Named(nn.Module):
    def forward(self, x: Tensor) -> list[float]:
        return [y for k in range(4) if (y := x[k].item()) > 0]


def test_names_bound_in_a_comprehension() -> None:
    with pytest.raises(CompileError, match=":= in a comprehension"):
        export_module(Named(), (torch.randn(4),))
