"""The models of the zoo by name, and the structures that each is run on."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bough.bench.zoo import corpora, nodes
from bough.bench.zoo.chains import ListGRU, ListLSTM
from bough.bench.zoo.corpora import VOCABULARY, Binary
from bough.bench.zoo.dag_rnn import DagRNN
from bough.bench.zoo.expressions import ExpressionEncoder, expression
from bough.bench.zoo.matrix_vector import MVRNN
from bough.bench.zoo.recursive_networks import RNTN, TreeFC, TreeRNN
from bough.bench.zoo.tree_gru import SimpleTreeGRU, TreeGRU
from bough.bench.zoo.tree_lstm import ChildSumTreeLSTM, SyntaxTreeLSTM, TreeLSTM

HEIGHT = 7
SIDE = 10
LENGTH = 100
SYMBOLS = 50


@dataclass(frozen=True, slots=True)
class Data:
    """Which structures to make: how many, for a model of which hidden size, and whether from a file of sentences."""

    count: int = 200
    hidden: int = 256
    sentences: Path | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A model and its structures. `build` takes the hidden size; `data` names data sets; `hidden` are two sizes to measure.
    `shared`: the method that meets the same node on many paths, and which eager PyTorch must be kept from repeating."""

    name: str
    build: Callable[[int], nn.Module]
    data: Mapping[str, Callable[[Data], list[Any]]]
    hidden: tuple[int, int] = (256, 512)
    shared: str | None = None

    def model(self, hidden: int, seed: int = 0) -> nn.Module:
        """With random weights that depend on the seed alone; in evaluation mode, without gradients."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.build(hidden).eval().requires_grad_(False)


def on_sentences(make: Callable[[Binary], Any]) -> Callable[[Data], list[Any]]:
    return lambda data: [make(tree) for tree in corpora.sentences(data.count, data.sentences)]


def on_perfect_trees(make: Callable[[Binary], Any]) -> Callable[[Data], list[Any]]:
    return lambda data: [make(tree) for tree in corpora.perfect(data.count, HEIGHT)]


def syntax_trees(data: Data) -> list[Any]:
    return [nodes.syntax(function) for _, function in islice(corpora.functions(corpora.PACKAGES), data.count)]


def grids(data: Data) -> list[Any]:
    generator = torch.Generator().manual_seed(0)
    return [nodes.grid(SIDE, SIDE, data.hidden, generator) for _ in range(data.count)]


def chains_of_words(data: Data) -> list[Any]:
    draw = random.Random(0)
    return [nodes.words(LENGTH, draw, VOCABULARY) for _ in range(data.count)]


def chains_of_frames(data: Data) -> list[Any]:
    generator = torch.Generator().manual_seed(0)
    return [nodes.frames(LENGTH, data.hidden, generator) for _ in range(data.count)]


def expressions(data: Data) -> list[Any]:
    draw = random.Random(0)
    return [expression(draw, SYMBOLS) for _ in range(data.count)]


def _with_words(model: Callable[[int, int], nn.Module]) -> Callable[[int], nn.Module]:
    return lambda hidden: model(hidden, VOCABULARY)


ZOO: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            "treefc",
            _with_words(TreeFC),
            {"sentences": on_sentences(nodes.tree), "perfect": on_perfect_trees(nodes.tree)},
        ),
        Entry("treernn", _with_words(TreeRNN), {"sentences": on_sentences(nodes.nested)}),
        Entry("treegru", _with_words(TreeGRU), {"sentences": on_sentences(nodes.tree)}),
        Entry("simple-treegru", _with_words(SimpleTreeGRU), {"sentences": on_sentences(nodes.tree)}),
        Entry("treelstm", _with_words(TreeLSTM), {"sentences": on_sentences(nodes.tree)}),
        Entry("childsum-treelstm", _with_words(ChildSumTreeLSTM), {"sentences": on_sentences(nodes.phrase)}),
        Entry("mvrnn", _with_words(MVRNN), {"sentences": on_sentences(nodes.record)}, (64, 128)),
        Entry("rntn", _with_words(RNTN), {"sentences": on_sentences(nodes.tree)}, (32, 64)),
        Entry("dagrnn", DagRNN, {"grids": grids}, shared="state"),
        Entry("lstm", _with_words(ListLSTM), {"chains": chains_of_words}),
        Entry("gru", ListGRU, {"chains": chains_of_frames}),
        Entry("syntax-treelstm", _with_words(SyntaxTreeLSTM), {"syntax": syntax_trees}),
        Entry("expressions", lambda hidden: ExpressionEncoder(hidden, SYMBOLS), {"expressions": expressions}),
    )
}
