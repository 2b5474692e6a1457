"""Indices among the arguments that are out of range end a call, as in eager mode; those that are not change nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import bough
from bough.frontends.staging import export_module
from bough.graph_passes.values import check_indices, fold_constants, merge_views, share
from bough.ir.program import Check
from bough.ir.verify_program import verify_program

TABLE, X = torch.randn(5, 3), torch.randn(5, 3)


def ids(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers)


def look_up(k: torch.Tensor) -> torch.Tensor:
    return F.embedding(k, TABLE) * 2


def shifted(k: torch.Tensor) -> torch.Tensor:
    y = F.relu(F.embedding(k, TABLE))
    return y + F.embedding(k + 1, TABLE)


def selected(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return x.index_select(0, k) + 1


def indexed(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return x[k] + 1


def of_two_axes(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return x[k, k + 1]


def gathered(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return x.gather(1, k[:, None])


def taken_along(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return torch.take_along_dim(x[: k.shape[0]], k[:, None], 1)


def taken(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return torch.take(x, k)


def scattered(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return x.scatter(0, k[:, None], 1.0)


def put(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[k] = 0.0
    return y


def added(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return x.index_add(0, k, torch.ones(k.shape[0], 3), alpha=2)


def copied(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return x.index_copy(0, k, torch.ones(k.shape[0], 3))


def in_bags(k: torch.Tensor) -> torch.Tensor:
    return F.embedding_bag(k[None], TABLE)


def loss(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(x[: k.shape[0]], k)


def in_a_branch(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    if x.sum() > 0:
        return F.embedding(k, TABLE)
    return x[:2]


def behind_an_assertion(k: torch.Tensor) -> torch.Tensor:
    y = F.embedding(k, TABLE)
    assert k.max() < 9, "no such word"
    return y + F.embedding(k - 1, TABLE)


def clamped(k: torch.Tensor) -> torch.Tensor:
    return F.embedding(k.clamp(0, 4), TABLE)


def places(x: torch.Tensor) -> torch.Tensor:
    return x + F.embedding(torch.arange(x.shape[0]), TABLE)


WORKS: list[tuple[Callable[..., torch.Tensor], bool]] = [
    (f, True) for f in (selected, indexed, of_two_axes, gathered, taken_along, taken, scattered, put, added, copied, loss, in_a_branch)
] + [(f, False) for f in (look_up, shifted, in_bags, behind_an_assertion, clamped)]  # fmt: skip


@pytest.mark.parametrize(("work", "of_array"), WORKS, ids=lambda v: getattr(v, "__name__", ""))
def test_what_is_out_of_range_is_an_error_where_it_is_one_in_eager_mode(work: Callable[..., Any], of_array: bool) -> None:
    compiled = bough.compile(work, (X, ids(1, 0)) if of_array else (ids(1, 0),), threads=1)
    for x in (X.abs(), -X.abs()):
        for n in (0, 1, 2, 3, 4, 5, 9, 14, 15, -1, -4, -5, -6, -15, -16, 1 << 40, -(1 << 40)):
            args = (x, ids(1, n)) if of_array else (ids(1, n),)
            try:
                expected = work(*args)
            except Exception as error:
                kinds = (IndexError, RuntimeError) if work in (added, loss) else (type(error),)
                with pytest.raises(kinds):
                    compiled(*args)
            else:
                torch.testing.assert_close(compiled(*args), expected, msg=f"{work.__name__} {n}")


def test_the_error_names_the_line_and_a_loaded_function_raises_it_too(tmp_path: Path) -> None:
    compiled = bough.compile(look_up, (ids(1, 2),), threads=1)
    compiled.save(tmp_path / "a.bough")
    line = f"{Path(__file__).name}:{look_up.__code__.co_firstlineno + 1}"
    for function in (compiled, bough.load(tmp_path / "a.bough")):
        with pytest.raises(IndexError, match=line):
            function(ids(1, 5))


def test_one_of_several_inputs_that_is_out_of_range_ends_map() -> None:
    compiled = bough.compile(look_up, (ids(1, 2),), threads=1)
    assert not compiled.executable.manifest.divides
    for result, k in zip(compiled.map([ids(0, 1), ids(4, 4)]), (ids(0, 1), ids(4, 4)), strict=True):
        assert torch.equal(result, look_up(k))
    with pytest.raises(IndexError):
        compiled.map([ids(0, 1), ids(4, 5), ids(1, 1)])
    deciding = bough.compile(in_a_branch, (X, ids(1, 2)), threads=1)
    assert deciding.executable.manifest.divides
    deciding.map([(X.abs(), ids(0, 1)), (-X.abs(), ids(0, 9))])
    with pytest.raises(IndexError):
        deciding.map([(X.abs(), ids(0, 9)), (-X.abs(), ids(0, 9))])


def test_constants_that_are_out_of_range_end_every_call() -> None:
    compiled = bough.compile(lambda x: x + TABLE[torch.tensor([0, 7])], (X[:2],), threads=1)
    with pytest.raises(IndexError):
        compiled(X[:2])


def test_dynamic_sizes() -> None:
    compiled = bough.compile(indexed, (X, ids(1, 2)), dynamic={"x": {0: "n"}, "k": {0: bough.Dim("m", 0)}}, threads=1)
    for n, k in ((5, ids(4)), (1, ids(0, -1)), (3, ids()), (7, ids(6, -7, 3))):
        x = torch.randn(n, 3)
        assert torch.equal(compiled(x, k.long()), indexed(x, k.long()))
    for n, k in ((4, ids(4)), (1, ids(0, -2)), (7, ids(7))):
        with pytest.raises(IndexError):
            compiled(torch.randn(n, 3), k)
    counted = bough.compile(places, (X,), dynamic={"x": {0: "n"}}, threads=1)
    assert torch.equal(counted(X[:2]), places(X[:2]))
    with pytest.raises(IndexError):
        counted(torch.randn(6, 3))


def test_many_indices_are_asked_row_by_row() -> None:
    k = torch.randint(0, 5, (300, 100))
    compiled = bough.compile(look_up, (k,), threads=2)
    assert torch.equal(compiled(k), look_up(k))
    for place in ((0, 0), (299, 99), (150, 3)):
        wrong = k.clone()
        wrong[place] = 5
        with pytest.raises(IndexError):
            compiled(wrong)


def _checks(work: Callable[..., Any], *args: torch.Tensor, **options: Any) -> int:
    program = check_indices(share(merge_views(fold_constants(export_module(work, args, **options).program))))
    verify_program(program)
    return sum(isinstance(n, Check) for n in program.functions[program.entry].body)


def test_what_is_known_to_be_in_range_is_not_asked() -> None:
    assert _checks(look_up, ids(1, 2)) == 1
    assert _checks(shifted, ids(1, 2)) == 2
    assert _checks(clamped, ids(1, 2)) == 0
    assert _checks(lambda k: F.embedding(k.clamp(0, 5), TABLE), ids(1, 2)) == 1
    assert _checks(lambda k: F.embedding(k.clamp(max=4), TABLE), ids(1, 2)) == 1
    assert _checks(lambda x: F.embedding(torch.arange(x.shape[0]).clamp(min=9), TABLE), X) == 1
    assert _checks(lambda x: F.embedding(torch.arange(x.shape[0]).clamp(min=9), TABLE), X, dynamic={"x": {0: "n"}}) == 1
    assert _checks(taken_along, X, ids(1, 2, 0, 1, 1)) == 0
    assert _checks(places, X) == 0
    assert _checks(places, X, dynamic={"x": {0: bough.Dim("n", 1, 5)}}) == 0
    assert _checks(lambda x: x[torch.arange(x.shape[0]), ids(1)], X, dynamic={"x": {0: "n"}}) == 0
    assert _checks(lambda k: F.embedding(k, TABLE) + F.embedding(k.view(2, 1), TABLE).view(2, 3), ids(1, 2)) == 1
    assert _checks(lambda k: F.embedding(k, TABLE) + F.embedding(k, TABLE * 2), ids(1, 2)) == 1


def test_checks_do_not_tear_apart_what_could_be_one_kernel() -> None:
    program = check_indices(export_module(shifted, (ids(1, 2),)).program)
    kinds = ["check" if isinstance(n, Check) else n.op for n in program.functions[program.entry].body]  # type: ignore[union-attr]
    assert kinds[:5] == ["add", "in_range", "in_range", "check", "check"]
