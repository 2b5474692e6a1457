"""What a graph gives besides computed values: its inputs, views of them, sizes; and which memory it writes to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from bough.base.errors import CompileError
from bough.frontends import locations
from bough.frontends.updates import writes


@dataclass(frozen=True, slots=True)
class Outputs:
    """`computed` are the nodes whose values the compiled function gives.

    `finish(*inputs, *computed)` gives the graph's own outputs: it takes the inputs with the numbers `needed`, and makes views
    and numbers again. None where the outputs are the computed values.
    """

    computed: tuple[Node, ...]
    needed: tuple[int, ...]
    finish: GraphModule | None


def classify(graph_module: GraphModule) -> Outputs:
    """Sorts the outputs of a graph of ATen operators. Tensors that share memory in eager mode share it afterwards too: all but
    one are views of that one.

    Raises CompileError where the graph changes the shape of an input.
    """
    graph = graph_module.graph
    of_input = {storage for node in graph.find_nodes(op="placeholder") for storage in storages(node)}
    outputs: tuple[Any, ...] = graph.output_node().args[0]  # type: ignore[assignment]
    sharing: dict[int, set[Node]] = defaultdict(set)
    for node in _nodes(outputs):
        for storage in storages(node):
            sharing[storage].add(node)
    _check_shapes(graph, of_input, sharing)
    computed: dict[Node, None] = {}
    for node in _nodes(outputs):
        for storage in storages(node):
            if storage not in of_input:
                computed[_origin(graph, storage) if len(sharing[storage]) > 1 else node] = None
    if tuple(computed) == outputs:
        return Outputs(outputs, (), None)
    return Outputs(tuple(computed), *_finish(graph_module, outputs, tuple(computed)))


def _nodes(outputs: Any) -> list[Node]:
    return [o for o in outputs if isinstance(o, Node)]


def storages(node: Any) -> list[int]:
    """The memory of a node's value, by number."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    return [value.untyped_storage()._cdata] if isinstance(value, torch.Tensor) else []


def _origin(graph: Graph, storage: int) -> Node:
    """The node that made a memory."""
    origin: Node = next(node for node in graph.nodes if storage in storages(node))
    return origin


def written(node: Node) -> list[int]:
    """The memory of the arguments that a node writes to, or gives another shape."""
    if not isinstance(node.target, torch._ops.OpOverload) or not writes(node) or node.target is torch.ops.aten.detach_.default:
        return []
    found: list[int] = []
    for argument, value in zip(node.target._schema.arguments, node.args, strict=False):
        if argument.alias_info is not None and argument.alias_info.is_write:
            found += [s for v in (value if isinstance(value, (list, tuple)) else [value]) for s in storages(v)]
    return found


def _check_shapes(graph: Graph, of_input: set[int], sharing: Mapping[int, set[Node]]) -> None:
    """An operator such as `unsqueeze_` must not change a tensor that the caller has, or one of two outputs."""
    for node in graph.nodes:
        if torch.Tag.inplace_view not in getattr(node.target, "tags", ()):
            continue
        if any(s in of_input or len(sharing.get(s, ())) > 1 for s in written(node)):
            raise CompileError(
                f"{node.target} changes the shape of an input or of one of several outputs that share memory",
                code="BGH-MUT-002",
                because="a tensor has one shape in a compiled function",
                advice="use the operator that gives a new tensor",
                location=locations.of_node(node),
            )


def _finish(
    graph_module: GraphModule, outputs: tuple[Any, ...], computed: tuple[Node, ...]
) -> tuple[tuple[int, ...], GraphModule]:
    """The graph that makes the outputs from computed ones, and the numbers of the inputs that it takes."""
    graph = Graph()
    inputs = graph_module.graph.find_nodes(op="placeholder")
    wanted = _ancestors(outputs, set(computed))
    needed = tuple(n for n, node in enumerate(inputs) if node in wanted)
    copies: dict[Node, Any] = {inputs[n]: graph.placeholder(f"x{n}") for n in needed}
    copies |= {node: graph.placeholder(f"y{n}") for n, node in enumerate(computed)}
    for node in graph_module.graph.nodes:
        if node not in wanted or node in copies:
            continue
        copies[node] = copies[node.args[0]] if written(node) else graph.node_copy(node, copies.__getitem__)
    graph.output(tuple(copies[o] if isinstance(o, Node) else o for o in outputs))
    return needed, GraphModule(graph_module, graph)


def _ancestors(outputs: tuple[Any, ...], known: set[Node]) -> set[Node]:
    """The nodes that outputs are made from, down to the known ones. What a node writes to stands for the node."""
    found: set[Node] = set()
    todo = _nodes(outputs)
    while todo:
        node = todo.pop()
        if node in found:
            continue
        found.add(node)
        if node not in known:
            todo += [node.args[0]] if written(node) and isinstance(node.args[0], Node) else node.all_input_nodes
    return found
