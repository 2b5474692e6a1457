"""Recurrent layers become loops over time, whatever their depth and direction, at any length and batch size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comparing import check, operators
from torch import nn

from bough.ir.program import Loop

VARIANTS: list[tuple[Any, dict[str, Any]]] = [
    (kind, options)
    for kind in (nn.LSTM, nn.GRU, nn.RNN)
    for options in ({}, {"num_layers": 2}, {"bidirectional": True, "num_layers": 2}, {"bias": False}, {"batch_first": True})
] + [(nn.LSTM, {"proj_size": 3}), (nn.LSTM, {"proj_size": 3, "bidirectional": True, "bias": False, "num_layers": 2}), (nn.RNN, {"nonlinearity": "relu"})]


@pytest.mark.parametrize(("kind", "options"), VARIANTS, ids=lambda v: str(v))
def test_layers_at_any_length_and_batch_size(kind: Any, options: dict[str, Any]) -> None:
    layer = kind(5, 6, **options)
    batch, time = (0, 1) if options.get("batch_first") else (1, 0)
    others = [(torch.randn(1, 1, 5),), (torch.randn(6, 2, 5),)]
    imported = check(layer, torch.randn(4, 3, 5), dynamic={"input": {batch: "batch", time: "time"}}, also=others)
    loops = [n for n in imported.program.functions["main"].body if isinstance(n, Loop)]
    assert len(loops) == options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_with_initial_state(kind: Any) -> None:
    state = torch.randn(2, 3, 6)
    states = (state, torch.randn(2, 3, 6)) if kind is nn.LSTM else state
    check(kind(5, 6, 2), torch.randn(4, 3, 5), states)


def test_without_batch() -> None:
    check(nn.GRU(5, 6), torch.randn(4, 5))


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells(kind: Any) -> None:
    cell, state = kind(5, 6), torch.randn(3, 6)
    check(cell, torch.randn(3, 5), (state, torch.randn(3, 6)) if kind is nn.LSTMCell else state)
    check(cell, torch.randn(3, 5))


def test_input_products_are_hoisted_and_length_costs_no_nodes() -> None:
    short, long = (check(nn.GRU(5, 6), torch.randn(t, 3, 5)) for t in (2, 50))
    assert operators(short) == operators(long)
    body = operators(long)
    assert body.index("linear") < body.index("loop") < body.index("take_at")
    assert body[body.index("loop") :].count("linear") == 1


def test_a_network_around_a_layer() -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(11, 5)
            self.rnn = nn.LSTM(5, 6, batch_first=True, bidirectional=True)
            self.out = nn.Linear(12, 3)

        def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y, (h, _) = self.rnn(self.embed(tokens))
            return self.out(y), h[-1]

    others = [(torch.randint(0, 11, (1, 1)),), (torch.randint(0, 11, (3, 7)),)]
    check(Tagger(), torch.randint(0, 11, (2, 4)), dynamic={"tokens": {0: "batch", 1: "time"}}, also=others)
