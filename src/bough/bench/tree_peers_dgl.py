"""The tree models of the zoo as message passing in DGL, as its own tree example does: children send, each level is pulled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bough.bench.peers import Session
from bough.bench.tree_peers_levels import Levels, graphs, pairs
from bough.bench.tree_problem import TreeProblem, tree_session
from bough.bench.zoo.recursive_networks import TreeFC
from bough.bench.zoo.tree_gru import SimpleTreeGRU, TreeGRU
from bough.bench.zoo.tree_lstm import ChildSumTreeLSTM, TreeLSTM

States = dict[str, Tensor]
Form = tuple[Callable[[Sequence[Any]], Levels], Callable[[Levels], States], Callable[[Any], States]]
"""How structures are cut into levels, the states of leaves, and the states of nodes from the mailbox of their children."""


def _trees(structures: Sequence[Any]) -> Levels:
    return pairs(structures, lambda tree: None if tree.left is None else (tree.left, tree.right))


def _phrases(structures: Sequence[Any]) -> Levels:
    return graphs(structures, lambda phrase: phrase.children)


def _embedded(model: Any, levels: Levels) -> Tensor:
    rows: Tensor = model.embedding(torch.tensor([leaf.word for leaf in levels.nodes[0]]))
    return rows


def treefc(model: TreeFC) -> Form:
    def reduce(nodes: Any) -> States:
        return {"h": torch.relu(model.fc(nodes.mailbox["h"].flatten(1)))}

    return _trees, lambda levels: {"h": _embedded(model, levels)}, reduce


def treegru(model: TreeGRU) -> Form:
    def leaf(levels: Levels) -> States:
        update, candidate = model.input(_embedded(model, levels)).chunk(2, -1)
        return {"h": (1 - torch.sigmoid(update)) * torch.tanh(candidate)}

    def reduce(nodes: Any) -> States:
        total = nodes.mailbox["h"].sum(1)
        reset, update = torch.sigmoid(model.gates(total)).chunk(2, -1)
        return {"h": model.mix(update, torch.tanh(model.candidate(reset * total)), total)}

    return _trees, leaf, reduce


def _memory(gates: Tensor, kept: Tensor | float) -> States:
    i, o, u = gates.chunk(3, -1)
    c = torch.sigmoid(i) * torch.tanh(u) + kept
    return {"h": torch.sigmoid(o) * torch.tanh(c), "c": c}


def treelstm(model: TreeLSTM) -> Form:
    def leaf(levels: Levels) -> States:
        return _memory(model.input(_embedded(model, levels)), 0.0)

    def reduce(nodes: Any) -> States:
        i, left, right, o, u = model.gates(nodes.mailbox["h"].flatten(1)).chunk(5, -1)
        forget = torch.sigmoid(torch.stack((left, right), 1))
        return _memory(torch.cat((i, o, u), -1), (forget * nodes.mailbox["c"]).sum(1))

    return _trees, leaf, reduce


def childsum(model: ChildSumTreeLSTM) -> Form:
    def leaf(levels: Levels) -> States:
        return _memory(model.input(_embedded(model, levels)), 0.0)

    def reduce(nodes: Any) -> States:
        h, c = nodes.mailbox["h"], nodes.mailbox["c"]
        return _memory(model.gates(h.sum(1)), (torch.sigmoid(model.forget(h)) * c).sum(1))

    return _phrases, leaf, reduce


FORMS: dict[type[nn.Module], Callable[[Any], Form]] = {
    TreeFC: treefc,
    TreeGRU: treegru,
    SimpleTreeGRU: treegru,
    TreeLSTM: treelstm,
    ChildSumTreeLSTM: childsum,
}
"""The models that are written for DGL."""


def open_dgl(problem: TreeProblem, threads: int, _: Path) -> Session:
    """Raises LookupError for a model that is not written for DGL."""
    import dgl

    if type(problem.module) not in FORMS:
        raise LookupError("this model is not written for DGL")
    cut, leaf, reduce = FORMS[type(problem.module)](problem.module)

    def send(edges: Any) -> States:
        return dict(edges.src)

    def run(structures: Sequence[Any]) -> Sequence[Tensor]:
        levels = cut(structures)
        if len(levels.nodes) == 1:
            return list(leaf(levels)["h"][levels.roots])
        width = [len(below) for below in levels.children]
        parents = torch.cat([_parents(levels, i, count) for i, count in enumerate(width)])
        graph = dgl.graph((torch.cat(levels.children), parents), num_nodes=levels.start[-1])
        for name, value in leaf(levels).items():
            states = value.new_zeros(levels.start[-1], value.shape[1])
            states[: len(value)] = value
            graph.ndata[name] = states
        frontiers = [torch.arange(a, b) for a, b in zip(levels.start[1:], levels.start[2:])]
        dgl.prop_nodes(graph, frontiers, send, reduce, None)
        return list(graph.ndata["h"][levels.roots])

    return tree_session(problem, run, threads)


def _parents(levels: Levels, level: int, width: int) -> Tensor:
    numbers = torch.arange(levels.start[level + 1], levels.start[level + 2])
    return numbers.repeat_interleave(levels.counts[level], output_size=width)
