"""What cannot be compiled is said once, clearly, with the user's line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bough.base.errors import CompileError
from bough.frontends.errors import MissingOperators
from bough.frontends.torch_export import export


def error_of(module: Any, *args: Any, **options: Any) -> CompileError:
    with pytest.raises(CompileError) as caught:
        export(module, args, **options)
    return caught.value


class Unusual(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.linalg.cholesky(x)  # first
        z = torch.special.i1(y)  # second
        return torch.linalg.eigh(z)[0] + torch.special.i1(x).sum()


def test_all_missing_operators_at_once() -> None:
    error = error_of(Unusual(), torch.eye(3))
    assert error.code == "BGH-OP-001"
    for name in ("cholesky", "i1", "eigh"):
        assert name in str(error)
    assert "# first" in str(error)
    assert "# second" in str(error)
    assert error.location is not None
    assert error.location.file == __file__


def test_the_list_of_missing_operators() -> None:
    error = error_of(Unusual(), torch.eye(3))
    assert isinstance(error, MissingOperators)
    places = [m.location for m in error.missing]
    assert {place.text.split()[-1] for place in places if place is not None} == {"first", "second", "torch.special.i1(x).sum()"}
    assert all(place is not None and place.file == __file__ for place in places)


def test_training_mode() -> None:
    error = error_of(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3)), torch.randn(2, 4))
    assert error.code == "BGH-TRAIN-001"
    assert ".eval()" in str(error)
    assert "1 (Dropout)" in str(error)
    assert error_of(nn.BatchNorm1d(4), torch.randn(2, 4)).code == "BGH-TRAIN-001"
    assert error_of(lambda x: torch.dropout(x, 0.5, True), torch.randn(2, 4)).code == "BGH-TRAIN-001"
    assert error_of(nn.LSTM(4, 4, 2, dropout=0.5), torch.randn(2, 1, 4)).code == "BGH-TRAIN-001"
    export(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.0)), (torch.randn(2, 4),))


def test_branches_on_values() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:  # the branch
            return x
        return -x

    error = error_of(f, torch.randn(2, 4))
    assert error.code == "BGH-CTRL-001"
    assert error.location is not None
    assert error.location.text.endswith("# the branch")


def test_sizes_from_values() -> None:
    error = error_of(lambda x: x[x > 0] * 2, torch.randn(5))
    assert error.code in ("BGH-OP-001", "BGH-CTRL-001")
    assert error.location is not None


def test_failures_of_the_model_itself() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        return x @ x  # does not fit

    error = error_of(f, torch.randn(2, 4))
    assert error.code == "BGH-TRACE-001"
    assert error.location is not None
    assert error.location.text.endswith("# does not fit")


def test_updates_of_state() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.count += 1  # the update
            return x + self.count

    error = error_of(Counter(), torch.randn(2))
    assert error.code == "BGH-MUT-001"
    assert "count" in str(error)
    assert error.location is not None
    assert error.location.text.endswith("# the update")
    assert error_of(lambda x: x.add_(1), torch.randn(2)).code == "BGH-MUT-001"


def test_tensors_elsewhere_or_of_unknown_types() -> None:
    x = torch.randn(2, 4)
    assert error_of(lambda x: x, x.to("meta")).code == "BGH-DEV-001"
    assert error_of(nn.Linear(4, 4, device="meta"), x).code == "BGH-DEV-001"
    assert error_of(lambda x: x, x.to(torch.complex64)).code == "BGH-DTYPE-001"
    assert error_of(lambda x: x, x.to_sparse()).code == "BGH-DTYPE-001"
    assert error_of(lambda x: x, {1, 2}).code == "BGH-ARG-001"
    assert error_of(lambda x: {1: {x.sum()}}, x).code == "BGH-ARG-001"
    assert error_of(nn.Linear(4, 4), x, x).code == "BGH-ARG-002"


class Polar(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.polar(x, x).real


def test_what_torch_fails_to_take_apart() -> None:
    error = error_of(Polar(), torch.randn(3))
    assert error.code == "BGH-TRACE-001" and "aten.polar" in error.what
    assert error.location is not None and "torch.polar(x, x)" in error.location.text


def test_modules_of_torchscript() -> None:
    with pytest.warns(DeprecationWarning):
        scripted = torch.jit.script(nn.Linear(2, 2))
    assert "TorchScript" in error_of(nn.Sequential(scripted).eval(), torch.randn(2, 2)).what


class Found(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        if x.dim() == 4:
            return nn.functional.max_pool2d(x, 2, return_indices=True)
        return torch.unique(x.round())


def test_results_that_are_missing_name_their_line() -> None:
    error = error_of(Found(), torch.randn(1, 1, 4, 4))
    assert error.location is not None and "return_indices" in error.location.text


def test_sizes_of_what_is_missing_are_not_named() -> None:
    error = error_of(Found(), torch.randn(4))
    assert isinstance(error, MissingOperators) and [m.operator for m in error.missing] == ["aten._unique2"]
