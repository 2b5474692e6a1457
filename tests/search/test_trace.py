"""A trace repeats every decision; another strategy plugs in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

import bough
from bough.ir.kernel import Kernel
from bough.schedule.decisions import Schedule
from bough.search.heuristic import Context, Heuristic
from bough.search.trace import Record, Replay

MODULE = nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.LayerNorm(40), nn.Linear(40, 3)).eval()
X = torch.randn(9, 6)


def test_a_trace_is_replayed_to_the_same_schedules():
    first = Record()
    y = bough.compile(MODULE, (X,), strategy=first, cache=False)(X)
    again = Record(Replay.loads(first.dumps()))
    assert torch.equal(bough.compile(MODULE, (X,), strategy=again, cache=False)(X), y)
    assert again.trace == first.trace


@dataclass(frozen=True)
class Plain:
    """Loops as they stand: no vectors, no tiles."""

    def choose(self, kernel: Kernel, context: Context) -> Schedule:
        return Schedule()


def test_a_strategy_of_ones_own():
    y = bough.compile(MODULE, (X,), strategy=Plain(), cache=False)(X)
    with torch.no_grad():
        torch.testing.assert_close(y, MODULE(X))


def test_a_cost_model_of_ones_own():
    def no_vectors(kernel, work, shape, packed, machine) -> float:
        return 1.0 if shape.vector is None else float("inf")

    record = Record(Heuristic(no_vectors))
    y = bough.compile(nn.Linear(6, 40).eval(), (X,), strategy=record, cache=False)(X)
    assert y.shape == (9, 40) and not any("vectorize" in schedule for schedule in record.trace.values())
