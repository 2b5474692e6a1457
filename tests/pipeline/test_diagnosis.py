"""`bough doctor MODEL`: everything that is refused, at once, and what a model becomes where nothing is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bough.pipeline.diagnosis import Diagnosis, diagnose
from bough.pipeline.options import make_options
from bough.pipeline.recipe import Recipe


class Lacking(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.svdvals(x)


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x * self.calls


class Several(nn.Module):
    """One problem of its own, and some in layers that are called one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3), Lacking(), Lacking(), nn.Sequential(nn.ReLU(), Counting())])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = x + layer(x).sum()
        return torch.fft.fft(x).real


class Node:
    def __init__(self, value: torch.Tensor | None, left: Node | None = None, right: Node | None = None) -> None:
        self.value, self.left, self.right = value, left, right


class Tree(nn.Module):
    def forward(self, node: Node) -> torch.Tensor:
        if node.left is None or node.right is None:
            return torch.linalg.svdvals(node.value)
        return torch.fft.fft(self(node.left) + self(node.right)).real


def diagnosed(module: nn.Module, *args: Any, dynamic: Any = None, target: str | None = None) -> Diagnosis:
    return diagnose(Recipe(module, args, None, dynamic, make_options(target, 2)))


def test_all_problems_at_once() -> None:
    module = Several().eval()
    x = torch.randn(3, 3)
    before = module.layers[3][1].calls.clone()
    found = diagnosed(module, x)
    assert [(p.code, p.module) for p in found.problems] == [
        ("BGH-MUT-001", "layers.3.1"), ("BGH-OP-001", "layers.1"), ("BGH-OP-001", ""),
    ]  # fmt: skip
    assert [p.source for p in found.problems] == [
        "self.calls += 1", "return torch.linalg.svdvals(x)", "return torch.fft.fft(x).real",
    ]  # fmt: skip
    assert all(p.because and p.advice and p.place.startswith(__file__) for p in found.problems)
    assert found.kernels == 0
    assert "forward" not in vars(module.layers[1])
    assert torch.equal(module.layers[3][1].calls, before)


def test_training_mode_hides_nothing_and_comes_back() -> None:
    module = nn.Sequential(nn.Dropout(0.5), Lacking(), nn.Linear(3, 3))
    module[2].eval()
    assert [p.code for p in diagnosed(module, torch.randn(3, 3)).problems] == ["BGH-TRAIN-001", "BGH-OP-001"]
    assert [m.training for m in module] == [True, True, False]


def test_every_way_of_a_recursion_is_looked_at() -> None:
    leaf = Node(torch.randn(3, 3))
    found = diagnosed(Tree().eval(), Node(None, leaf, leaf))
    assert ["svd" in p.what for p in found.problems] == [True, False] and "fft" in found.problems[1].what


def test_a_model_that_fails_by_itself() -> None:
    class Fails(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ torch.zeros(5, 5)

    (problem,) = diagnosed(Fails(), torch.randn(3, 3)).problems
    assert problem.code == "BGH-TRACE-001"


def test_sizes_that_cannot_vary() -> None:
    class Four(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(4, -1)

    (problem,) = diagnosed(Four(), torch.randn(4, 3), dynamic={"x": {0: "n"}}).problems
    assert problem.code == "BGH-DIM-001"


def test_what_a_straight_model_becomes() -> None:
    module = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32)).eval()
    found = diagnosed(module, torch.randn(8, 32), target="avx2")
    assert not found.problems and found.seconds > 0 and found.target == "avx2" and found.precision == "float32"
    assert found.kernels >= found.phases > 0 and "no decisions" in found.course
    assert sum(count for _, count in found.mappings) == found.kernels
    assert "avx2.fma" in dict(found.mappings)


def test_what_decides_and_what_stays_scalar() -> None:
    class Turns(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
            turns = 0
            while x.sum() > 1:
                x = x / 2
                turns += 1
            return x, turns

    found = diagnosed(Turns(), torch.ones(64))
    assert "1 loop" in found.course and any("turns += 1" in line for line in found.scalar)


def test_a_recursion_that_compiles() -> None:
    class Sum(nn.Module):
        def forward(self, node: Node) -> torch.Tensor:
            if node.left is None or node.right is None:
                return node.value
            return self(node.left) + self(node.right)

    leaf = Node(torch.randn(3))
    assert diagnosed(Sum().eval(), Node(None, leaf, leaf)).course.startswith("recursive over its arguments")


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_precision_is_named(precision: str) -> None:
    recipe = Recipe(nn.Linear(32, 32).eval(), (torch.randn(2, 32),), None, None, make_options("native", 1, precision))
    assert diagnose(recipe).precision == precision
