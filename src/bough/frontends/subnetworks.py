"""A traced module as straight-line sub-networks of torch's operators, and the host program that runs them: what another compiler
needs to run the module. Sub-networks with the same operators on the same shapes are one, whatever their weights."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field, replace
from typing import Any, Union

import torch
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from bough.base.errors import CompileError
from bough.base.source import Location
from bough.frontends import locations
from bough.frontends.marked import aborted, marker_of
from bough.frontends.structure import Structure
from bough.frontends.trace import Trace
from bough.frontends.updates import writes

HEAVY = frozenset(
    {
        "addmm", "baddbmm", "bmm", "convolution", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "linear",
        "matmul", "mm", "scaled_dot_product_attention", "recurrent",
    }
)  # fmt: skip
"""Operators that another compiler is worth calling for."""


@dataclass(frozen=True, slots=True)
class Named:
    """A value of the host program, among plain arguments too."""

    name: str


@dataclass(frozen=True, slots=True)
class Run:
    """`results` are what sub-network number `network` gives for `arguments`, some of which are constants of the host program."""

    network: int
    arguments: tuple[Named, ...]
    results: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class Direct:
    """One call on the host: arithmetic on sizes, or an operator whose result is a size. Names stand for values as `Named`."""

    result: str
    function: Any
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Branch:
    """`joins`: the result, and its value in either branch (None: any tensor)."""

    condition: str
    then: list[Step]
    otherwise: list[Step]
    joins: tuple[tuple[Named, Named | None, Named | None], ...]


@dataclass(frozen=True, slots=True)
class Whilst:
    """`states`: what the turns see, its first value, its next one, and the last."""

    head: list[Step]
    condition: str
    body: list[Step]
    states: tuple[tuple[Named, Named, Named, Named], ...]
    location: Location | None


@dataclass(frozen=True, slots=True)
class Test:
    condition: Named
    error: str
    message: str
    location: Location | None


Step = Union[Run, Direct, Branch, Whilst, Test]


@dataclass(frozen=True, slots=True)
class Network:
    """A sub-network: `module` takes as many tensors as `examples` has shapes and gives a tuple. `heavy`: whether it has operators
    that another compiler is worth calling for; `fixed`: whether all its sizes are known."""

    module: GraphModule
    examples: tuple[torch.Tensor, ...]
    heavy: bool
    fixed: bool


@dataclass(frozen=True, slots=True)
class HostProgram:
    """Takes the tensors called `parameters`, gives `results`, names or numbers."""

    parameters: tuple[str, ...]
    constants: dict[str, torch.Tensor]
    steps: list[Step]
    results: tuple[Any, ...]
    networks: list[Network]
    inputs: Structure
    outputs: Structure


def split(trace: Trace) -> HostProgram:
    """The host program of a trace."""
    if any(writes(n) for n in trace.exported.graph.nodes if marker_of(n) is None):
        with trace.computed.active():
            trace = replace(trace, exported=trace.exported.run_decompositions({}))
    return _Split(trace).run()


@dataclass(slots=True)
class _Frame:
    """An open branch or loop, or the whole program; `steps` are its bodies so far."""

    marker: Node | None = None
    steps: list[list[Step]] = field(default_factory=lambda: [[]])
    condition: str = ""


class _Split:
    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.frames: list[_Frame] = [_Frame()]
        self.pending: list[Node] = []
        self.networks: list[Network] = []
        self.known: dict[str, int] = {}

    def run(self) -> HostProgram:
        exported = self.trace.exported
        dropped = aborted(exported.graph)
        results: tuple[Any, ...] = ()
        for node in exported.graph.nodes:
            if node.op == "call_function" and node not in dropped:
                self.node(node)
            elif node.op == "output":
                results = tuple(named(a) if isinstance(a, Node) else a for a in node.args[0])
        self.flush()
        (frame,) = self.frames
        parameters = tuple(exported.graph_signature.user_inputs)
        return HostProgram(
            parameters, _constants(self.trace), frame.steps[0], results, self.networks, self.trace.inputs, self.trace.outputs
        )

    def node(self, node: Node) -> None:
        marker = marker_of(node)
        value = node.meta.get("val")
        if marker in _ATTEMPTS or (value is None and marker is None) or _of_marker(node):
            return
        if isinstance(node.target, torch._ops.HigherOrderOperator):
            raise CompileError(
                f"the module calls {node.target}",
                code="BGH-BACK-002",
                because="its graphs are not split for other compilers",
                advice="write the choice as plain Python, or compile without backend=",
                location=locations.of_node(node),
            )
        if marker is None and not isinstance(value, _NUMBERS):
            if self.pending and _is_fixed(node) != _is_fixed(self.pending[-1]):
                self.flush()  # most compilers only take what has known sizes
            self.pending.append(node)
            return
        self.flush()
        if marker is None or marker in ("size", "narrow"):
            self.add(self.direct(node, marker))
        else:
            self.control(marker, node)

    def add(self, step: Step) -> None:
        self.frames[-1].steps[-1].append(step)

    def direct(self, node: Node, marker: str | None) -> Direct:
        if marker == "size":
            number = node.args[1]
            assert isinstance(number, int)
            return Direct(node.name, checked_size, (named(node.args[0]), self.trace.computed.declared[number].low), {})
        function = torch.narrow if marker == "narrow" else node.target
        return Direct(node.name, function, map_arg(node.args, named), map_arg(node.kwargs, named))

    def control(self, marker: str, node: Node) -> None:
        frame = self.frames[-1]
        args: Any = map_arg(node.args, named)
        count = len(node.meta["val"] or ())
        own = [Named(f"{node.name}.{n}") for n in range(count)]
        if marker == "check":
            condition, error, message = args
            self.add(Test(condition, error, message, locations.of_node(node)))
        elif marker in ("if_begin", "while_begin"):
            self.frames.append(_Frame(node, condition=args[0].name if marker == "if_begin" else ""))
        elif marker in ("if_else", "while_test"):
            frame.condition = args[0].name if args else frame.condition
            frame.steps.append([])
        elif marker == "if_end":
            self.frames.pop()
            joins = zip(own, *args[:2], strict=True)
            then, otherwise = frame.steps
            self.add(Branch(frame.condition, then, otherwise, tuple(joins)))
        elif marker == "while_end":
            self.frames.pop()
            assert frame.marker is not None
            initial: Any = map_arg(frame.marker.args[0], named)
            carried = [Named(f"{frame.marker.name}.{n}") for n in range(count)]
            states = tuple(zip(carried, initial, args[0], own, strict=True))
            self.add(Whilst(frame.steps[0], frame.condition, frame.steps[1], states, locations.of_node(frame.marker)))

    def flush(self) -> None:
        """Makes a sub-network of the nodes since the last decision."""
        nodes, self.pending = self.pending, []
        inside = set(nodes)
        results = [n for n in nodes if isinstance(n.meta["val"], torch.Tensor) and any(u not in inside for u in n.users)]
        if not results:
            return
        inputs = list(dict.fromkeys(a for n in nodes for a in n.all_input_nodes if a not in inside))
        graph = Graph()
        copies: dict[Node, Node] = {}
        for number, node in enumerate(inputs):
            copies[node] = graph.placeholder(f"x{number}")
            copies[node].meta["val"] = node.meta["val"]
        for number, node in enumerate(nodes):
            copies[node] = graph.create_node(
                "call_function", node.target, map_arg(node.args, copies.__getitem__), map_arg(node.kwargs, copies.__getitem__),
                name=f"v{number}",
            )  # fmt: skip
            copies[node].meta["val"] = node.meta["val"]
        graph.output(tuple(copies[n] for n in results))
        graph.eliminate_dead_code()
        self.add(Run(self.network(graph), tuple(map(named, inputs)), tuple(map(named, results))))

    def network(self, graph: Graph) -> int:
        """The number of the sub-network with this graph for inputs of these shapes."""
        lines = [f"{n.name} {n.target} {n.args} {n.kwargs} {_type(n.meta.get('val'))}" for n in graph.nodes]
        key = "\n".join(lines)
        if key not in self.known:
            self.known[key] = len(self.networks)
            names = {str(n.target).split(".")[1] for n in graph.nodes if isinstance(n.target, torch._ops.OpOverload)}
            fixed = all(_has_fixed_sizes(n.meta.get("val")) for n in graph.nodes)
            examples = tuple(_example(n.meta["val"]) for n in graph.nodes if n.op == "placeholder") if fixed else ()
            self.networks.append(Network(GraphModule({}, graph), examples, bool(names & HEAVY), fixed))
        return self.known[key]


def checked_size(value: torch.Tensor, low: int) -> int:
    """The size that a tensor computes."""
    if (size := int(value)) < low:
        raise RuntimeError(f"the computed size {size} is less than {low}")
    return size


def named(value: Any) -> Any:
    """The name of a node's value; what a marker gives has its name and position."""
    if not isinstance(value, Node):
        return value
    if _of_marker(value):
        marker, position = value.args
        assert isinstance(marker, Node)
        return Named(f"{marker.name}.{position}")
    return Named(value.name)


def _of_marker(node: Node) -> bool:
    """Whether a node takes a result of a marker out of its list."""
    return node.target is operator.getitem and isinstance(node.args[0], Node) and marker_of(node.args[0]) is not None


def _constants(trace: Trace) -> dict[str, torch.Tensor]:
    signature, exported = trace.exported.graph_signature, trace.exported
    sources = {**signature.inputs_to_parameters, **signature.inputs_to_buffers, **signature.inputs_to_lifted_tensor_constants}
    held = {**exported.constants, **exported.state_dict}
    return {name: held[source].detach().clone() for name, source in sources.items()}


def _example(value: Any) -> torch.Tensor:
    """A tensor of the type of a traced one, on which compilers can be tried."""
    shape, dtype = tuple(int(s) for s in value.shape), value.dtype
    return torch.randn(shape).to(dtype) if dtype.is_floating_point else torch.zeros(shape, dtype=dtype)


def _is_fixed(node: Node) -> bool:
    """Whether a node takes and gives tensors of known sizes only."""
    return all(_has_fixed_sizes(n.meta.get("val")) for n in (node, *node.all_input_nodes))


def _has_fixed_sizes(value: Any) -> bool:
    sizes = [s for v in _flat(value) for s in (v.shape if isinstance(v, torch.Tensor) else [v])]
    return not any(isinstance(s, torch.SymInt) for s in sizes)


def _flat(value: Any) -> list[Any]:
    return [v for part in value for v in _flat(part)] if isinstance(value, (list, tuple)) else [value]


def _type(value: Any) -> str:
    return ", ".join(f"{v.dtype} {tuple(v.shape)}" if isinstance(v, torch.Tensor) else str(v) for v in _flat(value))


_ATTEMPTS = ("attempt_begin", "attempt_keep", "attempt_abort")
_NUMBERS = (torch.SymInt, torch.SymFloat, torch.SymBool, int, float, bool)
