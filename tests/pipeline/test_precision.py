"""Precision as a choice: weights of products in fewer bits, whatever the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import bough

BOUNDS = {"bfloat16": 0.01, "int8": 0.03}


class Tied(nn.Module):
    """Rows of a table, and a product with all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(37, 19)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.table(words).mean(dim=1) @ self.table.weight.T
        return y


@dataclass
class Node:
    word: int
    children: list[Node]


class Tree(nn.Module):
    """A recursion over a tree of words."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.join = nn.Embedding(9, 24), nn.Linear(24, 24)

    def forward(self, node: Node) -> torch.Tensor:
        h: torch.Tensor = self.words.weight[node.word]
        if node.children:
            h = h + sum(self.forward(child) for child in node.children)
        return torch.tanh(self.join(h))


def tree() -> Node:
    return Node(3, [Node(1, []), Node(2, [Node(4, []), Node(5, []), Node(0, [])])])


class Early(nn.Module):
    """A product on one way only."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return x if x.sum() > 0 else self.second(x)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(12, 20, num_layers=2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.lstm(x)[0]
        return y


class Half(nn.Module):
    """Of a type that is narrow already."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(48, 40).to(torch.bfloat16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.to(torch.bfloat16)).float()


def text() -> torch.Tensor:
    return torch.randint(0, 37, (3, 5))


def numbers(*shape: int) -> Callable[[], torch.Tensor]:
    return lambda: torch.randn(*shape)


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any]]] = {
    "one row": (lambda: nn.Sequential(nn.Linear(70, 33), nn.GELU(), nn.Linear(33, 9)), numbers(1, 70)),
    "many rows": (lambda: nn.Sequential(nn.Linear(70, 33), nn.GELU(), nn.Linear(33, 9)), numbers(40, 70)),
    "convolution": (lambda: nn.Sequential(nn.Conv2d(3, 17, 3, padding=1), nn.ReLU(), nn.Conv2d(17, 4, 1)), numbers(2, 3, 9, 11)),
    "grouped convolution": (lambda: nn.Conv2d(12, 24, 3, groups=4, stride=2), numbers(1, 12, 10, 10)),
    "transposed convolution": (lambda: nn.ConvTranspose2d(6, 5, 3, stride=2), numbers(1, 6, 7, 7)),
    "recurrent": (Recurrent, numbers(2, 6, 12)),
    "tied": (Tied, text),
    "early": (Early, numbers(2, 16)),
    "tree": (Tree, tree),
    "half": (Half, numbers(5, 48)),
    "attention": (lambda: nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), numbers(2, 7, 32)),
}


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize("name", MODELS)
def test_models(name: str, precision: str) -> None:
    torch.manual_seed(0)
    make, inputs = MODELS[name]
    module, x = make().eval(), inputs()
    narrow = bough.compile(module, (x,), precision=precision)
    for _ in range(2):
        with torch.inference_mode():
            wanted = module(x)
        error = (narrow(x) - wanted).norm() / wanted.norm()
        assert (error > 0 or name == "half") and error < BOUNDS[precision]
        x = inputs()


def test_fewer_bytes_are_kept() -> None:
    module, x = nn.Linear(512, 512).eval(), torch.randn(1, 512)
    sizes = {p: held(bough.compile(module, (x,), precision=p)) for p in ("float32", *BOUNDS)}
    assert sizes["bfloat16"] == sizes["float32"] // 2 + 512 * 2
    assert sizes["int8"] == sizes["float32"] // 4 + 512 * 4 + 512 * 3


def held(compiled: Any) -> int:
    return sum(a.nbytes for a in compiled.executable.constants.values())


@pytest.mark.parametrize("precision", BOUNDS)
def test_a_file_and_a_row_of_a_batch(precision: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, x = nn.Sequential(nn.Linear(65, 40), nn.Tanh(), nn.Linear(40, 3)).eval(), torch.randn(5, 65)
    narrow = bough.compile(module, (x,), dynamic={"input": {0: "batch"}}, precision=precision)
    narrow.save(tmp_path / "narrow.bough")
    y = narrow(x)
    assert torch.equal(bough.load(tmp_path / "narrow.bough")(x), y)
    for i in range(5):
        assert torch.equal(narrow(x[i : i + 1]), y[i : i + 1])


def test_each_precision_has_its_own_place_in_the_cache() -> None:
    module, x = nn.Linear(9, 9).eval(), torch.randn(1, 9)
    kept = [bough.compile(module, (x,), precision=p)(x) for p in ("float32", "bfloat16", "int8", "float32")]
    assert torch.equal(kept[0], kept[3]) and not torch.equal(kept[0], kept[1]) and not torch.equal(kept[1], kept[2])


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Linear(2, 4), (3, 2)),
        (nn.Linear(1, 4), (3, 1)),
        (nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)), (2, 8, 7, 7)),
        (nn.Sequential(nn.ConvTranspose2d(4, 6, 4, 2, 1), nn.ConvTranspose2d(6, 3, 4, 2, 1)), (2, 4, 5, 5)),
    ],
    ids=["one group", "less than a group", "padding", "transposed"],
)
def test_small_and_padded_products(module: nn.Module, shape: tuple[int, ...], precision: str) -> None:
    """Sums of no more than what the instruction adds up at once; arrays whose border is filled by several stores of a kernel."""
    torch.manual_seed(0)
    x = torch.randn(shape)
    with torch.no_grad():
        want = module(x)
        got = bough.compile(module.eval(), (x,), precision=precision)(x)
    assert (got - want).norm() <= 2 * BOUNDS[precision] * want.norm()


class Pairs(nn.Module):
    """A product of states that nothing else reads as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.join, self.forget = nn.Embedding(200, 32), nn.Linear(64, 96), nn.Linear(64, 64)

    def forward(self, tree: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if isinstance(tree, int):
            return self.words.weight[tree], torch.zeros(32)
        (left, a), (right, b) = self(tree[0]), self(tree[1])
        both = torch.cat([left, right])
        i, o, u = self.join(both).chunk(3)
        f, g = torch.sigmoid(self.forget(both)).chunk(2)
        c = torch.sigmoid(i) * torch.tanh(u) + f * a + g * b
        return torch.sigmoid(o) * torch.tanh(c), c


@pytest.mark.parametrize("precision", BOUNDS)
def test_states_that_only_products_read(precision: str) -> None:
    torch.manual_seed(0)
    module, trees = Pairs().eval(), [((1, (2, 3)), ((4, 5), 6)), (7, 8), 0]
    compiled = bough.compile(module, (trees[0],), precision=precision, cache=False)
    alone = [compiled(t) for t in trees]
    for found, t in zip(alone, trees, strict=True):
        torch.testing.assert_close(found, module(t), rtol=0.1, atol=0.05)
    for one, together in zip(alone, compiled.map(trees), strict=True):
        assert all(map(torch.equal, one, together))
