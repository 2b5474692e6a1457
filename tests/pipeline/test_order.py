"""Sorted rows and first elements of many, compiled: what PyTorch gives, also where the number of rows is dynamic, and for samples
together."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import bough


class Sorted(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.sort(x, dim=1, stable=True)


class First(nn.Module):
    """The first k, and the last k in order from the last."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return *torch.topk(x, self.k, dim=1), *torch.topk(x, self.k, dim=1, largest=False)


def rows(count: int, elements: int) -> Tensor:
    """All elements differ: PyTorch does not say in which order `topk` gives equal ones."""
    torch.manual_seed(elements)
    x = torch.stack([torch.randperm(elements) for _ in range(count)]).float() - elements // 2
    x[:, elements // 3] = float("inf")
    return x


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("module", [Sorted(), First(3), First(20), First(300)], ids=["sort", "3", "20", "300"])
@pytest.mark.parametrize("elements", [600, 1111])
def test_rows_of_a_dynamic_number(module: nn.Module, elements: int, threads: int) -> None:
    compiled = bough.compile(module, (rows(3, elements),), dynamic={"x": {0: "rows"}}, threads=threads)
    for count in (1, 5):
        x = rows(count, elements)
        for y, z in zip(compiled(x), module(x), strict=True):
            assert torch.equal(y, z)


class Filtered(nn.Module):
    """Writes words until the end, each among the best few by the scores of the word before."""

    def __init__(self, words: int = 900, best: int = 40) -> None:
        super().__init__()
        self.embedding, self.output, self.best = nn.Embedding(words, 8), nn.Linear(8, words), best

    def forward(self, word: Tensor, luck: Tensor) -> Tensor:
        text = word
        while text.shape[0] < 6:
            scores, words = torch.topk(self.output(self.embedding(text[-1])), self.best)
            chosen = torch.argmax(torch.where(scores >= scores[0] - luck[text.shape[0]], -scores, float("-inf")))
            text = torch.cat([text, words[chosen].unsqueeze(0)])
            if words[chosen] < 300:
                break
        return text


def test_a_decoder_that_filters_words() -> None:
    torch.manual_seed(0)
    module = Filtered().eval()
    inputs = [(torch.tensor([i]), torch.rand(6)) for i in range(20)]
    compiled = bough.compile(module, inputs[0])
    expected = [module(*x) for x in inputs]
    assert len({len(text) for text in expected}) > 2
    assert all(torch.equal(compiled(*x), text) for x, text in zip(inputs, expected, strict=True))
    assert all(torch.equal(y, text) for y, text in zip(compiled.map(inputs), expected, strict=True))
