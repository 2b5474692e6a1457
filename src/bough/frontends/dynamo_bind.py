"""A graph of Dynamo becomes a Program: some inputs are its arguments, others constants, and sizes are read from the arguments."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sympy  # type: ignore[import-untyped]
import torch
from torch._export.verifier import TrainingIRVerifier
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, InputKind, InputSpec, OutputKind, OutputSpec, TensorArgument
from torch.fx import Graph, Node
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from bough.frontends.computed_sizes import ComputedSizes
from bough.frontends.dynamo import Captured
from bough.frontends.errors import MissingOperators
from bough.frontends.structure import Slot
from bough.frontends.symbols import Symbols
from bough.frontends.torch_export import Imported
from bough.frontends.trace import Trace
from bough.frontends.translate import translate
from bough.ir.program import Dim

UNBOUNDED = 1 << 48
"""A bound on sizes that no array reaches."""


@dataclass(frozen=True, slots=True)
class Length:
    """An argument that only carries a size: an empty array of the length that input number `input` is."""

    input: int


@dataclass(frozen=True, slots=True)
class Bound:
    """A Program, and where its arguments come from: numbers of the graph's inputs, and lengths."""

    imported: Imported
    arguments: tuple[int | Length, ...]


def bind(captured: Captured, weights: Mapping[int, torch.Tensor]) -> Bound:
    """The Program of a graph, with some of its inputs as constants: number and value.

    Raises CompileError for operators that the table has not, once, with all of them.
    """
    binding = _Binding(captured, weights)
    trace = binding.trace()
    program, missing = translate(trace, trace.exported)
    if missing:
        raise MissingOperators(missing)
    return Bound(Imported(program, trace.inputs, trace.outputs, trace.paths), tuple(binding.arguments))


class _Binding:
    """Copies the graph: constants and arguments in place of its inputs, what sizes tell in place of its numbers."""

    def __init__(self, captured: Captured, weights: Mapping[int, torch.Tensor]) -> None:
        self.captured = captured
        self.given = captured.graph_module.graph.find_nodes(op="placeholder")
        self.graph = Graph()
        self.copies: dict[Node, Any] = {}
        self.inputs: list[InputSpec] = []
        self.constants: dict[str, torch.Tensor] = {}
        self.arguments: list[int | Length] = []
        self.paths: list[str] = []
        for n, node in enumerate(self.given):
            if node.users and n in weights:
                self.constant(node, captured.names[n], weights[n].detach())
            elif node.users and isinstance(node.meta.get("val"), torch.Tensor):
                self.argument(n, captured.names[n], node.meta["val"])
        for node in captured.graph_module.graph.find_nodes(op="get_attr"):
            value = getattr(captured.graph_module, str(node.target))
            if isinstance(value, torch.Tensor):
                self.constant(node, str(node.target), value)
        self.sizes = self.find_sizes()
        self.copy_nodes()

    def placeholder(self, name: str, value: Any) -> Node:
        node = self.graph.placeholder(name)
        node.meta["val"] = value
        return node

    def constant(self, node: Node, name: str, value: torch.Tensor) -> None:
        copy = self.copies[node] = self.placeholder(name, node.meta["val"])
        self.constants[copy.name] = value
        self.inputs.append(InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(copy.name), copy.name))

    def argument(self, source: int | Length, name: str, value: torch.Tensor) -> Node:
        node = self.placeholder(name, value)
        if isinstance(source, int):
            self.copies[self.given[source]] = node
        self.inputs.append(InputSpec(InputKind.USER_INPUT, TensorArgument(node.name), None))
        self.arguments.append(source)
        self.paths.append(node.name)
        return node

    def find_sizes(self) -> dict[sympy.Symbol, int]:
        """The symbolic sizes of the graph, with those of the example. Each is an axis of an argument; those that are not so
        far are added."""
        found: dict[sympy.Symbol, int] = {}
        for node in self.graph.find_nodes(op="placeholder"):
            if node.name in self.paths:
                found.update(_axes(node.meta["val"]))
        needed = {s for node in self.captured.graph_module.graph.nodes for s in _symbols(node.meta.get("val"))}
        for n, node in enumerate(self.given):
            value = node.meta.get("val")
            if _axes(value).keys() & (needed - found.keys()):
                if isinstance(value, torch.SymInt):
                    with self.captured.fakes.mode:
                        value = torch.empty((value, 0), dtype=torch.uint8)
                    self.argument(Length(n), self.captured.names[n], value)
                else:
                    self.argument(n, self.captured.names[n], value)
                found.update(_axes(value))
        return found

    def copy_nodes(self) -> None:
        for node in self.given:
            value = node.meta.get("val")
            if isinstance(value, torch.SymInt):  # translating takes numbers from what torch knows about a node
                self.copies[node] = self.graph.call_function(operator.add, (0, 0))
                self.copies[node].meta["val"] = value
            self.copies.setdefault(node, None)
        self.graph.output(self.graph.graph_copy(self.captured.graph_module.graph, self.copies))

    def trace(self) -> Trace:
        results: Any = self.graph.output_node().args[0]
        outputs = [OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(node.name), None) for node in results]
        exported = ExportedProgram(
            self.captured.graph_module, self.graph, ExportGraphSignature(self.inputs, outputs), {}, {}, [],
            constants=dict(self.constants), verifiers=[TrainingIRVerifier],
        )  # fmt: skip
        env = self.captured.fakes.mode.shape_env
        names = {symbol: str(symbol) for symbol in self.sizes}
        return Trace(
            exported,
            (tuple(Slot(n) for n in range(len(self.paths))), {}),
            tuple(Slot(n) for n in range(len(results))),
            tuple(self.paths),
            Symbols(names),
            tuple(_range(env, symbol) for symbol in self.sizes),
            {names[symbol]: size for symbol, size in self.sizes.items()},
            ComputedSizes(),
        )


def _sizes(value: Any) -> Iterator[torch.SymInt]:
    if isinstance(value, torch.SymInt):
        yield value
    elif isinstance(value, torch.Tensor):
        sizes: tuple[Any, ...] = tuple(value.shape)
        yield from (size for size in sizes if isinstance(size, torch.SymInt))
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from _sizes(v)


def _symbols(value: Any) -> set[sympy.Symbol]:
    return {symbol for size in _sizes(value) for symbol in size.node.expr.free_symbols}


def _axes(value: Any) -> dict[sympy.Symbol, int]:
    """The symbols that are sizes as they stand, with their values in the example."""
    return {s.node.expr: int(s.node.hint) for s in _sizes(value) if s.node.expr.is_Symbol and s.node.hint is not None}


def _range(env: ShapeEnv | None, symbol: sympy.Symbol) -> Dim:
    """What Dynamo's guards leave of a size."""
    assert env is not None
    bounds = env.bound_sympy(symbol)
    low = max(0, int(bounds.lower)) if bounds.lower.is_finite else 0
    high = int(bounds.upper) if bounds.upper.is_finite and bounds.upper < UNBOUNDED else None
    return Dim(str(symbol), low, high)
