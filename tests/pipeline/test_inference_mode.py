"""Modules that are made or compiled in PyTorch's inference mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import bough


class Deciding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.register_buffer("scale", torch.ones(8))

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        x = self.first(x)
        if x.mean() > 0:
            x = self.second(x) * self.scale
        turns = 0
        while x.sum() > 1 and turns < 4:
            x = x * 0.5 - x.mean()
            turns += 1
        x = x.clone()
        x[0] = 1
        return x, turns


class Straight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.only(x)


@dataclass
class Node:
    children: list[Node]
    value: Tensor


class Recursive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.join = nn.Linear(8, 8)

    def forward(self, node: Node) -> Tensor:
        if not node.children:
            return node.value
        return torch.tanh(self.join(torch.stack([self(c) for c in node.children]).sum(0)) + node.value)


def tree() -> Node:
    def leaf() -> Node:
        return Node([], torch.randn(8))

    return Node([Node([leaf(), leaf()], torch.randn(8)), leaf()], torch.randn(8))


@pytest.mark.parametrize("made_inside", [False, True])
@pytest.mark.parametrize("compiled_inside", [False, True])
@pytest.mark.parametrize("kind", [Deciding, Straight, Recursive])
def test_inference_mode(kind: type[nn.Module], made_inside: bool, compiled_inside: bool) -> None:
    torch.manual_seed(3)

    def example() -> Any:
        return tree() if kind is Recursive else torch.randn(3, 8)

    with torch.inference_mode(made_inside):
        model = kind()
    with torch.inference_mode(compiled_inside):
        compiled = bough.compile(model, (example(),), cache=False)
        inputs = [example() for _ in range(4)]
    with torch.inference_mode():
        results = [*map(compiled, inputs), *compiled.map(inputs)]
        for x, result in zip(inputs * 2, results, strict=True):
            for given, wanted in zip(pytree.tree_leaves(result), pytree.tree_leaves(model(x)), strict=True):
                torch.testing.assert_close(given, wanted, rtol=1e-5, atol=1e-6)
    assert all(p.requires_grad for p in model.parameters())
