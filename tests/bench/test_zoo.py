"""The models of the zoo and their structures, on eager PyTorch."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import torch

from bough.bench.tree_problem import in_float64, leaves, remembering
from bough.bench.zoo import ZOO, Data, corpora, nodes
from bough.bench.zoo.corpora import binary_syntax, perfect, read_brackets, statements, words

BRACKETS = "(3 (2 (2 The) (2 Rock)) (4 (3 is) (4 (2 destined) (2 .))))\n"
CASES = [(name, data) for name, entry in ZOO.items() for data in entry.data]


def test_trees_in_brackets() -> None:
    assert read_brackets(BRACKETS) == (("The", "Rock"), ("is", ("destined", ".")))
    assert read_brackets("(1 (2 a) (2 b) (2 c))") == ("a", ("b", "c"))
    assert read_brackets("(2 (2 one))") == "one"
    assert read_brackets("(2 (2 8\N{NO-BREAK SPACE}1/2) (2 2))") == ("8\N{NO-BREAK SPACE}1/2", "2")


@pytest.mark.parametrize("text", ["", "(2 (2 a)", "(2 a))", "word", "(2 a) (2 b)", "()"])
def test_what_is_no_tree_in_brackets(text: str) -> None:
    with pytest.raises(ValueError, match="not a tree in brackets"):
        read_brackets(text)


def test_sentences_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "sentences.txt"
    file.write_text(BRACKETS + "\n" + BRACKETS)
    assert corpora.sentences(5, file) == 2 * [read_brackets(BRACKETS)]
    assert corpora.sentences(1, file) == [read_brackets(BRACKETS)]


def test_statements_are_of_the_size_of_sentences() -> None:
    trees = [tree for _, tree in zip(range(50), statements(), strict=False)]
    assert all(10 <= len(list(words(tree))) <= 56 for tree in trees)
    assert len({str(tree) for tree in trees}) > 40


def test_a_statement_as_a_binary_tree() -> None:
    (statement,) = ast.parse("total = left + 1").body
    assert binary_syntax(statement) == ("Assign", ("total", ("BinOp", ("left", ("Add", "int")))))


def test_perfect_trees() -> None:
    (first, second) = perfect(2, 7)
    assert len(list(words(first))) == 128 and first != second
    assert perfect(2, 7) == [first, second]


def test_a_grid_shares_its_vertices() -> None:
    corner = nodes.grid(3, 4, 2, torch.Generator().manual_seed(0))
    seen: dict[int, nodes.Vertex] = {}
    rest, edges = [corner], 0
    while rest:
        vertex = rest.pop()
        if id(vertex) not in seen:
            seen[id(vertex)] = vertex
            edges += len(vertex.sources)
            rest += vertex.sources
    assert len(seen) == 12 and edges == 3 * 3 + 2 * 4
    assert corner.sources[0].sources[1] is corner.sources[1].sources[0]


@pytest.mark.parametrize(("name", "data"), CASES)
def test_every_model_runs_and_is_made_anew_alike(name: str, data: str) -> None:
    entry = ZOO[name]
    structures = entry.data[data](Data(3, 8))
    again = entry.data[data](Data(3, 8))
    assert len(structures) == 3
    with torch.inference_mode():
        model = entry.model(8) if entry.shared is None else remembering(entry.model(8), entry.shared)
        other = entry.model(8) if entry.shared is None else remembering(entry.model(8), entry.shared)
        assert not model.training and not any(p.requires_grad for p in model.parameters())
        outputs = [model(structure) for structure in structures]
        for first, second in zip(outputs, [other(structure) for structure in again], strict=True):
            torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert not torch.equal(outputs[0], outputs[1])
    for given, right in zip(leaves(outputs), in_float64(entry.model(8), entry.shared, structures), strict=True):
        assert right.dtype == "f8" and abs(given - right).max() < 1e-5


def test_remembering_changes_no_result() -> None:
    entry = ZOO["dagrnn"]
    corners = [nodes.grid(4, 4, 8, torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    model = entry.model(8)
    calls: list[Any] = []
    model.input.register_forward_hook(lambda *_: calls.append(1))
    with torch.inference_mode():
        plain = [model(corner) for corner in corners]
        calls.clear()
        other = remembering(model, "state")
        for expected, corner in zip(plain, corners, strict=True):
            assert torch.equal(other(corner), expected)
    assert len(calls) == 2 * 16
    assert torch.equal(model(corners[0]), plain[0]) and len(calls) > 3 * 16
