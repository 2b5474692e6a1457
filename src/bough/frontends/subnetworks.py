"""A traced module as straight-line sub-networks of torch's operators, and the host program that runs them: what another compiler
needs to run the module. Sub-networks with the same operators on the same shapes are one, whatever their weights."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Union

import torch
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from bough.base.errors import CompileError, InternalError
from bough.base.source import Location
from bough.frontends import locations
from bough.frontends.host_calls import HostCall
from bough.frontends.marked import marker_of
from bough.frontends.structure import Structure
from bough.frontends.trace import ONE_AT_A_TIME, Trace
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
    """`joins`: the result, its value in either branch (None: there is none), and zeros in place of what there is not."""

    condition: str
    then: list[Step]
    otherwise: list[Step]
    joins: tuple[tuple[Named, Named | None, Named | None, torch.Tensor], ...]


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


@dataclass(frozen=True, slots=True)
class Stay:
    """A call that stays in Python."""

    call: HostCall
    arguments: tuple[Named, ...]
    results: tuple[Named, ...]


Step = Union[Run, Direct, Branch, Whilst, Test, Stay]


@dataclass(frozen=True, slots=True)
class Network:
    """A sub-network: `module` takes as many tensors as `examples` has shapes and gives a tuple. `heavy`: whether it has operators
    that another compiler is worth calling for; `fixed`: whether all its sizes are known; `whole_layers`: whether some of them are
    Bough's own, for a layer as a whole."""

    module: GraphModule
    examples: tuple[torch.Tensor, ...]
    heavy: bool
    fixed: bool
    whole_layers: bool


@dataclass(frozen=True, slots=True)
class HostProgram:
    """Takes the tensors called `parameters`, like those traced (`types`), and gives `results`, names or numbers."""

    parameters: tuple[str, ...]
    types: tuple[torch.Tensor, ...]
    constants: dict[str, torch.Tensor]
    steps: list[Step]
    results: tuple[Any, ...]
    networks: list[Network]
    inputs: Structure
    outputs: Structure


def split(trace: Trace) -> HostProgram:
    """The host program of a trace."""
    if any(writes(n) for n in trace.exported.graph.nodes if marker_of(n) is None):
        with ONE_AT_A_TIME, trace.computed.active():
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
        self.bodies: list[list[Step]] = [self.frames[0].steps[0]]
        self.heads: list[list[Step]] = []
        self.home: dict[Node, list[Step]] = {}
        self.constants = _constants(trace)
        self.pending: list[Node] = []
        self.networks: list[Network] = []
        self.known: dict[str, int] = {}

    def run(self) -> HostProgram:
        exported = self.trace.exported
        results: tuple[Any, ...] = ()
        for node in exported.graph.nodes:
            if node.op == "call_function":
                self.node(node)
            elif node.op == "get_attr" and isinstance(held := getattr(exported.graph_module, node.target, None), torch.Tensor):
                self.constants[node.name] = held
            elif node.op == "output":
                results = tuple(named(a) if isinstance(a, Node) else a for a in node.args[0])
        self.flush()
        (frame,) = self.frames
        parameters = tuple(exported.graph_signature.user_inputs)
        types = tuple(n.meta["val"] for n in exported.graph.nodes if n.name in parameters)
        return HostProgram(
            parameters, types, self.constants, frame.steps[0], results, self.networks, self.trace.inputs, self.trace.outputs
        )

    def node(self, node: Node) -> None:
        marker = marker_of(node)
        value = node.meta.get("val")
        if (value is None and marker is None) or _of_marker(node):
            return
        if isinstance(node.target, torch._ops.HigherOrderOperator) or (marker or "").startswith("for_"):
            raise not_split(f"the module calls {node.target}", locations.of_node(node))
        if marker is None and not isinstance(value, _NUMBERS):
            if self.pending and _is_fixed(node) != _is_fixed(self.pending[-1]):
                self.flush()  # most compilers only take what has known sizes
            self.pending.append(node)
            return
        self.flush()
        if marker is None or marker in ("size", "narrow"):
            self.one(node)
        else:
            self.control(marker, node)

    def one(self, node: Node) -> None:
        """Adds a step for one node."""
        self.ensure(node.all_input_nodes)
        marker = marker_of(node)
        if marker in ("size", "narrow") or isinstance(node.meta.get("val"), _NUMBERS):
            self.home[node] = self.bodies[-1]
            self.bodies[-1].append(self.direct(node, marker))
        else:
            self.run_nodes([node], [node])

    def ensure(self, nodes: Iterable[Node]) -> None:
        """Computes once more, in the open body, what torch traced in a branch that is not open."""
        visible = set(map(id, (*self.bodies, *self.heads)))
        for node in nodes:
            home = self.home.get(node)
            if home is not None and id(home) not in visible:
                if _of_marker(node) or marker_of(node) in _RESULTS:
                    raise InternalError(f"{node.name} is used outside of the branch or loop that it belongs to")
                self.one(node)

    def direct(self, node: Node, marker: str | None) -> Direct:
        if marker == "size":
            number = node.args[1]
            assert isinstance(number, int)
            return Direct(node.name, checked_size, (named(node.args[0]), self.trace.computed.declared[number].low), {})
        function = torch.narrow if marker == "narrow" else node.target
        return Direct(node.name, function, map_arg(node.args, named), map_arg(node.kwargs, named))

    def control(self, marker: str, node: Node) -> None:
        frame = self.frames[-1]
        if marker == "if_end":
            then, _ = frame.steps
            second, self.bodies[-1] = self.bodies[-1], then
            self.ensure(_nodes(node.args[0]))
            self.bodies[-1] = second
            self.ensure(_nodes(node.args[1]))
        else:
            self.ensure(node.all_input_nodes)
        args: Any = map_arg(node.args, named)
        own = [Named(f"{node.name}.{n}") for n in range(len(node.meta.get("val") or ()))]
        if marker == "check":
            condition, error, message = args
            self.bodies[-1].append(Test(condition, error, message, locations.of_node(node)))
        elif marker == "host":
            self.bodies[-1].append(Stay(self.trace.computed.hosts[args[1]], tuple(args[0]), tuple(own)))
        elif marker in ("if_begin", "while_begin"):
            frame = _Frame(node, condition=args[0].name if marker == "if_begin" else "")
            self.frames.append(frame)
            self.bodies.append(frame.steps[0])
        elif marker in ("if_else", "while_test"):
            frame.condition = args[0].name if args else frame.condition
            self.heads += [frame.steps[0]] if marker == "while_test" else []
            frame.steps.append([])
            self.bodies[-1] = frame.steps[1]
        elif marker == "if_end":
            self.close()
            joins = zip(own, args[0], args[1], map(_zeros, node.meta["val"]), strict=True)
            self.bodies[-1].append(Branch(frame.condition, frame.steps[0], frame.steps[1], tuple(joins)))
        elif marker == "while_end":
            self.close()
            self.heads.pop()
            assert frame.marker is not None
            initial: Any = map_arg(frame.marker.args[0], named)
            carried = [Named(f"{frame.marker.name}.{n}") for n in range(len(own))]
            states = tuple(zip(carried, initial, args[0], own, strict=True))
            place = locations.of_node(frame.marker)
            self.bodies[-1].append(Whilst(frame.steps[0], frame.condition, frame.steps[1], states, place))
        self.home[node] = self.bodies[-1]

    def close(self) -> None:
        self.frames.pop()
        self.bodies.pop()

    def flush(self) -> None:
        """Makes a sub-network of the nodes since the last decision."""
        nodes, self.pending = self.pending, []
        inside = set(nodes)
        results = [n for n in nodes if isinstance(n.meta["val"], torch.Tensor) and any(u not in inside for u in n.users)]
        if results:
            self.ensure(a for n in nodes for a in n.all_input_nodes if a not in inside)
            self.run_nodes(nodes, results)

    def run_nodes(self, nodes: list[Node], results: list[Node]) -> None:
        """Adds a call of the sub-network that these nodes are."""
        inside = set(nodes)
        self.home.update(dict.fromkeys(nodes, self.bodies[-1]))
        inputs = list(dict.fromkeys(a for n in nodes for a in n.all_input_nodes if a not in inside))
        graph = Graph()
        copies: dict[Node, Node] = {}
        for number, node in enumerate(inputs):
            copies[node] = graph.placeholder(f"x{number}")
            copies[node].meta["val"] = node.meta.get("val", self.constants.get(node.name))
        for number, node in enumerate(nodes):
            copies[node] = graph.create_node(
                "call_function", node.target, map_arg(node.args, copies.__getitem__), map_arg(node.kwargs, copies.__getitem__),
                name=f"v{number}",
            )  # fmt: skip
            copies[node].meta["val"] = node.meta["val"]
        graph.output(tuple(copies[n] for n in results))
        graph.eliminate_dead_code()
        self.bodies[-1].append(Run(self.network(graph), tuple(map(named, inputs)), tuple(map(named, results))))

    def network(self, graph: Graph) -> int:
        """The number of the sub-network with this graph for inputs of these shapes."""
        lines = [f"{n.name} {n.target} {n.args} {n.kwargs} {_type(n.meta.get('val'))}" for n in graph.nodes]
        key = "\n".join(lines)
        if key not in self.known:
            self.known[key] = len(self.networks)
            names = {str(n.target).split(".")[1] for n in graph.nodes if isinstance(n.target, torch._ops.OpOverload)}
            fixed = all(_has_fixed_sizes(n.meta.get("val")) for n in graph.nodes)
            examples = tuple(_example(n.meta["val"]) for n in graph.nodes if n.op == "placeholder") if fixed else ()
            self.networks.append(Network(GraphModule({}, graph), examples, bool(names & HEAVY), fixed, "recurrent" in names))
        return self.known[key]


def not_split(what: str, location: Location | None = None) -> CompileError:
    """The error for what only Bough's own code runs."""
    return CompileError(
        what,
        code="BGH-BACK-002",
        because="it is not split into sub-networks for other compilers",
        advice="write choices as plain Python, or compile without backend=",
        location=location,
    )


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


def _nodes(argument: Any) -> list[Node]:
    found: list[Node] = []
    map_arg(argument, lambda n: found.append(n))
    return found


def _zeros(value: torch.Tensor) -> torch.Tensor:
    """Zeros like a traced tensor, of no elements along the axes whose size is computed."""
    return torch.zeros([0 if isinstance(s, torch.SymInt) else s for s in value.shape], dtype=value.dtype)


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


_RESULTS = ("if_end", "while_begin", "while_end", "host")
_NUMBERS = (torch.SymInt, torch.SymFloat, torch.SymBool, int, float, bool)
