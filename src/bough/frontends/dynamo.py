"""Graphs that Dynamo finds in a program, for `torch.compile`: traced while Dynamo waits, ready to become Programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule, Node

from bough.base.errors import CompileError
from bough.frontends.dropout import remove_from
from bough.frontends.dynamo_outputs import Outputs, classify, storages, written
from bough.frontends.dynamo_trace import Fakes, autocast, fake_inputs, functional, remove_unused, to_aten
from bough.frontends.trace import check_tensor
from bough.frontends.translate import is_translatable


@dataclass(frozen=True, slots=True)
class Captured:
    """A graph that can become Programs. `names` are those of its inputs. `weights` numbers the inputs that are parameters and
    buffers which the graph does not write to, `written` those that it does write to. `graph_module` gives the values that
    `outputs` says to compute, then the last values of the written inputs."""

    graph_module: GraphModule
    fakes: Fakes
    names: tuple[str, ...]
    outputs: Outputs
    written: tuple[int, ...]
    weights: tuple[int, ...]


def capture(graph_module: GraphModule, examples: Sequence[Any]) -> Captured:
    """Traces a graph that Dynamo hands to its backend, called from there.

    Raises CompileError for what cannot be compiled.
    """
    sources = graph_module.graph.find_nodes(op="placeholder")
    names = tuple(str(node.target).strip("_") for node in sources)
    for name, example in zip(names, examples, strict=True):
        _check(name, example)
    if torch.is_autocast_enabled("cpu"):
        raise autocast()
    fakes = fake_inputs(examples)
    aten = to_aten(graph_module, fakes)
    remove_from(aten.graph)
    remove_unused(aten.graph)
    outputs = classify(aten)
    computing, changed = _computing(aten, outputs, fakes)
    fixed = [n for n, s in enumerate(sources) if n not in changed and _is_weight(s, examples[n])]
    return Captured(computing, fakes, names, outputs, changed, tuple(fixed))


def _check(name: str, example: Any) -> None:
    if type(example) in (torch.Tensor, nn.Parameter):
        check_tensor(example, f"`{name}`")
    elif not isinstance(example, (int, torch.SymInt)):
        raise CompileError(
            f"the input `{name}` of a graph is a {type(example).__name__}",
            code="BGH-ARG-001",
            because="compiled functions take plain tensors and sizes",
            advice="leave what uses it out of the compiled part of the program",
        )


def _is_weight(source: Node, example: Any) -> bool:
    """Whether Dynamo found an input as a parameter or buffer of a module, and its updates can be noticed."""
    if not isinstance(example, torch.Tensor) or example.is_inference():
        return False
    return "_dynamo_static_input_type" in (source.meta.get("tensor_dict") or {}) or isinstance(example, nn.Parameter)


def _computing(aten: GraphModule, outputs: Outputs, fakes: Fakes) -> tuple[GraphModule, tuple[int, ...]]:
    """The graph that gives the computed values, then the last values of the inputs that it writes to; and their numbers."""
    inputs = aten.graph.find_nodes(op="placeholder")
    of_input = {storage for node in inputs for storage in storages(node)}
    updates = [storage for node in aten.graph.nodes for storage in written(node) if storage in of_input]
    aten.graph.output_node().args = (outputs.computed,)
    if not updates and is_translatable(aten):
        remove_unused(aten.graph)
        return aten, ()
    aten.graph.output_node().args = ((*outputs.computed, *inputs),)
    aten.recompile()
    plain = functional(aten, fakes)
    results: tuple[Any, ...] = plain.graph.output_node().args[0]  # type: ignore[assignment]
    computed, last = results[: len(outputs.computed)], results[len(outputs.computed) :]
    same = plain.graph.find_nodes(op="placeholder")
    changed = tuple(n for n, node in enumerate(inputs) if storages(node) and last[n] is not same[n])
    _check_apart(inputs, changed)
    plain.graph.output_node().args = ((*computed, *(last[n] for n in changed)),)
    remove_unused(plain.graph)
    return plain, changed


def _check_apart(inputs: list[Node], changed: tuple[int, ...]) -> None:
    sharing = Counter(storage for node in inputs for storage in storages(node))
    shared = [n for n in changed if any(sharing[storage] > 1 for storage in storages(inputs[n]))]
    if shared:
        raise CompileError(
            "a graph changes an input that shares its memory with another",
            code="BGH-MUT-002",
            because="both would change, which compiled code does not see",
            advice="pass a copy",
        )
