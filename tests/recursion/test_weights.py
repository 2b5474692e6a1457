"""Whether activations share weights that are worth sharing."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

import bough
from bough.recursion import MANY_USES, uses_of_weights

Tree = tuple["Tree", "Tree"] | int


class Vectors(nn.Module):
    """Multiplies a vector by each weight once."""

    def __init__(self) -> None:
        super().__init__()
        self.word, self.pair = nn.Embedding(9, 24), nn.Linear(48, 24)

    def forward(self, tree: Tree) -> torch.Tensor:
        if isinstance(tree, int):
            return self.word(torch.tensor(tree))
        return torch.tanh(self.pair(torch.cat((self(tree[0]), self(tree[1])))))


class Matrices(Vectors):
    """Multiplies the rows of a matrix by it."""

    def forward(self, tree: Tree) -> torch.Tensor:
        if isinstance(tree, int):
            return self.word(torch.tensor(tree)).expand(20, -1) * torch.arange(20.0)[:, None]
        return torch.tanh(self.pair(torch.cat((self(tree[0]), self(tree[1])), -1)))


def grown(leaves: int) -> Tree:
    return random.randrange(9) if leaves == 1 else (grown(leaves // 2), grown(leaves - leaves // 2))


@pytest.mark.parametrize(("model", "many"), [(Vectors, False), (Matrices, True)])
def test_cells_that_use_weights_often_stay_near(model: type[Vectors], many: bool) -> None:
    module, trees = model().eval(), [grown(n) for n in (3, 1, 8, 5)]
    compiled = bough.compile(module, (trees[0],), cache=False)
    sequence = compiled._recipe.run()[1].assembled.sequence
    assert (uses_of_weights(sequence) >= MANY_USES) == many == (compiled.executable.manifest.near > 0)
    if many:
        compiled.executable._portions.limit = 1
    for tree, got in zip(trees, compiled.map(trees)):
        torch.testing.assert_close(got, module(tree))
