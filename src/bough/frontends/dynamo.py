"""Graphs that Dynamo finds in a program, for `torch.compile`: traced while Dynamo waits, ready to become Programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule, Node

from bough.base.errors import CompileError
from bough.frontends.dropout import remove_from
from bough.frontends.dynamo_outputs import Outputs, classify
from bough.frontends.dynamo_trace import Fakes, autocast, fake_inputs, functional, remove_unused, to_aten
from bough.frontends.trace import check_tensor
from bough.frontends.translate import is_translatable


@dataclass(frozen=True, slots=True)
class Captured:
    """A graph that can become Programs. `names` are those of its inputs. `weights` numbers the inputs that are parameters and
    buffers which the graph does not write to; `outputs` says what becomes of its results."""

    graph_module: GraphModule
    fakes: Fakes
    names: tuple[str, ...]
    outputs: Outputs
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
    fixed = [n for n, s in enumerate(sources) if n not in outputs.written and _is_weight(s, examples[n])]
    return Captured(_computing(aten, outputs, fakes), fakes, names, outputs, tuple(fixed))


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


def _computing(aten: GraphModule, outputs: Outputs, fakes: Fakes) -> GraphModule:
    """The graph with the computed values for outputs, then the last values of the inputs that it writes to."""
    inputs = aten.graph.find_nodes(op="placeholder")
    aten.graph.output_node().args = ((*outputs.computed, *(inputs[n] for n in outputs.written)),)
    aten.recompile()
    if not outputs.written and is_translatable(aten):
        remove_unused(aten.graph)
        return aten
    plain = functional(aten, fakes)
    remove_unused(plain.graph)
    return plain
