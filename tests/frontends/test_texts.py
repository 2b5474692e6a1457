"""Texts with computed numbers in them, which name submodules and entries of dictionaries."""

from __future__ import annotations

import pytest
import torch
from comparing import call, compare
from torch import Tensor, nn

from bough.base.errors import CompileError
from bough.frontends.staging import export_module
from bough.ir.interpret_program import CheckFailed


class Routed(nn.Module):
    """Every way to make and to use such a text."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleDict({f"e{i}": nn.Linear(4, 4 + i) for i in range(3)})
        self.head0, self.head1 = nn.Linear(4, 2), nn.Linear(4, 2)
        self.factors = {"a-1": 1.0, "a0": 2.0, "a1": 3.0, "b1_1": 4.0, "a01": 5.0, 7: 6.0}

    def forward(self, x: Tensor, n: Tensor) -> tuple[object, ...]:
        i = int(n)
        y = self.experts[f"e{n}"](x)[:4] if f"e{n}" in self.experts else x
        z = getattr(self, "head" + str(i % 2))(y)
        key = "a{}".format((i - 1) % 3)  # noqa: UP032
        if x.sum() > 0:
            key = f"a{i % 2 - 1:}"
        missing = f"a0{i}" in self.factors, key == "a1"
        return y, z, self.factors.get("none", 8.0) if key == "a2" else self.factors[key], missing, getattr(self, f"q{i}", 5)


def test_like_eager() -> None:
    torch.manual_seed(0)
    module = Routed().eval()
    imported = export_module(module, (torch.randn(4), torch.tensor(1)))
    for number in range(-1, 5):
        for sign in (1, -1):
            x = sign * torch.rand(4)
            with torch.no_grad():
                compare(call(imported, x, torch.tensor(number)), module(x, torch.tensor(number)))


class Asked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = {"x1": 1.0, "x2": 2.0}

    def forward(self, n: Tensor) -> object:
        return n * self.table[f"x{n.item()}"]


def test_a_key_that_is_not_there() -> None:
    imported = export_module(Asked(), (torch.tensor(1),))
    compare(call(imported, torch.tensor(2)), Asked()(torch.tensor(2)))
    with pytest.raises(CheckFailed, match="KeyError"):
        call(imported, torch.tensor(3))


class Length(nn.Module):
    def forward(self, n: Tensor) -> object:
        return n * len(f"x{n}")


class Digits(nn.Module):
    def forward(self, n: Tensor) -> object:
        return n * {"x12": 1.0}[f"x{n}{n}"]


class Rounded(nn.Module):
    def forward(self, n: Tensor) -> object:
        return n * {"1.00": 1.0}[f"{n:.2f}"]


@pytest.mark.parametrize("model", [Length, Digits, Rounded])
def test_what_else_a_text_is_used_for_is_refused(model: type[nn.Module]) -> None:
    with pytest.raises(CompileError) as raised:
        export_module(model(), (torch.tensor(1),))
    assert raised.value.code == "BGH-CTRL-001"
    assert raised.value.location is not None and raised.value.location.function == "forward"
