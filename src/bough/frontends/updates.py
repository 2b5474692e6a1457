"""Updates in place (`y += x`, `relu_`) that are plain renamings, found without torch's functionalisation, which is slow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch
from torch.fx import Graph, Node

from bough.frontends.converters import CONVERTERS, overload_name
from bough.frontends.marked import marker_of


def functional_name(target: Any) -> str:
    """The overload that computes what an operator writes in place: `add_.Tensor` gives `add.Tensor`."""
    operator, overload = overload_name(target).rsplit(".", 1)
    return f"{operator.removesuffix('_')}.{overload}"


def plain_updates(graph: Graph) -> dict[Node, list[Node]]:
    """For each update in place that can be done by renaming: the nodes that stand for the updated tensor afterwards.

    That is so where no view of the tensor is ever taken and the tensor is made inside the graph.
    """
    sharing: dict[int, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        if marker_of(node) is not None:  # what takes a result out of its list stands for it
            continue
        for fake in _tensors(node.meta.get("val")):
            sharing[fake.untyped_storage()._cdata].append(node)
    found: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        if not writes(node) or functional_name(node.target) not in CONVERTERS or not isinstance(node.args[0], Node):
            continue
        storages = [fake.untyped_storage()._cdata for fake in _tensors(node.args[0].meta.get("val"))]
        group = sharing[storages[0]] if len(storages) == 1 else []
        if group and _is_one_tensor(group):
            found[node] = group
    return found


def writes(node: Node) -> bool:
    """Whether a node changes one of its arguments."""
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _is_one_tensor(group: list[Node]) -> bool:
    first, *later = group
    return first.op == "call_function" and not writes(first) and all(writes(n) for n in later)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from _tensors(v)
