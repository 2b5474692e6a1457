"""A trace repeats every decision; another strategy plugs in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

import bough
from bough.ir.kernel import Kernel
from bough.schedule.decisions import Schedule
from bough.search.heuristic import Context
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
