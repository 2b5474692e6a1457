"""Embedding bags, compiled: lists that all have one length, lists between bounds, and bounds that are wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from against_eager import assert_eager
from torch import nn

import bough

HOSTILE = ([5, 2, -7], [-(2**40), 2**40, 3], [2**62, -(2**62), 2**62])


class Bags(nn.Module):
    def __init__(self, mode: str, padding: int | None = None) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(30, 9, mode=mode, padding_idx=padding)

    def forward(self, words: torch.Tensor, offsets: torch.Tensor | None = None, factors: torch.Tensor | None = None) -> Any:
        return torch.tanh(self.table(words, offsets, factors))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 1])
def test_lists_of_one_length(mode: str, padding: int | None) -> None:
    torch.manual_seed(0)
    module = Bags(mode, padding).eval()
    words = torch.randint(4, (5, 3))
    compiled = bough.compile(module, (words,), threads=1)
    assert_eager(compiled(words), module, (words,))
    check, kernel = compiled.explain().rows
    assert "in_range" in check.kernel and "embedding_bag" in kernel.kernel


def test_any_number_of_lists_of_one_length() -> None:
    module = Bags("sum").eval()
    compiled = bough.compile(module, (torch.randint(30, (5, 3)),), dynamic={"words": {0: "lists"}}, threads=1)
    for count in (1, 2, 17):
        words = torch.randint(30, (count, 3))
        assert_eager(compiled(words), module, (words,))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_lists_between_bounds(mode: str) -> None:
    module = Bags(mode, 1).eval()
    args = torch.randint(4, (11,)), torch.tensor([0, 0, 2, 9])
    compiled = bough.compile(module, args, dynamic={"words": {0: "words"}, "offsets": {0: "lists"}}, threads=1)
    for words, offsets in (args, (torch.randint(4, (70,)), torch.tensor([0, 1, 68]))):
        assert_eager(compiled(words, offsets), module, (words, offsets))


def test_lists_without_words() -> None:
    module = Bags("mean").eval()
    args = torch.zeros(0, dtype=torch.long), torch.tensor([0, 0])
    assert_eager(bough.compile(module, args, threads=1)(*args), module, args)


def test_factors() -> None:
    module = Bags("sum").eval()
    args = torch.randint(30, (8,)), torch.tensor([0, 3, 3]), torch.randn(8)
    assert_eager(bough.compile(module, args, threads=1)(*args), module, args)


@pytest.mark.parametrize("offsets", HOSTILE)
def test_bounds_that_are_wrong_read_nothing_beyond_the_list(offsets: list[int]) -> None:
    module = Bags("sum").eval()
    words = torch.randint(30, (6,))
    compiled = bough.compile(module, (words, torch.tensor([0, 1, 2])), threads=1)
    assert torch.isfinite(compiled(words, torch.tensor(offsets))).all()
