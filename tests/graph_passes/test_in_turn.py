"""Samples one after the other, or each on a thread of its own: which steps can be taken so, and that they mean the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from lowered import Function, fused
from torch import Tensor, nn
from torch.nn import functional as F

from bough.base.errors import InternalError
from bough.graph_passes.in_turn import Batch, apart, batches, in_turn, of_one
from bough.graph_passes.plan_memory import make_rooms, plan_memory
from bough.graph_passes.winograd import winograd
from bough.ir.interpret_sequence import run_sequence
from bough.ir.sequence import Apart, Group, Repeat, Run, Sequence, Step, kernels
from bough.ir.sequence_text import parse_sequence, print_sequence
from bough.ir.verify_sequence import verify_sequence


def found(sequence: Sequence) -> list[Batch]:
    return batches([s for s in sequence.steps if isinstance(s, (Run, Group))], sequence.constants.keys())


def looped(sequence: Sequence, rooms: int = 0) -> Sequence:
    """Every batch of several steps as a loop, or with samples apart in so many shares."""
    steps: list[Step] = []
    temporaries = dict(sequence.temporaries)
    for n, batch in enumerate(found(sequence)):
        if len(batch.steps) == 1:
            steps += batch.steps
            continue
        touched = [{o for k in kernels((s,)) for o in k.operands} for s in (*steps, *sequence.steps) if s not in batch.steps]
        own = batch.places.keys() & temporaries.keys() - set().union(*touched) - set(sequence.results)
        temporaries.update({name: of_one(temporaries[name], batch.places[name]) for name in own})
        steps.append(apart(batch, f"turn{n}", own, rooms) if rooms else in_turn(batch, f"turn{n}", own))
    return replace(sequence, steps=tuple(steps), temporaries=temporaries)


def convolutions() -> nn.Module:
    first, second = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 4, 3, stride=2, padding=1)
    return nn.Sequential(first, nn.ReLU(), second, nn.Flatten(), nn.Linear(64, 3))


class Residual(nn.Module):
    """The image is read twice, and what is joined comes from two kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(6, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.first(x)) + x
        return self.second(torch.cat([y, x.flip(3)], 1)).mean((2, 3))


def tokens_first(x: Tensor) -> Tensor:
    return torch.softmax((x.transpose(0, 1) * 2).cumsum(1), -1).cumsum(1)


def numbered(x: Tensor) -> Tensor:
    return (x.cumsum(1) + torch.arange(x.shape[0])[:, None] * 2).cumsum(1)


NETWORKS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "convolutions": (convolutions(), (4, 3, 8, 8)),
    "odd": (Residual(), (3, 3, 7, 9)),
    "samples second": (Function(tokens_first), (5, 3, 6)),
    "numbers of samples": (Function(numbered), (3, 6)),
}


@pytest.mark.parametrize("kind", [Repeat, Apart])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_meaning_stays(name: str, kind: type) -> None:
    module, shape = NETWORKS[name]
    x = torch.randn(shape)
    before = fused(module, x)
    samples = shape[1] if name == "samples second" else shape[0]
    after = looped(before, samples if kind is Apart else 0)
    verify_sequence(after)
    assert any(isinstance(s, kind) for s in after.steps)
    (y,), (z,) = run_sequence(before, [x.numpy()]), run_sequence(after, [x.numpy()])
    np.testing.assert_array_equal(y, z)
    assert parse_sequence(print_sequence(after), after.constants).steps == after.steps


def test_arrays_have_room_for_one_sample() -> None:
    before = fused(convolutions(), torch.randn(8, 3, 8, 8))
    assert int(plan_memory(before).size.value) >= 7 * int(plan_memory(looped(before)).size.value)


def test_each_sample_under_way_has_a_room_of_its_own() -> None:
    before = fused(convolutions(), torch.randn(8, 3, 8, 8))
    sizes = [int(plan_memory(make_rooms(looped(before, rooms))).size.value) for rooms in (1, 2, 3)]
    assert sizes[1] == 2 * sizes[0] and sizes[2] == 3 * sizes[0]
    (step,) = (s for s in make_rooms(looped(before, 2)).steps if isinstance(s, Apart))
    assert step.room is not None and all(0 <= at < step.room.bytes for at in step.room.places)


def test_samples_that_go_apart_have_room() -> None:
    with pytest.raises(InternalError, match="no room for a sample"):
        verify_sequence(looped(fused(convolutions(), torch.randn(8, 3, 8, 8)), -1))


def test_groups_of_rows_lose_the_samples_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 48, 3), nn.ReLU(), nn.Conv2d(48, 48, 3))
    before = winograd(fused(network, torch.randn(2, 3, 16, 16)))
    after = looped(before)
    verify_sequence(after)
    (loop,) = (s for s in after.steps if isinstance(s, Repeat))
    groups = [s for s in loop.body if isinstance(s, Group)]
    assert groups and all(len(s.rows) == 1 and s.private for s in groups)
    x = np.random.default_rng(0).standard_normal((2, 3, 16, 16)).astype(np.float32)
    np.testing.assert_array_equal(run_sequence(before, [x])[0], run_sequence(after, [x])[0])


def mixed(x: Tensor) -> Tensor:
    return (x.cumsum(1) - x.cumsum(1).mean(0)).cumsum(1)


def turned(x: Tensor) -> Tensor:
    return x.cumsum(1).flip(0).cumsum(1)


def as_one_row(x: Tensor) -> Tensor:
    return F.pad(x.cumsum(1).reshape(-1), (1, 1)).cumsum(0)


@pytest.mark.parametrize("function", [mixed, turned, as_one_row])
def test_steps_that_need_other_samples_end_a_batch(function: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(4, 6)
    before = fused(function, x)
    assert len(found(before)) > 1
    (y,), (z,) = run_sequence(before, [x.numpy()]), run_sequence(looped(before), [x.numpy()])
    np.testing.assert_array_equal(y, z)


def test_an_array_read_as_a_whole_before_it_is_written() -> None:
    text = """
sequence main(x: f32[4]) -> (y)
  temporary a: f32[4]
  temporary b: f32[4]
  temporary y: f32[4]
  kernel fill(x: f32[4]) -> (a: f32[4])
    axes i: 4
    a[i] = x[i]
  kernel sum(a: f32[4], x: f32[4]) -> (b: f32[4])
    axes i: 4, j: 4
    t = sum(j) a[j]
    b[i] = t + x[i]
  kernel again(b: f32[4]) -> (a: f32[4])
    axes i: 4
    a[i] = b[i]
  kernel last(a: f32[4]) -> (y: f32[4])
    axes i: 4
    y[i] = a[i] * 2.0
"""
    before = parse_sequence(text)
    assert [len(b.steps) for b in found(before)] == [1, 1, 2]
    x = np.arange(4, dtype=np.float32)
    np.testing.assert_array_equal(run_sequence(before, [x])[0], run_sequence(looped(before), [x])[0])
