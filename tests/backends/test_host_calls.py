"""Functions that cannot be traced stay calls into Python, between sub-networks in native code."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bough
from bough.backends import Hosted
from bough.base.errors import CompileError, InputError


def largest(x: Tensor, count: int) -> Tensor:
    """The largest elements by NumPy, which torch does not trace."""
    return torch.from_numpy(np.sort(x.numpy())[::-1][:count].copy())


class Sorted(nn.Module):
    """Host calls alone, in a branch, in a loop, with numbers and nested results."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(4, 4)

    def measured(self, x: Tensor, factor: float) -> tuple[float, dict[str, Any]]:
        return float(np.median(x.numpy())) * factor, {"least": x.numpy().min().item(), "kind": "plain", "rows": [x + 1]}

    def forward(self, x: Tensor) -> Any:
        y = torch.tanh(self.first(x))
        z = largest(y, 4)
        median, others = self.measured(z, y[0].item())
        if median > 0:
            z = largest(z, 4) * 2 + median
        turns = 0
        while z.sum() < 10 and turns < 5:
            z = self.second(z).abs() + largest(y, 4)
            turns += 1
        return z, median, others, turns


@pytest.fixture(scope="module")
def compiled() -> tuple[nn.Module, Hosted]:
    torch.manual_seed(0)
    module = Sorted().eval().requires_grad_(False)
    return module, bough.compile(module, (torch.randn(8),), cache=False, threads=1)  # type: ignore[return-value]


def test_like_eager(compiled: tuple[nn.Module, Hosted]) -> None:
    module, function = compiled
    inputs = [torch.randn(8, generator=torch.Generator().manual_seed(n)) for n in range(8)]
    for got, wanted in zip(function.map(inputs), map(module, inputs), strict=True):
        assert got[2].pop("kind") == wanted[2].pop("kind") and type(got[1]) is float
        torch.testing.assert_close(got, wanted)


def test_explain_tells_what_runs_where(compiled: tuple[nn.Module, Hosted]) -> None:
    text = compiled[1].explain()
    assert "bough" in text and "eager" not in text
    assert [f"in Python: {name} at {__file__}" in text for name in ("largest", "measured")] == [True, True]


def test_files_hold_no_python(compiled: tuple[nn.Module, Hosted], tmp_path: Path) -> None:
    for write in (compiled[1].save, compiled[1].export):
        with pytest.raises(CompileError) as raised:
            write(tmp_path / "file")
        assert raised.value.code == "BGH-BACK-004"


def test_a_warning_says_so_and_fullgraph_refuses(caplog: pytest.LogCaptureFixture) -> None:
    module = nn.Sequential(nn.Linear(4, 4), Unsorted())
    with caplog.at_level(logging.WARNING, "bough"):
        bough.compile(module.eval(), (torch.randn(4),), cache=False)
    assert "stay in Python" in caplog.text
    with pytest.raises(CompileError) as raised:
        bough.compile(module.eval(), (torch.randn(4),), cache=False, fullgraph=True)
    assert raised.value.location is not None and raised.value.location.function == "largest"


class Unsorted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return largest(x, 2) + 1


def positive(x: Tensor) -> Tensor:
    return torch.from_numpy(x.numpy()[x.numpy() > 0])


class Positive(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return positive(x) * 2


def test_results_of_another_shape_are_an_error() -> None:
    function = bough.compile(Positive(), (torch.rand(4),), cache=False)
    torch.testing.assert_close(function(torch.ones(4)), torch.full((4,), 2.0))
    with pytest.raises(InputError) as raised:
        function(torch.tensor([1.0, -1.0, 1.0, 1.0]))
    assert raised.value.code == "BGH-IN-017"


class Whole(nn.Module):
    """Nothing but the module itself could stay in Python."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(np.sort(x.numpy()))


class Written(nn.Module):
    def change(self, x: Tensor) -> Tensor:
        x.numpy()[0] = 5
        x += 1
        return x * 2

    def forward(self, x: Tensor) -> Tensor:
        y = x + 1
        return self.change(y) + y


class Stateful(nn.Module):
    """The function reads what the traced part has kept."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: Any = torch.zeros(4)
        self.count = 0

    def read(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.numpy() + self.kept.numpy())

    def forward(self, x: Tensor) -> Tensor:
        self.kept = x + 1
        return self.read(x)


class Counts(Stateful):
    """The function changes what the traced part reads."""

    def read(self, x: Tensor) -> Tensor:
        self.count += 1
        return torch.from_numpy(x.numpy() + 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(x) * self.count


class Appends(nn.Module):
    def read(self, x: Tensor, found: list[Tensor]) -> Tensor:
        found.append(torch.from_numpy(x.numpy() + 1))
        return torch.from_numpy(x.numpy() + 1)

    def forward(self, x: Tensor) -> Tensor:
        found = [x]
        return self.read(x, found) + found[-1]


class Itself(nn.Module):
    """A part of an argument: a write to it would be seen in both."""

    def part(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.numpy()[:2])

    def forward(self, x: Tensor) -> Tensor:
        y = x + 1
        self.part(y).add_(1)
        return y


@pytest.mark.parametrize("model", [Whole, Written, Stateful, Counts, Appends, Itself])
def test_what_the_trace_would_not_know_of_is_refused(model: type[nn.Module]) -> None:
    with pytest.raises(CompileError):
        bough.compile(model().eval(), (torch.randn(4),), cache=False)


class Inline(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(np.sort(x.detach().numpy())) + 1


def test_numpy_in_the_forward_itself_is_told_where_to_go() -> None:
    with pytest.raises(CompileError, match="a function of its own") as raised:
        bough.compile(Inline(), (torch.randn(4),), cache=False)
    assert raised.value.code == "BGH-CTRL-001"
    assert raised.value.location is not None and raised.value.location.function == "forward"
