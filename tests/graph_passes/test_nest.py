"""Chains of sums over common rows: found by dependence, laid out and nested without a change of what they mean."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent

import numpy as np
import pytest
import torch
from lowered import fused
from torch import Tensor, nn
from torch.nn import functional as F

from bough.graph_passes.effects import keeps_points
from bough.graph_passes.lay_out_rows import lay_out_rows
from bough.graph_passes.nest import nest
from bough.graph_passes.plan_memory import plan_memory
from bough.ir.interpret_sequence import run_sequence
from bough.ir.sequence import Group, Sequence, walk
from bough.ir.sequence_text import parse_sequence, print_sequence
from bough.ir.verify_sequence import verify_sequence


def groups(sequence: Sequence) -> list[Group]:
    return [s for s in walk(sequence.steps) if isinstance(s, Group)]


def by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.transpose(-1, -2) / 3, -1) @ v


def keys_turned(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k, -1) @ v


def hidden(x: Tensor, up: Tensor, down: Tensor) -> Tensor:
    return torch.relu(x @ up) @ down


def rows(*shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.randn(s) for s in shapes)


CASES: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "attention": (F.scaled_dot_product_attention, rows((2, 3, 18, 5), (2, 3, 7, 5), (2, 3, 7, 4))),
    "few queries": (F.scaled_dot_product_attention, rows((2, 3, 4, 5), (2, 3, 7, 5), (2, 3, 7, 4))),
    "by hand": (by_hand, rows((2, 3, 18, 5), (2, 3, 7, 5), (2, 3, 7, 4))),
    "keys turned": (keys_turned, rows((3, 18, 5), (3, 5, 7), (3, 7, 4))),
    "a hidden layer": (hidden, rows((18, 5), (5, 7), (7, 4))),
}


@pytest.mark.parametrize("name", CASES)
def test_the_meaning_stays(name: str) -> None:
    function, args = CASES[name]
    before = fused(function, *args)
    after = nest(lay_out_rows(before))
    verify_sequence(after)
    (group,) = groups(after)
    assert group.private
    inputs = [a.numpy() for a in args]
    (y,), (z,) = run_sequence(before, inputs), run_sequence(after, inputs)
    np.testing.assert_array_equal(y, z)
    assert parse_sequence(print_sequence(after)).steps == after.steps


def test_scores_are_stored_nowhere() -> None:
    args = rows((2, 3, 64, 16), (2, 3, 64, 16), (2, 3, 64, 16))
    before = fused(F.scaled_dot_product_attention, *args)
    scores = 4 * 2 * 3 * 64 * 64
    assert int(plan_memory(before).size.value) >= scores
    assert int(plan_memory(nest(lay_out_rows(before))).size.value) < scores // 8


def test_powers_take_the_place_of_scores() -> None:
    function, args = CASES["attention"]
    (group,) = groups(nest(lay_out_rows(fused(function, *args))))
    matrices = [n for n in group.private if any(len(k.operands[n].shape) == 4 for k in group.kernels if n in k.operands)]
    assert len(matrices) == 2  # the scores, and the queries that lie side by side


def test_rows_that_need_other_rows_are_no_chain() -> None:
    def shifted(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.roll(q @ k.transpose(-1, -2), 1, -2).cumsum(-2) @ v

    assert not groups(nest(fused(shifted, *rows((18, 5), (7, 5), (7, 4)))))


def test_what_is_a_result_is_stored() -> None:
    class Both(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            p = torch.softmax(q @ k.transpose(-1, -2), -1)
            return p, p @ v

    args = rows((2, 18, 5), (2, 7, 5), (2, 7, 4))
    sequence = fused(Both(), *args)
    after = nest(lay_out_rows(sequence))
    private = {n for g in groups(after) for n in g.private}
    assert private.isdisjoint(after.results)
    for y, z in zip(run_sequence(sequence, [a.numpy() for a in args]), run_sequence(after, [a.numpy() for a in args])):
        np.testing.assert_array_equal(y, z)


def test_what_stands_between_and_needs_nothing_of_a_chain_runs_before_it() -> None:
    def attention(q: Tensor, k: Tensor, x: Tensor, w: Tensor) -> Tensor:
        p = torch.softmax(q @ k.transpose(-1, -2), -1)
        return p @ torch.relu(x @ w).cumsum(-1)

    args = rows((2, 18, 5), (2, 7, 5), (2, 7, 3), (3, 4))
    before = fused(attention, *args)
    after = nest(lay_out_rows(before))
    verify_sequence(after)
    (group,) = groups(after)
    assert sum(len(k.reductions) for k in group.kernels) == 4
    (y,), (z,) = run_sequence(before, [a.numpy() for a in args]), run_sequence(after, [a.numpy() for a in args])
    np.testing.assert_array_equal(y, z)


def test_what_a_kernel_reads_again_is_not_overwritten() -> None:
    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k
        return scores.exp() @ v + scores.sin() @ v

    sequence = nest(lay_out_rows(fused(attention, *rows((3, 18, 5), (3, 5, 7), (3, 7, 4)))))
    assert groups(sequence)
    for group in groups(sequence):
        assert all(keeps_points(k) for k in group.kernels)


def test_two_stores_of_one_kernel() -> None:
    text = """
    sequence main(q: f32[2, 3, 4], k: f32[2, 4, 5], v: f32[2, 5, 6]) -> (y)
      temporary x: f32[2, 3, 5]
      temporary a: f32[2, 3, 5]
      temporary b: f32[2, 3, 5]
      temporary y: f32[2, 3, 6]
      kernel first(q: f32[2, 3, 4], k: f32[2, 4, 5]) -> (x: f32[2, 3, 5])
        axes i: 2, j: 3, n: 5, e: 4
        s = sum(e) q[i, j, e] * k[i, e, n]
        x[i, j, n] = s
      kernel both(x: f32[2, 3, 5]) -> (a: f32[2, 3, 5], b: f32[2, 3, 5])
        axes i: 2, j: 3, n: 5
        a[i, j, n] = x[i, j, n] + 1.0
        b[i, j, n] = x[i, j, n] * 2.0
      kernel last(a: f32[2, 3, 5], b: f32[2, 3, 5], v: f32[2, 5, 6]) -> (y: f32[2, 3, 6])
        axes i: 2, j: 3, n: 6, k0: 5
        s = sum(k0) a[i, j, k0] * v[i, k0, n]
        t = sum(k0) b[i, j, k0] * v[i, k0, n]
        y[i, j, n] = s + t
    """
    after = nest(parse_sequence(dedent(text)))
    (group,) = groups(after)
    assert all(keeps_points(k) for k in group.kernels)
    assert [o.name for o in group.kernels[1].outputs] == ["a", "x"]  # the last store may take its place
