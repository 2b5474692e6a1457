"""Functions with `yield` that decide by computed values, or are walked over by loops that do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from comparing import call, compare
from torch import Tensor, nn

from bough.base.errors import CompileError
from bough.frontends.staging import export_module


class Halves(nn.Module):
    """The generator decides how many there are; the loop leaves it early, or skips some."""

    def halves(self, h: Tensor) -> Iterator[Tensor]:
        while h.abs().sum() > 0.5:
            h = h / 2
            yield h
            if h[0] > 3:
                return

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        total, n = torch.zeros(3), 0
        for h in self.halves(x):
            if h[1] < -0.5:
                continue
            total = total + h
            n += 1
            if total.sum() > 4:
                break
        return total, n


class Both(nn.Module):
    """Values on one way only, two behind each other, a `return` out of the loop, and its `else`."""

    def some(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        if x.sum() > 0:
            yield "positive", x
            x = x + 1
        yield "always", x * 2
        if x[0] > 1:
            yield "large", x * 3

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for name, value in self.some(x):
            difference = value - y
            y = y + value
            if name == "large" and difference.sum() > 4:
                return y - 100
        else:
            y = y + 0.25
        return y


def count(limit: Any) -> Iterator[int]:
    n = 0
    while n < limit:
        received = yield n
        n += 1 if received is None else 100


def twice(values: Iterator[Any]) -> Iterator[Any]:
    yield from values
    for value in [10, 20]:
        yield value * 1


class Nested(nn.Module):
    """A generator that walks over another; `enumerate`, `sum`, a list, a comprehension, one that is defined inside."""

    def forward(self, x: Tensor) -> tuple[Tensor, int, Any]:
        limit = int(x.abs().sum().clamp(max=20))
        total = 0
        for position, n in enumerate(twice(count(limit))):
            if n == 10 and x[0] > 0:
                continue
            total += n * position
            if total > 60:
                break

        def scaled() -> Iterator[Tensor]:
            for factor in (0.5, 2.0):
                if x.sum() > factor:
                    yield x * factor
                yield x

        y = x
        for value in scaled():
            y = y + value
        return y, total, sum(count(limit)) + len([n * 2 for n in count(3)])


class Cleaned(nn.Module):
    """`finally` runs where the loop is left."""

    def states(self, x: Tensor, log: list[Tensor]) -> Iterator[Tensor]:
        try:
            for _ in range(4):
                x = x * 1.5
                yield x
        finally:
            log.append(x)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log: list[Tensor] = []
        for state in self.states(x, log):
            if state.sum() > 2:
                break
        return state, log[0]


class Ended(nn.Module):
    """One generator and two loops, the second of which finds nothing left; and another in both ways of a branch."""

    def forward(self, x: Tensor) -> Tensor:
        once = count(3)
        for n in once:
            x = x + n
        for _ in once:
            x = x * 100
        either = count(4)
        if x.sum() > 3:
            for n in either:
                x = x + n
        else:
            for n in either:
                x = x - n
                if x[0] < -3:
                    break
        return x


class OneByOne(nn.Module):
    """Where it decides nothing by computed values, a generator gives one element after the other."""

    def forward(self, x: Tensor) -> Tensor:
        numbers = count(5)
        if x.sum() > 0:
            x = x + 1
        x = x + next(numbers) + next(numbers)
        for n in numbers:
            x = x * n
        return x


class Layers(nn.Module):
    """Modules walked over one by one, with an exit after each."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(10))

    def states(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        for number, layer in enumerate(self.layers):
            x = torch.tanh(layer(x)) + x
            yield number, x

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        last = -1
        for number, state in self.states(x):
            last = number
            if state.norm() > 2.5:
                break
        return state, last


class Iterable:
    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __iter__(self) -> Iterator[Tensor]:
        while self.x.sum() < 5:
            self.x = self.x + 1
            yield self.x


class Object(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        n = 0
        for value in Iterable(x):
            n += 1
            if value[0] > 2:
                break
        return x * n, n


@pytest.mark.parametrize("model", [Halves, Both, Nested, Cleaned, Ended, OneByOne, Layers, Object])
def test_like_eager(model: type[nn.Module]) -> None:
    torch.manual_seed(0)
    module = model().eval()
    imported = export_module(module, (torch.randn(3),))
    for seed in range(25):
        x = torch.randn(3, generator=torch.Generator().manual_seed(seed)) * 3
        with torch.no_grad():
            compare(call(imported, x), module(x))


class Undecided(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        numbers = count(3)
        if x.sum() > 0:
            for n in numbers:
                x = x + n
        for _ in numbers:
            x = x * 2
        return x


class Asked(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        def inner() -> Iterator[Tensor]:
            yield x + 1

        if x.sum() > 0:
            x = x * 2
        return next(inner())


class Catching(nn.Module):
    """A handler around `yield` takes no exception of the loop's."""

    def forward(self, x: Tensor) -> Tensor:
        def inner() -> Iterator[Tensor]:
            try:
                yield x + 1
            except ValueError:
                yield x

        for value in inner():
            if value.sum() > 0:
                x = x + value
        return x


@pytest.mark.parametrize("model, word", [(Undecided, "at its end or not"), (Asked, "one element"), (Catching, "yield")])
def test_refused(model: type[nn.Module], word: str) -> None:
    with pytest.raises(CompileError, match=word) as raised:
        export_module(model(), (torch.randn(3),))
    assert raised.value.code == "BGH-CTRL-001"
    assert raised.value.location is not None
    assert raised.value.location.file == __file__
