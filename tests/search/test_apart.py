"""Which networks are computed side by side, and that what comes out is what calls of their own give."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import bough


class Pictures(nn.Module):
    """Convolutions, which use each weight often; more of them where it is not sure."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.more = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        x = torch.relu(self.first(x))
        for n, layer in enumerate(self.more):
            if x.mean() > 0.3:
                return x, n
            x = torch.relu(layer(x))
        assert x.max() < 50, "too large"
        return x, len(self.more)


class Vectors(Pictures):
    """A vector, which uses each weight once."""

    def __init__(self) -> None:
        super().__init__(1)
        self.first = nn.Linear(512, 2048)  # type: ignore[assignment]
        self.more = nn.ModuleList(nn.Linear(2048, 2048) for _ in range(2))


def compiled(module: nn.Module, x: Tensor, threads: int = 2) -> bough.Compiled:
    return bough.compile(module.eval(), (x,), threads=threads, cache=False)


def test_weights_used_once_are_read_together() -> None:
    assert not compiled(Vectors(), torch.randn(512)).executable.manifest.apart


def test_a_short_call_is_not_handed_to_a_thread() -> None:
    assert not compiled(Pictures(8), torch.randn(1, 3, 8, 8)).executable.manifest.apart


def test_pictures_side_by_side(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = compiled(Pictures(), torch.randn(1, 3, 28, 28))
    assert network.executable.manifest.apart
    inputs = [(n % 5) * torch.rand(1, 3, 28, 28) for n in range(11)]
    alone = [network(x) for x in inputs]
    assert len({n for _, n in alone}) > 1
    network.save(tmp_path / "pictures.bough")
    for function in (network, bough.load(tmp_path / "pictures.bough", threads=3)):
        found = function.map(inputs)
        assert all(n == m and torch.equal(x, y) for (x, n), (y, m) in zip(alone, found, strict=True))
    assert network.executable.samples is None
    with pytest.raises(AssertionError, match="input 4: AssertionError: too large"):
        network.map([*inputs[:4], torch.full((1, 3, 28, 28), torch.nan), *inputs[4:]])
