"""Loops whose number of turns is a size of the call's arguments: one compiled function for all of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import bough


class Steps(nn.Module):
    """A cell, and what a test does with it over the rows of `x`, or of the sequences of a batch."""

    def __init__(self, body: Callable[[Steps, Tensor], Tensor]) -> None:
        super().__init__()
        self.cell, self.layer, self.body = nn.GRUCell(3, 3), nn.Linear(3, 3), body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self, x)


def positions(self: Steps, x: Tensor) -> Tensor:
    h = torch.zeros(3)
    for t in range(x.shape[0]):
        h = self.cell(x[t], h)
    return h


def rows_backwards(self: Steps, x: Tensor) -> Tensor:
    h = torch.zeros(3)
    for t in reversed(range(len(x))):
        h = self.cell(x[t], h) * (t + 1)
        if h.sum() > 3:
            break
    return h


def filled_list(self: Steps, x: Tensor) -> Tensor:
    h, states = torch.zeros(3), []
    for number, row in enumerate(x):
        h = self.cell(row, h) + number
        states.append(h)
    return torch.stack(states)


def until(self: Steps, x: Tensor) -> Tensor:
    h, t = torch.zeros(3), 0
    while t < x.size(0):
        h = self.cell(x[t], h)
        t += 2
    return h


def pairs(self: Steps, x: Tensor) -> Tensor:
    found = torch.zeros(3)
    for i in range(len(x)):
        for j in range(i):
            found = found + torch.tanh(x[i] * x[j])
    return found


def mean(self: Steps, x: Tensor) -> Tensor:
    """No loop, but a size that torch would take from the example."""
    sums: Tensor = self.layer(x).sum(0)
    return sums / len(x)


def batch(self: Steps, x: Tensor) -> Tensor:
    h, states = x.new_zeros(x.shape[0], 3), []
    for t in range(x.shape[1]):
        h = self.cell(x[:, t], h)
        states.append(self.layer(h))
    return torch.stack(states, 1)


def filled_up(self: Steps, x: Tensor) -> Tensor:
    """Behind the branch, its arrays have no size that makes sense."""
    y: Tensor = self.layer(x)
    if len(x) < 4:
        z = torch.cat([torch.sin(x), torch.zeros(4 - len(x), 3)])
        y = y + torch.tanh(self.layer(torch.cos(z))).sum(0)
    result: Tensor = self.cell(torch.tanh(y), y)
    return result


@pytest.mark.parametrize("body", [positions, rows_backwards, filled_list, until, pairs, mean, filled_up])
def test_rows(body: Callable[[Steps, Tensor], Tensor]) -> None:
    model = Steps(body).eval()
    compiled = bough.compile(model, (torch.randn(4, 3),), dynamic={"x": {0: "n"}})
    for n in (1, 2, 5, 23):
        x = torch.randn(n, 3)
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-5, atol=1e-5)


def test_sequences_of_a_batch() -> None:
    model = Steps(batch).eval()
    compiled = bough.compile(model, (torch.randn(2, 4, 3),), dynamic={"x": {0: "batch", 1: "steps"}})
    for size, steps in ((1, 1), (3, 2), (2, 19)):
        x = torch.randn(size, steps, 3)
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-5, atol=1e-5)
        assert torch.equal(compiled(x)[:1], compiled(x[:1]))
