"""What users do wrong is said in their terms: what, where, because of what, and what to try."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from against_eager import Function
from torch import nn

import bough
from bough import Dim

X = torch.randn(2, 4)
LINEAR = nn.Linear(4, 3).eval()


def error_of(call: Callable[[], Any], code: str, *parts: str) -> bough.CompileError:
    """The error, which has its code, a cause, an advice, and names all `parts`."""
    with pytest.raises(bough.CompileError) as caught:
        call()
    error, text = caught.value, str(caught.value)
    assert error.code == code
    assert error.what and error.because and error.advice
    for part in parts:
        assert part in text, text
    return error


@pytest.fixture(scope="module")
def fixed() -> bough.Compiled:
    return bough.compile(LINEAR, (X,), threads=1)


@pytest.fixture(scope="module")
def ranged() -> bough.Compiled:
    return bough.compile(LINEAR, (X,), dynamic={"input": {0: Dim("batch", 2, 8)}}, threads=1)


def test_wrong_shape(fixed: bough.Compiled) -> None:
    error = error_of(lambda: fixed(torch.randn(3, 4)), "BGH-IN-007", "axis 0 of argument input", "[3, 4]", "2", "dynamic=")
    assert isinstance(error, (bough.InputError, ValueError))
    error_of(lambda: fixed(np.zeros((2, 5), np.float32)), "BGH-IN-007", "axis 1", "size 5")


def test_wrong_rank(fixed: bough.Compiled) -> None:
    error_of(lambda: fixed(torch.randn(2, 2, 4)), "BGH-IN-006", "3 axes", "2 axes", "input")
    error_of(lambda: fixed(torch.randn(())), "BGH-IN-006", "0 axes")


def test_wrong_type(fixed: bough.Compiled) -> None:
    error_of(lambda: fixed(X.double()), "BGH-IN-005", "torch.float64", "torch.float32", "input.to(torch.float32)")
    error_of(lambda: fixed(X.numpy().astype(np.int64)), "BGH-IN-005", "int64", "astype(numpy.float32)")
    error_of(lambda: fixed([[1.0]]), "BGH-IN-003", "a list of 1")


@pytest.mark.parametrize("size", [0, 1, 9])
def test_sizes_outside_their_range(ranged: bough.Compiled, size: int) -> None:
    error_of(lambda: ranged(torch.randn(size, 4)), "BGH-IN-008", f"size {size}", "batch = 2 to 8", "wider range")
    assert ranged(torch.randn(8, 4)).shape == (8, 3)


def test_sizes_that_disagree() -> None:
    function = bough.compile(Function(lambda x, y: x + y), (X, X), dynamic={n: {0: "n"} for n in "xy"}, threads=1)
    error_of(lambda: function(X, torch.randn(3, 4)), "BGH-IN-009", "axis 0 of argument y", "size n", "argument x")


def test_other_devices(fixed: bough.Compiled) -> None:
    error_of(lambda: fixed(X.to("meta")), "BGH-IN-004", "device meta", ".cpu()")
    error_of(lambda: bough.compile(LINEAR, (X.to("meta"),)), "BGH-DEV-001", "argument `input`", "device meta", ".cpu()")
    error_of(lambda: bough.compile(nn.Linear(4, 3, device="meta").eval(), (X,)), "BGH-DEV-001", "`weight`")


def test_arguments_that_do_not_fit_the_signature(fixed: bough.Compiled) -> None:
    error_of(lambda: fixed(X, X), "BGH-IN-001", "2 arguments are too many", "input")
    error_of(lambda: fixed(), "BGH-IN-001", "input is missing")
    error_of(lambda: fixed(y=X), "BGH-IN-001", "y is unknown")
    function = bough.compile(Function(lambda x: x["a"] + x["b"][0]), ({"a": X, "b": [X]},), threads=1)
    error_of(lambda: function({"a": X}), "BGH-IN-002", "dict with the keys 'a', 'b'")
    error_of(lambda: function({"a": X, "b": [X, X]}), "BGH-IN-002", "x['b']", "a list of 1")


class Unusual(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.linalg.cholesky(x)  # first
        return torch.linalg.eigh(y)[0]  # second


def test_all_missing_operators_at_once() -> None:
    error = error_of(lambda: bough.compile(Unusual(), (torch.eye(3),)), "BGH-OP-001", "cholesky", "eigh", "# first", "# second")
    assert error.location is not None and error.location.file == __file__


def test_training_mode() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4))
    error_of(lambda: bough.compile(module, (X,)), "BGH-TRAIN-001", "1 (Dropout)", "2 (BatchNorm1d)", ".eval()")
    bough.compile(module.eval(), (X,))


def test_branches_on_values() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        if x > 0:  # the branch
            return x
        return -x

    error = error_of(lambda: bough.compile(f, (X,)), "BGH-CTRL-001", "# the branch")
    assert error.location is not None and error.location.file == __file__


def test_state_that_changes() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.count += 1  # the update
            return x + self.count

    error_of(lambda: bough.compile(Counter(), (X,)), "BGH-MUT-001", "`count`", "# the update")
    error_of(lambda: bough.compile(Function(lambda x: x.add_(1)), (X,)), "BGH-MUT-001", "`x`")


def test_changed_parameters_have_no_effect() -> None:
    module = nn.Sequential(nn.Linear(4, 40), nn.LayerNorm(40)).eval()
    function = bough.compile(module, (X,), threads=1)
    want = function(X)
    with torch.no_grad():
        for p in module.parameters():
            p.fill_(7.0)
    assert torch.equal(function(X), want)
    assert not torch.equal(bough.compile(module, (X,), threads=1)(X), want)


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "zeros"])
def test_damaged_cache_entries_are_made_anew(empty_cache: Path, damage: str) -> None:
    want = bough.compile(LINEAR, (X,), threads=1)(X)
    (entry,) = (f for f in empty_cache.rglob("*") if f.is_file())
    data = entry.read_bytes()
    flipped = bytearray(data)
    for at in range(0, len(data), 97):
        flipped[at] ^= 0x55
    entry.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "flipped": bytes(flipped), "zeros": bytes(len(data))}[damage])
    assert torch.equal(bough.compile(LINEAR, (X,), threads=1)(X), want)
    assert torch.equal(bough.compile(LINEAR, (X,), threads=1)(X), want)


def test_options() -> None:
    wrong: Any = X
    error_of(lambda: bough.compile(LINEAR, wrong), "BGH-OPT-002", "Tensor", "(x,)")
    error_of(lambda: bough.compile(LINEAR, (X,), target="z80"), "BGH-OPT-003", "z80", "native")
    error_of(lambda: bough.compile(LINEAR, (X,), precision="fp4"), "BGH-OPT-001", "fp4", "float32")
    error_of(lambda: bough.compile(wrong, (X,)), "BGH-OPT-005", "Tensor")
    for threads in (0, -1, "all"):
        error_of(lambda threads=threads: bough.compile(LINEAR, (X,), threads=threads), "BGH-OPT-006", repr(threads))


@pytest.mark.parametrize("dynamic, parts", [
    ({"x": {0: "n"}}, ("no tensor argument `x`", "input")), ({"input": {5: "n"}}, ("no axis 5", "(2, 4)")),
    ({"input": {1: "n"}}, ("axis 1 of `input` can only be 4",)), ({"input": {0: Dim("n", 3)}}, ("size 2", "n: 3..")),
    ({"input": ["n"]}, ("a list",)), ({"input": {0: 3}}, ("0: 3",)), ("n", ("a str",)),
])  # fmt: skip
def test_dynamic_axes(dynamic: Any, parts: tuple[str, ...]) -> None:
    error_of(lambda: bough.compile(LINEAR, (X,), dynamic=dynamic), "BGH-DIM-001", *parts)


def test_sizes_that_the_model_fixes() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        return x + torch.ones(2, 4)  # the sum

    error_of(lambda: bough.compile(Function(f), (X,), dynamic={"x": {0: "n"}}), "BGH-DIM-001", "can only be 2", "# the sum", "Dim(")


def test_sizes_out_of_range() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    function = bough.compile(Function(f), (X,), dynamic={"x": {0: Dim("n", 1, 3)}})
    error_of(lambda: function(torch.randn(4, 4)), "BGH-IN-008")
    assert function(torch.randn(3, 4)).shape == (3, 4)


def test_failures_of_the_model_itself() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        return x @ x  # does not fit

    error_of(lambda: bough.compile(f, (X,)), "BGH-TRACE-001", "# does not fit")
    error_of(lambda: bough.compile(Function(lambda x: {x}), (X,)), "BGH-ARG-001", "set")
    error_of(lambda: bough.compile(LINEAR, (X.to(torch.complex64),)), "BGH-DTYPE-001", "complex64")


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "model.bough"
    bough.compile(LINEAR, (X,), threads=1).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    error_of(lambda: bough.load(path), "BGH-LD-001", str(path))
