"""Symbolic sizes: arithmetic on them, and the refusal to narrow them in silence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comparing import check
from torch import nn

from bough.base.errors import CompileError
from bough.frontends.torch_export import export
from bough.ir.expr import Var
from bough.ir.program import Dim

BATCH = {"x": {0: "batch"}}


def rows(*counts: int) -> list[tuple[torch.Tensor, ...]]:
    return [(torch.randn(n, 4),) for n in counts]


def refused(function: Any, *args: torch.Tensor, dynamic: Any = None) -> CompileError:
    with pytest.raises(CompileError) as caught:
        export(function, args, dynamic=dynamic or BATCH)
    assert caught.value.code == "BGH-DIM-001"
    return caught.value


@pytest.mark.parametrize("size", [1, 2, 4, 6])
def test_an_example_of_any_size_will_do(size: int) -> None:
    imported = check(nn.Sequential(nn.Linear(4, 4)), torch.randn(size, 4), dynamic={"input": {0: "batch"}}, also=rows(1, 3, 9))
    (param,) = imported.program.functions["main"].params
    assert param.type.shape == (Var("batch"), 4)
    assert imported.program.functions["main"].dims == (Dim("batch", 1, None),)


def test_sizes_as_numbers() -> None:
    def f(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        n = x.shape[0]
        return x / n, x * n**0.5, x.sum(0) / (n + 1), torch.full((2,), n), torch.arange(n) * x[:, 0].long(), x - (n - 1) // 2

    check(f, torch.randn(3, 4), dynamic=BATCH, also=rows(1, 2, 8))


def test_sizes_in_shapes() -> None:
    def f(x: torch.Tensor) -> tuple[Any, ...]:
        n, m = x.shape
        flat = x.reshape(n * m)
        return flat, flat.view(m, n), x[-1], x[: n // 2], torch.cat([x, x]), x.unsqueeze(1).expand(n, 3, m).flatten(0, 1), n, 2 * n

    check(f, torch.randn(5, 4), dynamic=BATCH, also=rows(1, 2, 7))


def test_slices_stop_at_the_end() -> None:
    check(lambda x: (x[:3], x[-3:], x[2:]), torch.randn(6, 4), dynamic=BATCH, also=rows(1, 2, 3, 9))


def test_slices_counted_from_the_back_by_another_size() -> None:
    def f(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x[-y.shape[0] :], x[: -y.shape[0]].sum(0), x[-y.shape[0]]

    dims = {"x": {0: Dim("n", 8, 64)}, "y": {0: Dim("m", 1, 7)}}
    check(f, torch.randn(9, 2), torch.randn(3, 2), dynamic=dims, also=[(torch.randn(8, 2), torch.randn(7, 2))])


def test_floats_from_sizes_beside_integers() -> None:
    check(lambda x: x.long() * x.shape[0] ** 0.5, torch.randn(6, 4), dynamic=BATCH, also=rows(2, 9))


def test_position_table_and_triangle() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        t = torch.arange(x.shape[0])
        mask = t[None] <= t[:, None]
        return torch.where(mask, (x @ x.t()), 0.0).softmax(-1) + torch.ones(x.shape[0], x.shape[0]).tril()

    check(f, torch.randn(5, 4), dynamic=BATCH, also=rows(1, 2, 7))


def test_several_sizes() -> None:
    def f(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bi,ci->bc", x, y)

    x, y = torch.randn(3, 4), torch.randn(3, 4)
    dynamic = {"x": {0: "n"}, "y": {0: "m"}}
    check(f, x, y, dynamic=dynamic, also=[(x[:1], y), (x, y[:1]), (torch.randn(6, 4), y)])


def test_one_name_for_two_axes() -> None:
    def f(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y if x.shape[0] == y.shape[0] else x

    check(f, torch.randn(3, 4), torch.randn(3, 4), dynamic={"x": {0: "n"}, "y": {0: "n"}}, also=[(torch.randn(1, 4), torch.randn(1, 4))])


def test_two_names_that_must_be_equal_are_refused() -> None:
    error = refused(lambda x, y: x + y, torch.randn(3, 4), torch.randn(3, 4), dynamic={"x": {0: "n"}, "y": {0: "m"}})
    assert error.location is not None
    assert error.location.file == __file__
    assert "`m` and `n` must be equal" in str(error) or "`n` and `m` must be equal" in str(error)


def test_branches_on_sizes_are_refused_with_their_line() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] > 3:  # the branch
            return x * 2
        return x

    error = refused(f, torch.randn(5, 4))
    assert "batch" in str(error)
    assert error.location is not None
    assert error.location.text.endswith("# the branch")
    check(f, torch.randn(5, 4), dynamic={"x": {0: Dim("batch", 4, 64)}}, also=rows(4, 64))


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_a_question_about_size_one_is_not_answered_for_all(limit: int) -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.shape[0] > limit else x

    if limit == 0:
        check(f, torch.randn(5, 4), dynamic=BATCH, also=rows(1, 2))
    else:
        refused(f, torch.randn(5, 4))


def test_a_size_that_the_model_fixes_is_refused() -> None:
    refused(lambda x: x + torch.ones(5, 4), torch.randn(5, 4))
    refused(lambda x: x.view(2, -1, 4), torch.randn(6, 4))
    refused(lambda x: x[:3] + x[0:3].new_ones(3, 4), torch.randn(6, 4))


def test_squeezing_a_symbolic_size_is_an_error() -> None:
    with pytest.raises(CompileError, match="squeeze"):
        export(lambda x: x.squeeze(), (torch.randn(6, 4),), dynamic=BATCH)


def test_wishes_that_make_no_sense() -> None:
    x = torch.randn(6, 4)
    assert "no tensor argument `z`" in str(refused(lambda x: x, x, dynamic={"z": {0: "n"}}))
    assert "no axis 2" in str(refused(lambda x: x, x, dynamic={"x": {2: "n"}}))
    assert "outside the range" in str(refused(lambda x: x, x, dynamic={"x": {0: Dim("n", 1, 4)}}))
    assert "not the same everywhere" in str(refused(lambda x: x, x, dynamic={"x": {0: "n", 1: "n"}}))
    two = {"x": {0: Dim("n", 1, 8), 1: Dim("n", 1, 9)}}
    assert "two ranges" in str(refused(lambda x: x, torch.randn(6, 6), dynamic=two))


def test_examples_of_any_layout_will_do() -> None:
    module = nn.Sequential(nn.GroupNorm(3, 9), nn.Conv2d(9, 5, 3)).eval()
    pictures = [(torch.randn(n, 9, 8, 7),) for n in (1, 3)]
    example = torch.randn(2, 9, 8, 7).to(memory_format=torch.channels_last)
    check(module, example, dynamic={"input": {0: Dim("batch", 0)}}, also=pictures)
