"""Recursive modules through `bough.compile`: calls, many calls at once, files, explanations."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import bough
from bough.recursion import Switches

WORDS, HIDDEN = 50, 24


class Node:
    def __init__(self, word: int = 0, left: Node | None = None, right: Node | None = None) -> None:
        self.word, self.left, self.right = word, left, right


class TreeLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, HIDDEN)
        self.leaf = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.inner = nn.Linear(HIDDEN, 3 * HIDDEN, bias=False)
        self.forget = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, node: Node) -> tuple[torch.Tensor, torch.Tensor]:
        if node.left is None:
            i, o, u = self.leaf(self.words(torch.tensor(node.word))).chunk(3)
            c = torch.sigmoid(i) * torch.tanh(u)
        else:
            hl, cl = self(node.left)
            hr, cr = self(node.right)
            i, o, u = self.inner(hl + hr).chunk(3)
            c = torch.sigmoid(i) * torch.tanh(u) + torch.sigmoid(self.forget(hl)) * cl + torch.sigmoid(self.forget(hr)) * cr
        return torch.sigmoid(o) * torch.tanh(c), c


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = TreeLSTM()
        self.out = nn.Linear(HIDDEN, 5)

    def forward(self, tree: Node) -> dict[str, Any]:
        h, _ = self.encoder(tree)
        return {"scores": self.out(h), "state": h}


def tree(leaves: int, draw: random.Random) -> Node:
    if leaves == 1:
        return Node(draw.randrange(WORDS))
    left = draw.randint(1, leaves - 1)
    return Node(0, tree(left, draw), tree(leaves - left, draw))


@pytest.fixture(scope="module")
def model() -> Classifier:
    torch.manual_seed(0)
    return Classifier().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def trees() -> list[Node]:
    draw = random.Random(0)
    return [tree(n, draw) for n in (1, 2, 3, 7, 20, 33, 5, 1)]


@pytest.fixture(scope="module")
def compiled(model: Classifier, trees: list[Node]) -> bough.Compiled:
    return bough.compile(model, (trees[3],), threads=2, cache=False)


def test_calls_agree_with_eager(model: Classifier, compiled: bough.Compiled, trees: list[Node]) -> None:
    for t in trees:
        expected, given = model(t), compiled(t)
        assert list(given) == ["scores", "state"]
        for name, value in expected.items():
            torch.testing.assert_close(given[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_bits_depend_on_neither_batch_nor_threads(
    model: Classifier, compiled: bough.Compiled, trees: list[Node], threads: int
) -> None:
    other = bough.compile(model, (trees[3],), threads=threads, cache=False)
    for alone, together in zip([compiled(t) for t in trees], other.map(trees), strict=True):
        assert all(torch.equal(alone[name], together[name]) for name in alone)


def test_map_takes_several_inputs(compiled: bough.Compiled, trees: list[Node]) -> None:
    assert compiled.map([]) == []
    with pytest.raises(bough.InputError, match="BGH-IN-014"):
        compiled.map(trees[0])  # type: ignore[arg-type]


def test_portions_of_a_map_have_the_same_bits(compiled: bough.Compiled, trees: list[Node]) -> None:
    whole = compiled.map(trees)
    portions = compiled.executable._portions
    before, portions.limit = portions.limit, int(2.5 * portions.each)
    try:
        parts = compiled.map(trees)
    finally:
        portions.limit = before
    assert len(parts) == len(whole) and all(torch.equal(a[k], b[k]) for a, b in zip(parts, whole) for k in a)


def test_saved_and_loaded(compiled: bough.Compiled, trees: list[Node], tmp_path: Path) -> None:
    compiled.save(tmp_path / "tree.bough")
    loaded = bough.load(tmp_path / "tree.bough")
    assert torch.equal(loaded(trees[4])["scores"], compiled(trees[4])["scores"])


def test_from_the_cache(model: Classifier, compiled: bough.Compiled, trees: list[Node]) -> None:
    for _ in range(2):
        again = bough.compile(model, (trees[3],), threads=2)
        assert torch.equal(again(trees[4])["scores"], compiled(trees[4])["scores"])


def test_explained_by_line(compiled: bough.Compiled) -> None:
    rows = compiled.explain().rows
    inner = next(r for r in rows if any("self.inner(hl + hr)" in line for line in r.lines))
    products = 2.0 * 6 * 5 * HIDDEN * HIDDEN  # the example has seven leaves
    assert products <= inner.flops <= 1.5 * products


@pytest.mark.parametrize("switch", Switches.__dataclass_fields__)
def test_every_switch_only_changes_the_speed(
    model: Classifier, compiled: bough.Compiled, trees: list[Node], switch: str
) -> None:
    without = bough.compile(model, (trees[3],), switches=Switches(**{switch: False}), threads=2, cache=False)
    for t in trees[:5]:
        torch.testing.assert_close(without(t)["state"], compiled(t)["state"], rtol=1e-5, atol=1e-6)


class Everywhere(nn.Module):
    """Fills a list at every visit; with a memo, at the first visit of each object."""

    def __init__(self, memo: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, HIDDEN)
        self.mix = nn.Linear(HIDDEN, HIDDEN)
        self.memo = memo

    def visit(self, node: Node, states: list[torch.Tensor], known: dict[int, torch.Tensor]) -> torch.Tensor:
        if self.memo and id(node) in known:
            return known[id(node)]
        h = self.words(torch.tensor(node.word))
        if node.left is not None:
            h = h + self.visit(node.left, states, known) - self.visit(node.right, states, known)
        h = torch.tanh(self.mix(h))
        states.append(h)
        if self.memo:
            known[id(node)] = h
        return h

    def forward(self, node: Node) -> torch.Tensor:
        states: list[torch.Tensor] = []
        self.visit(node, states, {})
        return torch.stack(states)


@pytest.mark.parametrize("memo", [False, True])
def test_shared_objects_fill_lists_as_often_as_they_are_visited(memo: bool) -> None:
    torch.manual_seed(0)
    model = Everywhere(memo).eval().requires_grad_(False)
    shared = Node(3, Node(1), Node(2))
    samples = [Node(4, shared, Node(5, shared, shared.left)), shared, tree(9, random.Random(2))]
    compiled = bough.compile(model, (samples[0],), threads=1, cache=False)
    for sample, together in zip(samples, compiled.map(samples), strict=True):
        torch.testing.assert_close(compiled(sample), model(sample))
        assert torch.equal(compiled(sample), together)


class Table(nn.Module):
    """Takes rows by numbers of the objects, in the ways in which negative ones count from the end and in which they do not."""

    def __init__(self, wraps: bool) -> None:
        super().__init__()
        self.rows = nn.Embedding(WORDS, HIDDEN)
        self.wraps = wraps

    def forward(self, node: Node) -> torch.Tensor:
        h = self.rows.weight[node.word] if self.wraps else self.rows(torch.tensor(node.word))
        return h if node.left is None else torch.tanh(h + self(node.left) + self(node.right))


@pytest.mark.parametrize(("wraps", "lowest"), [(True, -WORDS), (False, 0)])
def test_rows_that_a_table_has_not_are_refused(wraps: bool, lowest: int) -> None:
    model = Table(wraps).eval().requires_grad_(False)
    compiled = bough.compile(model, (Node(1, Node(2), Node(3)),), threads=1, cache=False)
    for word in (lowest, -1 if wraps else 0, WORDS - 1):
        torch.testing.assert_close(compiled(Node(1, Node(word), Node(2))), model(Node(1, Node(word), Node(2))))
    for word in (lowest - 1, WORDS, 10**12):
        with pytest.raises(bough.InputError, match=r"(?s)BGH-ST-008.*self\.rows"):
            compiled(Node(1, Node(word), Node(2)))


class Bag:
    def __init__(self, word: int, *parts: Bag) -> None:
        self.word, self.parts = word, list(parts)


class Filled(nn.Module):
    """Asks whether a list that a loop over the parts has filled is empty, in all the ways there are."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, HIDDEN)
        self.mix = nn.Linear(HIDDEN, HIDDEN)
        self.way = way

    def forward(self, bag: Bag) -> torch.Tensor:
        states = []
        for part in bag.parts:
            states.append(self(part))
        word = self.words(torch.tensor(bag.word))
        if self.way == "not":
            if not states:
                return word
        elif self.way == "if":
            if states:
                pass
            else:
                return word
        elif self.way == "bool":
            if not bool(states):
                return word
        elif self.way == "and":
            if not (states and self.way):
                return word
        else:
            return torch.tanh(self.mix(torch.stack(states).sum(0))) if states else word
        return torch.tanh(self.mix(torch.stack(states).sum(0)))


@pytest.mark.parametrize("way", ["not", "if", "bool", "and", "else"])
def test_truth_of_a_list_that_a_loop_fills(way: str) -> None:
    torch.manual_seed(0)
    model = Filled(way).eval().requires_grad_(False)
    bag = Bag(1, Bag(2), Bag(3, Bag(4), Bag(5), Bag(6)), Bag(7, Bag(8)))
    compiled = bough.compile(model, (bag,), threads=1, cache=False)
    for b in (bag, bag.parts[0], bag.parts[1]):
        torch.testing.assert_close(compiled(b), model(b))
