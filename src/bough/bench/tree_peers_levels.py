"""Structures cut into levels, for models that are batched by hand: one walk in Python, then index arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

HEIGHT = 32
"""A node is called `height << HEIGHT | position in its level` until the sizes of all levels are known."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Nodes of several structures by height, numbered level by level; `start[i]` is the first of level i.

    `children[i]` are the children of the nodes of level i + 1, in order; `counts[i]` how many each of these nodes has, one number
    where all have as many. `roots` are the structures' roots. `order` are all nodes, structure after structure, children
    before their parents; `sizes` how many nodes each structure has.
    """

    nodes: list[list[Any]]
    start: list[int]
    children: list[Tensor]
    counts: list[Tensor | int]
    roots: Tensor
    order: Tensor
    sizes: list[int]

    def all_nodes(self) -> list[Any]:
        return [node for level in self.nodes for node in level]


def pairs(structures: Sequence[Any], split: Callable[[Any], tuple[Any, Any] | None]) -> Levels:
    """Levels of binary trees. `split` gives the two children of a node, or None for a leaf."""
    nodes: list[list[Any]] = [[]]
    below: list[list[int]] = [[]]
    order: list[int] = []

    def visit(node: Any) -> int:
        if (both := split(node)) is None:
            name = len(nodes[0])
            nodes[0].append(node)
        else:
            left, right = visit(both[0]), visit(both[1])
            height = ((left if left > right else right) >> HEIGHT) + 1
            if height == len(nodes):
                nodes.append([])
                below.append([])
            name = height << HEIGHT | len(nodes[height])
            nodes[height].append(node)
            below[height] += left, right
        order.append(name)
        return name

    roots, sizes = _visit_all(structures, visit, order)
    return _levels(nodes, below, [2] * (len(nodes) - 1), roots, order, sizes)


def graphs(structures: Sequence[Any], children: Callable[[Any], Sequence[Any]]) -> Levels:
    """Levels of structures whose nodes have any number of children, and may be children of several."""
    nodes: list[list[Any]] = [[]]
    below: list[list[int]] = [[]]
    counts: list[list[int]] = [[]]
    order: list[int] = []
    known: dict[int, int] = {}

    def visit(node: Any) -> int:
        if (name := known.get(id(node))) is not None:
            return name
        under = [visit(child) for child in children(node)]
        height = (max(under) >> HEIGHT) + 1 if under else 0
        if height == len(nodes):
            nodes.append([])
            below.append([])
            counts.append([])
        name = known[id(node)] = height << HEIGHT | len(nodes[height])
        nodes[height].append(node)
        below[height] += under
        counts[height].append(len(under))
        order.append(name)
        return name

    roots, sizes = _visit_all(structures, visit, order)
    many = [count[0] if min(count) == max(count) else torch.tensor(count) for count in counts[1:]]
    return _levels(nodes, below, many, roots, order, sizes)


def _visit_all(structures: Sequence[Any], visit: Callable[[Any], int], order: list[int]) -> tuple[list[int], list[int]]:
    roots, sizes = [], []
    for structure in structures:
        before = len(order)
        roots.append(visit(structure))
        sizes.append(len(order) - before)
    return roots, sizes


def _levels(
    nodes: list[list[Any]],
    below: list[list[int]],
    counts: list[Tensor | int],
    roots: list[int],
    order: list[int],
    sizes: list[int],
) -> Levels:
    start = np.cumsum([0, *map(len, nodes)])
    names = np.array([name for level in (*below, roots, order) for name in level], np.int64)
    numbers = torch.from_numpy(start[names >> HEIGHT] + (names & ((1 << HEIGHT) - 1)))
    *children, first, last = torch.split(numbers, [*map(len, below[1:]), len(roots), len(order)])
    return Levels(nodes, start.tolist(), list(children), counts, first, last, sizes)
