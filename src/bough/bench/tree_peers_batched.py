"""The models of the zoo batched by level by hand, as far as PyTorch goes.

Weights are packed for oneDNN ahead, activation functions fused where it does that, products too small for it go to MKL; gates
that share a function lie together, what depends on payloads only is computed for all nodes at once, and each level gathers the
states of its children once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bough.bench.tree_peers_expressions import expressions
from bough.bench.tree_peers_levels import Levels, graphs, pairs
from bough.bench.zoo.chains import ListGRU, ListLSTM
from bough.bench.zoo.dag_rnn import DagRNN
from bough.bench.zoo.expressions import ExpressionEncoder
from bough.bench.zoo.matrix_vector import MVRNN
from bough.bench.zoo.recursive_networks import RNTN, TreeFC, TreeRNN
from bough.bench.zoo.tree_gru import SimpleTreeGRU, TreeGRU
from bough.bench.zoo.tree_lstm import ChildSumTreeLSTM, SyntaxTreeLSTM, TreeLSTM

Batched = Callable[[Sequence[Any]], Sequence[Any]]
"""The outputs of a model for each of some structures."""


SMALL = 500_000
"""Multiplications up to which MKL's product takes less time than oneDNN's, whose calls cost 14 us more."""
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu_, "sigmoid": torch.sigmoid_, "tanh": torch.tanh_}


class Packed:
    """A linear layer with its weights packed for oneDNN, followed by `function` (none, relu, sigmoid, tanh)."""

    def __init__(self, weight: Tensor, bias: Tensor | None, function: str = "none") -> None:
        self.columns = weight.t().contiguous()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())
        self.bias, self.function = bias, function
        self.run = torch.ops.mkldnn._linear_pointwise.default

    def __call__(self, x: Tensor) -> Tensor:
        if len(x) * self.columns.numel() > SMALL:
            result: Tensor = self.run(x, self.weight, self.bias, self.function, [], "")
            return result
        y = torch.mm(x, self.columns) if self.bias is None else torch.addmm(self.bias, x, self.columns)
        return y if self.function == "none" else FUNCTIONS[self.function](y)


def packed(layer: nn.Linear, function: str = "none") -> Packed:
    return Packed(layer.weight, layer.bias, function)


def reordered(layer: nn.Linear, blocks: Sequence[int], function: str = "none") -> Packed:
    """The layer with its outputs, as many blocks as are named, in another order."""
    weights, biases = layer.weight.chunk(len(blocks)), layer.bias.chunk(len(blocks))
    return Packed(torch.cat([weights[b] for b in blocks]), torch.cat([biases[b] for b in blocks]), function)


def _tree(node: Any) -> tuple[Any, Any] | None:
    return None if node.left is None else (node.left, node.right)


def _tuple(node: Any) -> tuple[Any, Any] | None:
    return None if isinstance(node, int) else node


def _record(node: Any) -> tuple[Any, Any] | None:
    return None if "word" in node else (node["left"], node["right"])


def _words(levels: Levels) -> Tensor:
    return torch.tensor([leaf.word for leaf in levels.nodes[0]])


def _with_leaves(levels: Levels, leaves: Tensor) -> Tensor:
    """The states of all nodes, those of the leaves filled in."""
    states = leaves.new_empty(levels.start[-1], *leaves.shape[1:])
    states[: len(leaves)] = leaves
    return states


def _apply(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Each matrix times its vector; written so, it takes a quarter of the time of torch.bmm."""
    return (matrices * vectors.unsqueeze(1)).sum(-1)


def _sum(values: Tensor, counts: Tensor | int) -> Tensor:
    """The sums of so many rows each."""
    if isinstance(counts, int):
        return values.view(-1, counts, values.shape[-1]).sum(1)
    return values.new_zeros(len(counts), values.shape[-1]).index_add_(0, _parents(counts), values)


def _spread(values: Tensor, counts: Tensor | int) -> Tensor:
    """Each row so many times."""
    if isinstance(counts, int):
        return values.repeat_interleave(counts, 0) if counts > 1 else values
    return values.index_select(0, _parents(counts))


def _parents(counts: Tensor) -> Tensor:
    """0 so many times as counts[0] says, 1 as counts[1] says, and so on."""
    return torch.arange(len(counts)).repeat_interleave(counts)


def treefc(model: TreeFC) -> Batched:
    fc, table = packed(model.fc, "relu"), model.embedding.weight

    def run(trees: Sequence[Any]) -> Sequence[Any]:
        levels = pairs(trees, _tree)
        states = _with_leaves(levels, table[_words(levels)])
        for i, children in enumerate(levels.children, 1):
            pair = states.index_select(0, children).view(-1, 2 * table.shape[1])
            states[levels.start[i] : levels.start[i + 1]] = fc(pair)
        return states[levels.roots].unbind()

    return run


def treernn(model: TreeRNN) -> Batched:
    both = Packed(torch.cat((model.left.weight, model.right.weight), 1), model.left.bias, "tanh")
    classify, table = packed(model.classify), torch.tanh(model.embedding.weight)

    def run(trees: Sequence[Any]) -> Sequence[Any]:
        levels = pairs(trees, _tuple)
        states = _with_leaves(levels, table[torch.tensor(levels.nodes[0])])
        for i, children in enumerate(levels.children, 1):
            pair = states.index_select(0, children).view(-1, 2 * table.shape[1])
            states[levels.start[i] : levels.start[i + 1]] = both(pair)
        return torch.log_softmax(classify(states[levels.roots]), -1).unbind()

    return run


def rntn(model: RNTN) -> Batched:
    hidden = model.linear.out_features
    # One product gives both the rows of tensor @ pair and the linear part.
    bias = torch.cat((torch.zeros(2 * hidden * hidden), model.linear.bias))
    product = Packed(torch.cat((model.tensor.reshape(-1, 2 * hidden), model.linear.weight)), bias)
    classify, table = packed(model.classify), torch.tanh(model.embedding.weight)

    def run(trees: Sequence[Any]) -> Sequence[Any]:
        levels = pairs(trees, _tree)
        states = _with_leaves(levels, table[_words(levels)])
        for i, children in enumerate(levels.children, 1):
            pair = states.index_select(0, children).view(-1, 2 * hidden)
            rows, linear = torch.split(product(pair), [2 * hidden * hidden, hidden], -1)
            bilinear = _apply(rows.view(-1, hidden, 2 * hidden), pair)
            torch.tanh(bilinear.add_(linear), out=states[levels.start[i] : levels.start[i + 1]])
        return torch.split(torch.log_softmax(classify(states), -1)[levels.order], levels.sizes)

    return run


def mvrnn(model: MVRNN) -> Batched:
    hidden = model.vector.out_features
    compose, weight = packed(model.vector, "tanh"), model.matrix.weight

    def run(phrases: Sequence[Any]) -> Sequence[Any]:
        levels = pairs(phrases, _record)
        words = torch.tensor([leaf["word"] for leaf in levels.nodes[0]])
        vectors = _with_leaves(levels, model.vectors.weight[words])
        low_rank = torch.bmm(model.tall[words], model.wide[words])
        low_rank.diagonal(dim1=1, dim2=2).add_(model.diagonals[words])
        matrices = _with_leaves(levels, low_rank)
        for i, children in enumerate(levels.children, 1):
            place = slice(levels.start[i], levels.start[i + 1])
            vector, matrix = vectors.index_select(0, children), matrices.index_select(0, children)
            others = vector.view(-1, 2, hidden).flip(1).view(-1, hidden)
            crossed = _apply(matrix, others).view(-1, 2, hidden).flip(1).view(-1, 2 * hidden)
            vectors[place] = compose(crossed)
            stacked = matrix.view(-1, 2 * hidden, hidden)
            torch.bmm(weight.expand(len(stacked), -1, -1), stacked, out=matrices[place])
        return vectors[levels.roots].unbind()

    return run


def treegru(model: TreeGRU) -> Batched:
    leaf = packed(model.input)
    gates, candidate = packed(model.gates, "sigmoid"), packed(model.candidate, "tanh")
    carries = not isinstance(model, SimpleTreeGRU)
    table = model.embedding.weight

    def run(trees: Sequence[Any]) -> Sequence[Any]:
        levels = pairs(trees, _tree)
        update, new = leaf(table[_words(levels)]).chunk(2, -1)
        states = _with_leaves(levels, torch.sigmoid(-update).mul_(torch.tanh(new)))
        for i, children in enumerate(levels.children, 1):
            total = _sum(states.index_select(0, children), 2)
            reset, update = gates(total).chunk(2, -1)
            new = candidate(reset * total)
            place = states[levels.start[i] : levels.start[i + 1]]
            if carries:
                torch.lerp(new, total, update, out=place)
            else:
                torch.sub(new, update * new, out=place)
        return states[levels.roots].unbind()

    return run


def treelstm(model: TreeLSTM) -> Batched:
    hidden = model.gates.out_features // 5
    leaf, gates, table = packed(model.input), reordered(model.gates, (0, 3, 1, 2, 4)), model.embedding.weight

    def run(trees: Sequence[Any]) -> Sequence[Any]:
        levels = pairs(trees, _tree)
        x = leaf(table[_words(levels)])
        io, u = torch.sigmoid(x[:, : 2 * hidden]), torch.tanh(x[:, 2 * hidden :])
        c = _with_leaves(levels, u.mul_(io[:, :hidden]))
        h = _with_leaves(levels, torch.tanh(u).mul_(io[:, hidden:]))
        for i, children in enumerate(levels.children, 1):
            place = slice(levels.start[i], levels.start[i + 1])
            pre = gates(h.index_select(0, children).view(-1, 2 * hidden))
            s, u = torch.sigmoid(pre[:, : 4 * hidden]), torch.tanh(pre[:, 4 * hidden :])
            kept = c.index_select(0, children).view(-1, 2 * hidden).mul_(s[:, 2 * hidden :])
            _finish(s, u, kept[:, :hidden].add_(kept[:, hidden:]), h[place], c[place])
        return h[levels.roots].unbind()

    return run


def _finish(s: Tensor, u: Tensor, kept: Tensor, h: Tensor, c: Tensor) -> None:
    """c = input gate * u + kept; h = output gate * tanh(c). The gates are the first two blocks of s."""
    hidden = u.shape[-1]
    torch.addcmul(kept, s[:, :hidden], u, out=c)
    torch.mul(s[:, hidden : 2 * hidden], torch.tanh(c), out=h)


def childsum(model: ChildSumTreeLSTM) -> Batched:
    hidden = model.forget.out_features
    leaf, gates, forget = packed(model.input), packed(model.gates), packed(model.forget, "sigmoid")
    table = model.embedding.weight

    def run(phrases: Sequence[Any]) -> Sequence[Any]:
        levels = graphs(phrases, lambda phrase: phrase.children)
        x = leaf(table[_words(levels)])
        io, u = torch.sigmoid(x[:, : 2 * hidden]), torch.tanh(x[:, 2 * hidden :])
        c = _with_leaves(levels, u.mul_(io[:, :hidden]))
        h = _with_leaves(levels, torch.tanh(u).mul_(io[:, hidden:]))
        for i, (children, counts) in enumerate(zip(levels.children, levels.counts), 1):
            place = slice(levels.start[i], levels.start[i + 1])
            below = h.index_select(0, children)
            pre = gates(_sum(below, counts))
            s, u = torch.sigmoid(pre[:, : 2 * hidden]), torch.tanh(pre[:, 2 * hidden :])
            _finish(s, u, _sum(forget(below).mul_(c.index_select(0, children)), counts), h[place], c[place])
        return h[levels.roots].unbind()

    return run


def syntax(model: SyntaxTreeLSTM) -> Batched:
    hidden = model.w_f.out_features
    inputs = Packed(torch.cat((model.w_iou.weight, model.w_f.weight)), torch.cat((model.w_iou.bias, model.w_f.bias)))
    gates, forget, classify = packed(model.u_iou), packed(model.u_f), packed(model.classify)
    table = model.kinds.weight

    def run(trees: Sequence[Any]) -> Sequence[Any]:
        levels = graphs(trees, lambda node: node.children)
        x = inputs(table[torch.tensor([node.kind for node in levels.all_nodes()])])
        h, c = x.new_empty(len(x), hidden), x.new_empty(len(x), hidden)
        first = slice(0, levels.start[1])
        s, u = torch.sigmoid(x[first, : 2 * hidden]), torch.tanh(x[first, 2 * hidden : 3 * hidden])
        _finish(s, u, torch.zeros_like(u), h[first], c[first])
        for i, (children, counts) in enumerate(zip(levels.children, levels.counts), 1):
            place = slice(levels.start[i], levels.start[i + 1])
            below = h.index_select(0, children)
            pre = gates(_sum(below, counts)).add_(x[place, : 3 * hidden])
            s, u = torch.sigmoid(pre[:, : 2 * hidden]), torch.tanh(pre[:, 2 * hidden :])
            f = forget(below).add_(_spread(x[place, 3 * hidden :], counts)).sigmoid_()
            _finish(s, u, _sum(f.mul_(c.index_select(0, children)), counts), h[place], c[place])
        return classify(h[levels.roots]).unbind()

    return run


def dagrnn(model: DagRNN) -> Batched:
    inputs, recurrent, classify = packed(model.input), packed(model.recurrent), packed(model.classify)

    def run(vertices: Sequence[Any]) -> Sequence[Any]:
        levels = graphs(vertices, lambda vertex: vertex.sources)
        states = inputs(torch.stack([vertex.features for vertex in levels.all_nodes()]))
        states[: levels.start[1]].tanh_()
        for i, (children, counts) in enumerate(zip(levels.children, levels.counts), 1):
            total = _sum(states.index_select(0, children), counts)
            states[levels.start[i] : levels.start[i + 1]].add_(recurrent(total)).tanh_()
        return classify(states[levels.roots]).unbind()

    return run


def _chain(last: Any) -> list[Any]:
    """The nodes of a linked list, the first one first."""
    nodes = []
    while last is not None:
        nodes.append(last)
        last = last.previous
    return nodes[::-1]


def _steps(chains: Sequence[Tensor]) -> Any:
    """Sequences as a layer takes them: stacked where they are equally long, which is faster."""
    if len({*map(len, chains)}) == 1:
        return torch.stack(list(chains), 1)
    return nn.utils.rnn.pack_sequence(list(chains), enforce_sorted=False)


def _layer(cell: nn.RNNCellBase, layer: nn.RNNBase) -> nn.RNNBase:
    """PyTorch's whole layer with the weights of a cell."""
    with torch.no_grad():
        for name, value in cell.named_parameters():
            getattr(layer, f"{name}_l0").copy_(value)
    return layer.eval().requires_grad_(False)


def lstm(model: ListLSTM) -> Batched:
    layer = _layer(model.cell, nn.LSTM(model.hidden, model.hidden))
    table = model.embedding.weight

    def run(words: Sequence[Any]) -> Sequence[Any]:
        indices = [torch.tensor([word.index for word in _chain(last)]) for last in words]
        _, (h, _) = layer(_steps([table[index] for index in indices]))
        return list(h[0])

    return run


def gru(model: ListGRU) -> Batched:
    layer, first = _layer(model.cell, nn.GRU(model.cell.input_size, model.cell.hidden_size)), model.first

    def run(frames: Sequence[Any]) -> Sequence[Any]:
        chains = [torch.stack([frame.features for frame in _chain(last)]) for last in frames]
        _, h = layer(_steps(chains), first.expand(1, len(chains), -1).contiguous())
        return list(h[0])

    return run


BATCHED: dict[type[nn.Module], Callable[[Any], Batched]] = {
    TreeFC: treefc,
    TreeRNN: treernn,
    RNTN: rntn,
    MVRNN: mvrnn,
    TreeGRU: treegru,
    SimpleTreeGRU: treegru,
    TreeLSTM: treelstm,
    ChildSumTreeLSTM: childsum,
    SyntaxTreeLSTM: syntax,
    DagRNN: dagrnn,
    ListLSTM: lstm,
    ListGRU: gru,
    ExpressionEncoder: lambda model: expressions(model, Packed),
}
"""The batched form of each model of the zoo."""
