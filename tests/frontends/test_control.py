"""Control flow on computed values: the Program of a staged module does what eager PyTorch does, on whatever path."""

from __future__ import annotations

import inspect
from typing import Any

import control_models
import pytest
import torch
from comparing import call, compare
from torch import nn

from bough.base.errors import CompileError
from bough.frontends.staging import export_module
from bough.frontends.torch_export import Imported
from bough.ir.interpret_program import CheckFailed
from bough.ir.program import If, While

MODELS = [m for _, m in inspect.getmembers(control_models, inspect.isclass) if issubclass(m, nn.Module)]


def staged(module: Any) -> Imported:
    torch.manual_seed(1)
    with torch.no_grad():
        return export_module(module, (torch.randn(3, 4),))


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_a_model_on_several_paths(model: type[nn.Module]) -> None:
    module = model().eval()
    imported = staged(module)
    for seed in range(6):
        torch.manual_seed(seed)
        x = torch.randn(3, 4) * (seed + 1) / 2
        with torch.no_grad():
            wanted = module(x.clone())
        compare(call(imported, x), wanted)


def test_loops_stay_loops_and_exits_nest() -> None:
    body = staged(control_models.Count().eval()).program.functions["main"].body
    assert sum(isinstance(n, While) for n in body) == 1
    body = staged(control_models.Early().eval()).program.functions["main"].body
    (outer,) = [n for n in body if isinstance(n, If)]
    assert [type(n) for n in outer.otherwise if isinstance(n, If)] == [If]


class OfSeveral(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x > 0:
            return x
        return -x


class InTry(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            self.refuse(x)
        except ValueError:
            return -x
        return x

    def refuse(self, x: torch.Tensor) -> None:
        if x.sum() > 0:
            raise ValueError("positive")


class AsText(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return {f"sum {x.sum().item()}": x}


@pytest.mark.parametrize(
    ("model", "line", "because"),
    [
        (OfSeveral, "if x > 0:", "more than one value is ambiguous"),
        (InTry, "if x.sum() > 0:", "runs no handler"),
        (AsText, 'return {f"sum {x.sum().item()}": x}', "makes no text"),
    ],
)
def test_what_cannot_be_compiled_names_its_line(model: type[nn.Module], line: str, because: str) -> None:
    with pytest.raises(CompileError) as raised:
        staged(model().eval())
    assert raised.value.code == "BGH-CTRL-001"
    location = raised.value.location
    assert location is not None and location.text == line and location.function in ("forward", "refuse")
    assert because in raised.value.because


class Refuses(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.sum() < 10, "too large"
        if x.min() < -5:
            raise ValueError("too small")
        return x / int(x.max().item())


@pytest.mark.parametrize(
    ("x", "error"),
    [(torch.full((3, 4), 2.0), "AssertionError"), (torch.full((3, 4), -6.0), "ValueError"), (torch.full((3, 4), 0.5), "inf")],
)
def test_errors_of_the_call(x: torch.Tensor, error: str) -> None:
    imported = staged(Refuses().eval())
    if error == "inf":
        compare(call(imported, x), Refuses()(x))
        return
    with pytest.raises(CheckFailed) as raised:
        call(imported, x)
    assert raised.value.error == error


class Unbound(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            y = x * 2
        return y + 1


def test_a_name_that_is_not_bound() -> None:
    imported = staged(Unbound().eval())
    x = torch.ones(3, 4)
    compare(call(imported, x), Unbound()(x))
    with pytest.raises(CheckFailed, match="before it is assigned"):
        call(imported, -x)
