"""An exported graph becomes a Program, operator by operator."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import BuiltinFunctionType
from typing import Any

import sympy  # type: ignore[import-untyped]
import torch
from sympy.core.relational import Relational  # type: ignore[import-untyped]
from sympy.logic.boolalg import BooleanAtom, BooleanFunction  # type: ignore[import-untyped]
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind
from torch.fx import GraphModule, Node

from bough.base.errors import CompileError, InternalError
from bough.frontends import (
    aten_indexing,
    aten_nn,
    aten_pointwise,
    aten_reductions,
    aten_resampling,
    aten_views,
    locations,
)
from bough.frontends.builder import Builder, Unsupported
from bough.frontends.converters import CONVERTERS, Absent, overload_name
from bough.frontends.errors import Missing, mutation
from bough.frontends.higher_order import translate_higher_order
from bough.frontends.marked import Marked, marker_of, overwrites
from bough.frontends.promotion import FROM_TORCH, common_dtype
from bough.frontends.symbols import UnknownSize, evaluate
from bough.frontends.trace import Trace, check_tensor
from bough.frontends.updates import functional_name, plain_updates, writes
from bough.ir import expr
from bough.ir.dtypes import BOOL, F64, I64
from bough.ir.expr import Extent
from bough.ir.program import CAPACITY, Dim, Function, Program, TensorType, Value, results_of

FAMILIES = (aten_pointwise, aten_views, aten_reductions, aten_indexing, aten_resampling, aten_nn)
"""The modules that fill the table of converters."""

Missings = list[Missing]
SYMBOLIC = (torch.SymInt, torch.SymFloat, torch.SymBool)
ITEMS = (torch.ops.aten.item.default, torch.ops.aten._local_scalar_dense.default)
ELSEWHERE = Absent("a result that is used outside of the branch or loop that it belongs to")
"""Stands for what cannot be computed where torch traced it; nothing has been lost as long as no one there needs it."""
UNKNOWN = Absent("the result of an operator that is missing")
"""Stands for what cannot even be typed; what uses it is passed over in silence, for its cause is known."""


_OF_VMAP = frozenset(
    {"lazy_load_decompositions", "_vmap_increment_nesting", "_vmap_decrement_nesting", "_add_batch_dim", "_remove_batch_dim"}
)


@dataclass(frozen=True, slots=True)
class Real:
    """A number computed from sizes that is no size."""

    expression: Any


def is_translatable(outer: GraphModule) -> bool:
    """Whether every operator has a converter as it stands."""
    graph_modules = [m for m in outer.modules() if isinstance(m, GraphModule)]
    if any([_only_traced(node) for m in graph_modules for node in m.graph.nodes]):
        return False
    for graph_module in graph_modules:
        updates = plain_updates(graph_module.graph)
        for node in graph_module.graph.nodes:
            if not isinstance(node.target, torch._ops.OpOverload) or isinstance(node.meta.get("val"), SYMBOLIC):
                continue
            if overload_name(node.target) not in CONVERTERS and node not in updates and marker_of(node) is None:
                return False
    return True


def _only_traced(node: Node) -> bool:
    """Whether a node changes what operators around it mean, as vmap and autocast do: torch takes it away when it decomposes."""
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return str(node.target) == "wrap_with_autocast"
    if getattr(node.target, "__module__", None) != "torch._functorch.predispatch":
        return False
    name = getattr(node.target, "__name__", "")
    if name not in _OF_VMAP:  # torch's graph of a derivative is not always right
        raise CompileError(
            "a derivative is taken with torch.func",
            code="BGH-TRACE-001",
            because=f"the graph that torch traces of it does not say what is differentiated ({name})",
            advice="take the derivative with torch.autograd.grad, or write it out",
            location=locations.of_node(node),
        )
    return True


def translate(trace: Trace, exported: ExportedProgram) -> tuple[Program, Missings]:
    """The Program, right only where nothing is missing."""
    return _Translation(trace, exported).run()


class _Elsewhere(Exception):
    """A node needs a value of a branch or loop that it is not in."""


class _Undecided(Exception):
    """A branch or loop needs the result of an operator that is missing."""


class _Translation:
    def __init__(self, trace: Trace, exported: ExportedProgram) -> None:
        self.trace = trace
        self.exported = exported
        self.symbols = trace.symbols
        self.b = Builder(trace.sizes)
        self.missing: Missings = []
        self.shared: dict[Any, Value] = {}
        self.marked = Marked(self.b, trace.computed, trace.symbols, self.type_of)
        self.reals: dict[Any, Value] = {}
        self.items: dict[sympy.Symbol, Value] = {}
        self.floats: set[Value] = set()
        self.updated: dict[Node, int] = {}
        """How often a tensor has been written in place."""
        self.used: dict[Node, list[tuple[int, Any]]] = {}
        """What an operator was first computed from: how often that had been written, and its value then."""

    def run(self) -> tuple[Program, Missings]:
        graph = self.exported.graph
        environment: dict[Node, Any] = {}
        placeholders = [n for n in graph.nodes if n.op == "placeholder"]
        params: list[Value] = []
        for node, spec in zip(placeholders, self.exported.graph_signature.input_specs, strict=True):
            if isinstance(spec.arg, ConstantArgument):
                environment[node] = spec.arg.value
            elif spec.kind is InputKind.USER_INPUT:
                value = self.b.value(self.type_of(node.meta["val"]), self.trace.paths[len(params)])
                params.append(environment.setdefault(node, value))
            elif node.users and spec.kind is not InputKind.TOKEN:
                environment[node] = self.weight(spec.target or node.name)
        self.check_mutations()
        try:
            results = self.graph(graph, environment)
        except _Undecided:
            return Program({}), self.missing
        except _Elsewhere as error:
            raise InternalError(f"{error} is used outside of the branch or loop that it belongs to") from None
        kinds = [s.kind for s in self.exported.graph_signature.output_specs]
        (output,) = [n for n in self.exported.graph.nodes if n.op == "output"]
        found = zip(results, kinds, output.args[0], strict=True)
        outputs = tuple(self.result(r, node) for r, k, node in found if k is OutputKind.USER_OUTPUT)
        (body,) = self.b.bodies
        dims = (*self.trace.dims, *([Dim(CAPACITY)] if self.marked.has_open_size else []))
        function = Function("main", tuple(params), self.b.constants, body, outputs, dims)
        return Program({"main": function}), self.missing

    def check_mutations(self) -> None:
        paths = dict(zip(self.exported.graph_signature.user_inputs, self.trace.paths, strict=True))
        (output,) = [n for n in self.exported.graph.nodes if n.op == "output"]
        for spec, node in zip(self.exported.graph_signature.output_specs, output.args[0], strict=True):
            if spec.kind not in (OutputKind.USER_OUTPUT, OutputKind.TOKEN):
                location = locations.of_node(node) if isinstance(node, Node) else None
                name = paths.get(spec.target or "", (spec.target or "a tensor").removeprefix("inner."))
                raise mutation(f"`{name}`", location)

    def result(self, result: Any, node: Any) -> Value:
        if isinstance(result, Value):
            return result
        if isinstance(result, Absent) and result is not UNKNOWN:
            self.missing.append(Missing("a result", result.reason, locations.of_node(node) if isinstance(node, Node) else None))
        return self.b.operand(0 if isinstance(result, Absent) else result, I64)

    def returned(self, argument: Any, environment: dict[Node, Any]) -> Any:
        try:
            return self.argument(argument, environment)
        except Unsupported as error:
            return Absent(str(error))
        except _Elsewhere:
            return ELSEWHERE

    def weight(self, name: str) -> Value:
        """A parameter, buffer or constant tensor; tied ones are one value."""
        exported = self.exported
        tensor = exported.state_dict[name] if name in exported.state_dict else exported.constants[name]
        name = name.removeprefix("inner.")
        check_tensor(tensor, f"`{name}`")
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() == 0 or key not in self.shared:
            plain = tensor.detach().contiguous()
            array = plain.view(torch.uint16).numpy() if plain.dtype is torch.bfloat16 else plain.numpy()
            self.shared[key] = self.b.constant(array, FROM_TORCH[tensor.dtype], name)
        return self.shared[key]

    def type_of(self, fake: torch.Tensor) -> TensorType:
        if fake.dtype not in FROM_TORCH:
            raise Unsupported(f"a tensor of type {fake.dtype}".replace("torch.", ""))
        try:
            return TensorType(FROM_TORCH[fake.dtype], self.symbols.shape(fake.shape))
        except UnknownSize as error:
            raise Unsupported(str(error)) from None

    def graph(self, graph: torch.fx.Graph, environment: dict[Node, Any]) -> tuple[Any, ...]:
        updates = plain_updates(graph)
        for node in graph.nodes:
            if node.op == "output":
                results = node.args[0] if isinstance(node.args[0], (list, tuple)) else node.args
                return tuple(self.returned(a, environment) for a in results)
            if node.op == "call_function":
                self.b.location = locations.of_node(node) or self.b.location
                self.b.hint = node.name
                self.used[node] = [(self.updated.get(a, 0), environment.get(a)) for a in node.all_input_nodes]
                try:
                    environment[node] = self.node(node, environment, node in updates)
                except Unsupported as error:
                    environment[node] = self.give_up(node, str(error))
                except _Elsewhere:
                    environment[node] = ELSEWHERE
                for renamed in updates.get(node, ()):
                    environment[renamed] = environment[node]
                    self.updated[renamed] = self.updated.get(renamed, 0) + 1
        raise InternalError("an exported graph without output")

    def argument(self, argument: Any, environment: dict[Node, Any]) -> Any:
        if isinstance(argument, Node):
            found = environment.get(argument)
            if isinstance(found, Real):
                return self.real(found.expression)
            if isinstance(found, Value):
                found = self.marked.lasting(found)
            if found is ELSEWHERE or not all(self.marked.is_known(v) for v in self.leaves([found]) if isinstance(v, Value)):
                found = environment[argument] = self.again(argument, environment)
            return found
        if isinstance(argument, (list, tuple)):
            return [self.argument(a, environment) for a in argument]
        return argument

    def node(self, node: Node, environment: dict[Node, Any], updates: bool) -> Any:
        meta = node.meta.get("val")
        if (marker := marker_of(node)) is not None:
            return self.marker(marker, node, environment)
        if isinstance(meta, (torch.SymInt, torch.SymFloat)):
            return self.computed_number(node, meta, environment)
        skipped = 1 if overwrites(node) else 0
        args = [*node.args[:skipped], *(self.argument(a, environment) for a in node.args[skipped:])]
        if any(a is UNKNOWN for a in self.leaves(args)):
            return self.stand_ins(node)
        if isinstance(meta, torch.SymBool):
            return Real(meta.node.expr)
        if node.target is operator.getitem:
            return args[0][args[1]]
        if isinstance(node.target, torch._ops.HigherOrderOperator):
            return translate_higher_order(self, node, args)
        kwargs = {k: self.argument(v, environment) for k, v in node.kwargs.items()}
        for used in self.leaves([args, list(kwargs.values())]):
            if isinstance(used, Absent):
                raise Unsupported(used.reason)
        name = functional_name(node.target) if updates else overload_name(node.target)
        if name not in CONVERTERS:
            raise Unsupported("")
        fakes = list(meta) if isinstance(meta, (list, tuple)) else [] if meta is None else [meta]
        self.b.expected = tuple(self.type_of(f) for f in fakes if f is not None)
        before = len(self.b.bodies[-1])
        result = CONVERTERS[name](self.b, *self.beside_tensors(args), **kwargs)
        if updates and isinstance(result, Value):  # the tensor keeps its type
            result = self.b.cast(result, self.b.expected[0].dtype)
        made = {id(v) for n in self.b.bodies[-1][before:] for v in results_of(n)}
        results = [result] if isinstance(result, Value) else list(result or ())
        for value, expected in zip(results, self.b.expected, strict=False):
            if isinstance(value, Value):
                self.agree(name, value, expected)
                if id(value) in made:
                    value.type = expected
        return result

    def marker(self, marker: str, node: Node, environment: dict[Node, Any]) -> Any:
        """What a marker of control flow gives."""
        try:
            if marker == "if_end":
                with self.marked.in_first_branch():
                    then = self.argument(node.args[0], environment)
                args = [then, *self.argument(node.args[1:], environment)]
            else:
                args = self.argument(node.args, environment)
        except _Elsewhere as error:
            raise InternalError(f"{error} is used outside of the branch or loop that it belongs to") from None
        if any(a is UNKNOWN for a in self.leaves(args)):
            raise _Undecided
        return self.marked.translate(marker, node, args)

    def computed_number(self, node: Node, meta: torch.SymInt | torch.SymFloat, environment: dict[Node, Any]) -> Any:
        """A number that torch has computed from sizes, or taken from a tensor."""
        if node.target in ITEMS and isinstance(meta, torch.SymFloat):
            tensor = self.argument(node.args[0], environment)
            if tensor is UNKNOWN:
                return UNKNOWN
            self.items[meta.node.expr] = self.b.cast(self.b.reshape(tensor, ()), F64)
        return self.number(meta.node.expr, isinstance(meta, torch.SymInt))

    def again(self, node: Node, environment: dict[Node, Any]) -> Any:
        """The result of a node inside a branch, computed once more in another one: torch takes a tensor from wherever it traced
        that nothing has changed it."""
        if node.op != "call_function" or marker_of(node) is not None or writes(node) or self.has_other_inputs(node, environment):
            raise _Elsewhere(node.name)
        return self.node(node, environment, False)

    def has_other_inputs(self, node: Node, environment: dict[Node, Any]) -> bool:
        """Whether something has been written in place since a node was computed from it."""
        then = zip(node.all_input_nodes, self.used.get(node, ()), strict=False)
        return any(self.updated.get(a, 0) != count and environment[a] is not value for a, (count, value) in then)

    def beside_tensors(self, args: list[Any]) -> list[Any]:
        """The arguments of an operator. Python's floats count as the type of the tensors, and where these have no float type, as
        torch's default."""
        if not any(isinstance(a, Value) and a in self.floats for a in args):
            return args
        tensors = [a for a in args if isinstance(a, Value) and a not in self.floats and a.type.dtype.is_float]
        dtype = common_dtype(tensors) if tensors else FROM_TORCH[torch.get_default_dtype()]
        return [self.b.cast(a, dtype) if isinstance(a, Value) and a in self.floats else a for a in args]

    def agree(self, name: str, value: Value, expected: TensorType) -> None:
        """The operator table and torch must have the same idea of the result."""

        def sizes(t: TensorType) -> list[int]:
            return [evaluate(e, self.trace.sizes) for e in t.shape]

        if value.type.dtype != expected.dtype or sizes(value.type) != sizes(expected):
            raise InternalError(f"{name} gave {value.type}, torch says {expected}")

    def leaves(self, arguments: Any) -> Iterator[Any]:
        for a in arguments:
            if isinstance(a, (list, tuple)):
                yield from self.leaves(a)
            else:
                yield a

    def give_up(self, node: Node, reason: str) -> Any:
        """Notes what is missing and goes on with values of the right types, to find all that is missing."""
        inner = [a for a in node.args if isinstance(a, torch._ops.OpOverload)]
        name = str(inner[0] if inner else node.target)
        if self.missing and isinstance(node.target, BuiltinFunctionType):  # arithmetic on sizes of what is missing
            return self.stand_ins(node)
        self.missing.append(Missing(name.removesuffix(".default"), reason, self.b.location))
        return self.stand_ins(node)

    def stand_ins(self, node: Node) -> Any:
        meta = node.meta.get("val")
        return [self.stand_in(m) for m in meta] if isinstance(meta, (list, tuple)) else self.stand_in(meta)

    def stand_in(self, fake: Any) -> Value | Absent:
        try:
            return self.b.value(self.type_of(fake))
        except (Unsupported, AttributeError):
            return UNKNOWN

    def region(self, region: Any, args: Sequence[Any]) -> tuple[Any, ...]:
        """The results of a graph that is an argument of an operator."""
        graph: torch.fx.Graph = region.graph.owning_module.get_submodule(region.target).graph
        placeholders = [n for n in graph.nodes if n.op == "placeholder"]
        return self.graph(graph, dict(zip(placeholders, args, strict=True)))

    def number(self, e: Any, integer: bool) -> Extent | float | Real:
        """A number computed from sizes: an extent, or where Python has a float, what is a rank-0 f64 tensor in each use."""
        if integer and (not e.free_symbols or self.is_extent(e)):
            return int(e) if e.is_number else expr.as_extent(self.symbols.expression(e))
        return float(e) if e.is_number else Real(e)

    def is_extent(self, e: Any) -> bool:
        try:
            self.symbols.expression(e)
        except UnknownSize:
            return False
        return True

    def real(self, e: Any) -> Value:
        """Float arithmetic on sizes, in f64 as Python does it; once in each body."""
        known = self.reals.get(e)
        if known is None or not self.marked.is_known(known):
            known = self.reals[e] = self.compute_real(e)
            self.floats.update([] if e.is_number or isinstance(e, _CONDITIONS) else [known])
        return known

    def compute_real(self, e: Any) -> Value:
        if e.is_number:
            return self.b.number(float(e), F64)
        if e in self.items:
            return self.items[e]
        if e.is_integer and self.is_extent(e):
            return self.b.operand(self.symbols.expression(e), F64)
        if isinstance(e, _CONDITIONS):
            return self.truth(e)
        name = type(e).__name__.removeprefix("OpaqueUnaryFn_")
        if isinstance(e, sympy.Pow) and e.args[1] == sympy.Rational(1, 2):
            return self.b.emit("sqrt", self.real(e.args[0]))
        ops = {"Add": "add", "Mul": "mul", "IntTrueDiv": "div", "FloatTrueDiv": "div", "FloatPow": "pow", "Pow": "pow"}
        if name in ("sqrt", "exp", "log", "sin", "cos", "tanh"):
            return self.b.emit(name, self.real(e.args[0]))
        if name in ("ToFloat", "Identity"):
            return self.real(e.args[0])
        if name not in ops:
            raise Unsupported(f"the number {e}")
        total = self.real(e.args[0])
        for term in e.args[1:]:
            total = self.b.emit(ops[name], total, self.real(term))
        return total

    def truth(self, e: Any) -> Value:
        """What a condition on sizes comes to."""
        if e in (sympy.true, sympy.false):
            return self.b.number(e == sympy.true, BOOL)
        if isinstance(e, Relational):
            if all(side.is_integer and self.is_extent(side) for side in e.args):
                sides = [self.b.operand(self.symbols.expression(side), I64) for side in e.args]
            else:
                sides = [self.real(side) for side in e.args]
            return self.b.emit(_COMPARISONS[type(e)], *sides)
        first, *others = map(self.real, e.args)
        if isinstance(e, sympy.Not):
            return self.b.emit("not", first)
        for other in others:
            first = self.b.emit("and" if isinstance(e, sympy.And) else "or", first, other)
        return first


_CONDITIONS = (Relational, BooleanFunction, BooleanAtom)
_COMPARISONS = {
    sympy.Eq: "eq", sympy.Ne: "ne", sympy.Lt: "lt", sympy.Le: "le", sympy.Gt: "gt", sympy.Ge: "ge",
}  # fmt: skip
