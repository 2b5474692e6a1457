"""The suite of recursive models: its peers agree with eager PyTorch, and its work is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import bough
from bough.bench.problem import Choice
from bough.bench.suites import SUITES, trees
from bough.bench.tree_peers import ABLATIONS, TREE_PEERS, open_compiled
from bough.bench.tree_peers_dgl import FORMS
from bough.bench.tree_peers_levels import graphs, pairs
from bough.bench.tree_problem import TreeProblem, Workload, leaves
from bough.bench.tree_work import count, mean_work
from bough.bench.zoo import ZOO, Data, nodes
from bough.cli import main

CASES = [(name, data) for name, entry in ZOO.items() for data in entry.data]


def small(name: str, data: str, batch: int = 1, structures: int = 6, hidden: int = 8) -> TreeProblem:
    entry = ZOO[name]
    return Workload(entry, hidden, entry.data[data](Data(structures, hidden))).problem(batch)


def test_the_suite_holds_all_models_in_two_sizes_and_batches() -> None:
    cases = SUITES["trees"].cases(Choice())
    assert len(cases) == 4 * len(CASES) and len({case.name for case in cases}) == len(cases)
    assert {case.name for case in cases if case.name.startswith("mvrnn")} == {
        f"mvrnn/sentences-{hidden}-b{batch}" for hidden in (64, 128) for batch in (1, 10)
    }
    assert sum(case.quick for case in cases) == 2 * len(CASES)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("name", "data"), CASES)
def test_peers_agree_with_float64(name: str, data: str, batch: int) -> None:
    problem = small(name, data, batch, 3)
    assert [len(call) for call in problem.calls] == ([1, 1, 1] if batch == 1 else [2, 1])
    with torch.inference_mode():
        for peer in ("torch", "batched", "dgl"):
            if peer == "dgl" and (TREE_PEERS[peer].versions is None or type(problem.module) not in FORMS):
                continue
            session = TREE_PEERS[peer].open(problem, 1, Path())
            assert session.times == len(problem.calls)
            assert problem.error(session.outputs()) < problem.tolerance


@pytest.mark.parametrize(("name", "data"), CASES)
def test_every_model_compiles(name: str, data: str) -> None:
    compiles(small(name, data, structures=12))


@pytest.mark.parametrize("hidden", [16, 64])
def test_matrices_of_whole_vectors(hidden: int) -> None:
    """In the size that is measured, too: states of other sizes run on other instructions."""
    compiles(small("mvrnn", "sentences", structures=12, hidden=hidden))


def compiles(problem: TreeProblem) -> None:
    structures = [structure for call in problem.calls for structure in call]
    compiled = bough.compile(problem.module, (structures[0],), threads=2, cache=False)
    outputs = leaves([compiled(structure) for structure in structures])
    assert problem.error(outputs) < problem.tolerance
    for single, mapped in zip(outputs, leaves(compiled.map(structures)), strict=True):
        assert single.tobytes() == mapped.tobytes()


@pytest.mark.parametrize("batch", [1, 2])
def test_bough_as_it_is_measured(batch: int) -> None:
    problem = small("treefc", "sentences", batch)
    session = open_compiled(problem, 1, Path())
    session.call()
    assert session.times == len(problem.calls)
    assert problem.error(session.outputs()) < problem.tolerance


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_optimization_can_be_left_out(name: str) -> None:
    problem = small("childsum-treelstm", "sentences", 3)
    assert problem.error(ABLATIONS[name].open(problem, 1, Path()).outputs()) < problem.tolerance


def test_one_wrong_structure_shows() -> None:
    problem = small("rntn", "sentences")
    with torch.inference_mode():
        outputs = TREE_PEERS["eager1"].open(problem, 1, Path()).outputs()
    wrong = [array.copy() for array in outputs]
    wrong[4][0, 2] += 1e-3
    assert problem.error(wrong) > problem.tolerance
    assert problem.error(outputs[:-1]) == float("inf")


def test_chains_of_unequal_length() -> None:
    for name in ("lstm", "gru"):
        entry = ZOO[name]
        chains = entry.data["chains"](Data(3, 8))
        chains[1] = chains[1].previous.previous
        problem = Workload(entry, 8, chains).problem(3)
        with torch.inference_mode():
            assert problem.error(TREE_PEERS["batched"].open(problem, 1, Path()).outputs()) < problem.tolerance


def test_levels_of_trees() -> None:
    trees = [nodes.tree((("a", "b"), "c")), nodes.tree("d"), nodes.tree(("e", "f"))]
    levels = pairs(trees, lambda tree: None if tree.left is None else (tree.left, tree.right))
    assert [len(level) for level in levels.nodes] == [6, 2, 1] and levels.start == [0, 6, 8, 9]
    assert [children.tolist() for children in levels.children] == [[0, 1, 4, 5], [6, 2]]
    assert levels.roots.tolist() == [8, 3, 7] and levels.sizes == [5, 1, 3]
    assert levels.order.tolist() == [0, 1, 6, 2, 8, 3, 4, 5, 7]


def test_levels_of_graphs() -> None:
    corner = nodes.grid(2, 2, 1, torch.Generator().manual_seed(0))
    levels = graphs([corner], lambda vertex: vertex.sources)
    assert [len(level) for level in levels.nodes] == [1, 2, 1]
    assert [children.tolist() for children in levels.children] == [[0, 0], [1, 2]]
    assert levels.counts == [1, 2] and levels.sizes == [4]
    assert all(type(level) is int for level in levels.start)
    uneven = nodes.phrase(("a", ("b", "c")))
    uneven.children.append(nodes.Phrase(3))
    levels = graphs([uneven, nodes.phrase(("a", ("b", "c")))], lambda phrase: phrase.children)
    assert isinstance(levels.counts[1], torch.Tensor) and levels.counts[1].tolist() == [3, 2]


def test_the_work_of_a_tree() -> None:
    entry = ZOO["treefc"]
    model = entry.model(8)
    low, high = nodes.tree(("a", "b")), nodes.tree(((("a", "b"), "c"), ("d", "e")))
    product, weights = 2 * 16 * 8, 4 * 16 * 8
    small, large = count(model, low), count(model, high)
    assert (small.flops, list(small.reads.values())) == (product, [1])
    assert (large.flops, list(large.reads.values())) == (4 * product, [3])
    together, apart = mean_work([[small, large]]), mean_work([[small], [large]])
    assert together.flops == 5 * product and apart.flops == 2.5 * product
    assert [(t.bytes, t.working_set) for t in together.traffic] == [(3 * weights, weights)]
    assert [(t.bytes, t.working_set) for t in apart.traffic] == [(2 * weights, weights)]


def test_products_that_need_no_child_are_read_once() -> None:
    entry = ZOO["gru"]
    (chain,) = entry.data["chains"](Data(1, 8))
    needs = count(entry.model(8), chain)
    assert sorted(needs.reads.values()) == [1, 1, 100]  # the learned first state, the input weights, the recurrent ones
    assert needs.flops == 100 * 2 * 2 * 24 * 8


def test_the_work_of_a_grid_counts_shared_vertices_once() -> None:
    problem = small("dagrnn", "grids", structures=1)
    # 100 vertices, of which all but the last one go to others, and one classifier of 33 classes
    assert problem.work.flops == 2 * 8 * 8 * (100 + 99) + 2 * 8 * 33


def test_products_of_zeros_are_no_work() -> None:
    model = ZOO["syntax-treelstm"].model(8)
    leaf = nodes.Syntax(1)
    # a leaf needs its four projections, a parent one more for its child's forget gate and three for the sum
    assert count(model, leaf).flops == 2 * 8 * (4 * 8 + 10)
    assert count(model, nodes.Syntax(2, (leaf,))).flops == 2 * 8 * (4 * 8 * 2 + 4 * 8 + 10)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentences, file = tmp_path / "sentences.txt", tmp_path / "figures.json"
    sentences.write_text("(3 (2 (2 The) (2 Rock)) (4 (3 is) (4 (2 destined) (2 .))))\n" * 12)
    options = ["--quick", "--threads", "1", "--filter", "^treefc/sentences-256", "--sst", str(sentences), "--json", str(file)]
    with pytest.raises(SystemExit):
        main(["bench", "trees", *options])
    figures: dict[str, Any] = json.loads(file.read_text())
    assert [row["case"] for row in figures["rows"]] == ["treefc/sentences-256-b1", "treefc/sentences-256-b10"]
    for row in figures["rows"]:
        assert row["bough_ms"] > 0 and row["peers_ms"]["torch"] > 0 and row["peers_ms"]["batched"] > 0 and row["limit_ms"] > 0
        assert row["peak_mb"]["bough"] >= 0 and row["peak_mb"]["torch"] >= 0
    assert "batched ms" in capsys.readouterr().out


def test_a_build_takes_sentences_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "sentences.txt"
    file.write_text("(2 (2 a) (2 b))\n" * 3)
    assert trees.build("treefc", "sentences", 256, 1, Choice(True, file)).work.flops == 2 * 512 * 256
