"""Recursive modules staged, interpreted, and compared with what Python computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from staged_run import check_text, run, same
from staging_models import MODELS
from staging_structures import Chain, H

from bough.base.visits import Attribute
from bough.frontends.staging import is_recursive, stage


def build(name: str) -> Any:
    torch.manual_seed(0)
    make, structures = MODELS[name]
    return make().eval().requires_grad_(False), structures()


@pytest.mark.parametrize("name", MODELS)
def test_as_eager(name: str) -> None:
    model, structures = build(name)
    staged = stage(model, (structures[0],))
    check_text(staged.recursion)
    for value in structures:
        same(run(staged, value), model(value))


WITHOUT_CIRCLE = ("Methods", "ListsOfNumbers")
"""In the one, methods of the nodes' own recurse; in the other, nothing does."""


@pytest.mark.parametrize("name", MODELS)
def test_recursion_is_seen_in_the_source(name: str) -> None:
    model, structures = build(name)
    assert is_recursive(model) == (name not in WITHOUT_CIRCLE)
    assert is_recursive(model, (structures[0],)) == (name != "ListsOfNumbers")


def test_what_is_noted_of_a_recursion() -> None:
    model, structures = build("ByProperty")
    visits = stage(model, (structures[0],)).recursion.visits
    assert [f.name for f in visits.functions] == ["entry", "forward"] and visits.entry == "entry"
    leaf, inner = visits.function("forward").variants
    assert [p.path for p in leaf.payloads] == [(Attribute("word"),)] and leaf.payloads[0].dtype == "i64" and not leaf.calls
    assert [c.path for c in inner.calls] == [(Attribute("left"),), (Attribute("right"),)] and not inner.payloads
    assert inner.calls[0].location is not None and "self(t.left)" in inner.calls[0].location.text


def test_weights_are_the_same_arrays_in_all_cells() -> None:
    model, structures = build("Classified")
    recursion = stage(model, (structures[0],)).recursion
    arrays = [a for cell in recursion.cells.values() for a in cell.function.constants.values()]
    by_memory = {(a.ctypes.data, a.strides): id(a) for a in arrays}
    assert all(by_memory[a.ctypes.data, a.strides] == id(a) for a in arrays)
    assert any(a.ctypes.data == model.embedding.weight.data_ptr() for a in arrays)


def test_examples_may_be_deep() -> None:
    model, _ = build("Recurrent")
    chain = Chain(np.zeros(H, np.float32))
    for _ in range(30_000):
        chain = Chain(np.zeros(H, np.float32), chain)
    staged = stage(model, (chain,))
    assert len(staged.recursion.visits.function("state").variants) == 2


def test_modules_without_recursion_are_left_to_export() -> None:
    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LSTM(3, 3))

        def forward(self, x: torch.Tensor) -> Any:
            return self.helper(self.layers(x))

        def helper(self, x: Any) -> Any:
            return x[0]

    assert not is_recursive(Plain()) and not is_recursive(Plain(), (torch.ones(2, 3),), {"y": [1, "a", None]})
    assert not is_recursive(torch.nn.TransformerEncoderLayer(4, 2)) and not is_recursive(torch.sin)


def test_the_module_is_as_it_was() -> None:
    model, structures = build("EveryNode")
    stage(model, (structures[0],))
    assert "scores" not in vars(model)
