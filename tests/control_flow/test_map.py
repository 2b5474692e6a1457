"""`map` of compiled modules whose inputs take different ways: what calls one by one give, errors included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bough


class Deepening(nn.Module):
    """Goes on through its layers until it is sure; gives what it found, and how many layers that took."""

    def __init__(self, width: int = 24, depth: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        used = 0
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
            used = used + 1
            if torch.softmax(self.head(x), -1).max() > 0.6:
                break
        return self.head(x), used


class Writer(nn.Module):
    """Appends rows until one is small; raises where the first one is."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.step = nn.Linear(width, width)

    def forward(self, x: Tensor, most: Tensor) -> dict[str, Any]:
        if x[0, 0] > 100:
            raise ValueError("too large")
        rows = x
        while rows[-1].abs().max() > 0.3 and rows.shape[0] < int(most):
            rows = torch.cat([rows, torch.tanh(self.step(rows[-1:]))])
        return {"rows": rows, "count": rows.shape[0]}


class Reader(nn.Module):
    """Attends to its words until it is sure; gives what it made of each, which it attended to, and how often it looked."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.read, self.ask = nn.GRU(3, width, batch_first=True), nn.Linear(width, width)

    def forward(self, x: Tensor, notes: Tensor) -> tuple[Tensor, Tensor, int]:
        states = self.read(x[None])[0][0]
        state, looks = torch.zeros(states.shape[1]), 0
        while looks < 4:
            fit = torch.softmax(states @ self.ask(state), 0)
            state = state + fit @ states + notes.sum(0)
            looks = looks + 1
            if state.abs().max() > 1.2:
                break
        return states + state, fit, looks


def same(a: Any, b: Any) -> bool:
    one, other = torch.utils._pytree.tree_flatten(a), torch.utils._pytree.tree_flatten(b)
    return str(one[1]) == str(other[1]) and all(
        torch.equal(x, y) if isinstance(x, Tensor) else np.array_equal(x, y) and type(x) is type(y) for x, y in zip(one[0], other[0])
    )


@pytest.fixture(scope="module")
def deepening() -> Any:
    torch.manual_seed(0)
    module = Deepening().eval()
    return module, bough.compile(module, (torch.randn(1, 24),), dynamic={"x": {0: "batch"}}, threads=2, cache=False)


def test_ways_and_shapes_may_differ(deepening: Any, tmp_path: Path) -> None:
    module, compiled = deepening
    torch.manual_seed(1)
    xs = [torch.randn(1 + n % 2, 24) * (0.2 + n / 8) for n in range(17)]
    alone = [compiled(x) for x in xs]
    assert len({used for _, used in alone}) > 1
    with torch.no_grad():
        for x, (found, used) in zip(xs, alone, strict=True):
            right, layers = module(x)
            assert used == layers and torch.allclose(found, right, atol=1e-5)
    assert all(map(same, compiled.map(xs), alone))
    arrays = [x.numpy() for x in xs]
    assert all(map(same, compiled.map(arrays), [compiled(x) for x in arrays]))
    assert all(map(same, compiled.map([*arrays[:3], *xs[:3]]), [*(compiled(x) for x in arrays[:3]), *alone[:3]]))
    compiled.save(tmp_path / "deepening.bough")
    assert all(map(same, bough.load(tmp_path / "deepening.bough").map(xs), alone))
    assert compiled.map([]) == []


def test_sizes_of_inputs_differ() -> None:
    torch.manual_seed(0)
    reader = Reader().eval()
    example = (torch.randn(5, 3), torch.randn(4, 12))
    compiled = bough.compile(reader, example, dynamic={"x": {0: "words"}, "notes": {0: "notes"}}, threads=2, cache=False)
    inputs = [(torch.randn(1 + n * 7 % 11, 3), 0.1 * torch.randn(1 + n * 5 % 4, 12)) for n in range(21)]
    alone = [compiled(*x) for x in inputs]
    assert len({looks for _, _, looks in alone}) > 1
    assert all(map(same, compiled.map(inputs), alone))
    arrays = [tuple(t.numpy() for t in x) for x in inputs]
    assert all(map(same, compiled.map(arrays), [compiled(*x) for x in arrays]))
    with pytest.raises(bough.InputError, match="input 2: "):
        compiled.map([*inputs[:2], (torch.randn(3, 2), inputs[0][1]), *inputs[2:]])


def test_loops_of_different_length_and_the_first_to_fail() -> None:
    torch.manual_seed(0)
    writer = Writer().eval()
    compiled = bough.compile(writer, (torch.randn(1, 8), torch.tensor(9)), threads=2, cache=False)
    inputs = [(torch.randn(1, 8) * (n % 4), torch.tensor(n)) for n in range(1, 14)]
    alone = [compiled(*x) for x in inputs]
    assert len({one["count"] for one in alone}) > 2
    assert all(map(same, compiled.map(inputs), alone))
    bad = (torch.full((1, 8), 200.0), torch.tensor(3))
    with pytest.raises(ValueError, match="input 5: ValueError: too large"):
        compiled.map([*inputs[:5], bad, *inputs[5:], bad])
    with pytest.raises(bough.InputError, match=r"input 1: .*element type"):
        compiled.map([inputs[0], (torch.randn(1, 8).double(), torch.tensor(3)), inputs[1]])
