"""Markers of control flow in a traced graph become branches and loops of a Program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.fx import Graph, Node

from bough.frontends.builder import Builder
from bough.frontends.computed_sizes import ComputedSizes
from bough.frontends.regions import NewSize, Regions
from bough.frontends.symbols import Symbols
from bough.ir.dtypes import I64
from bough.ir.expr import Var, add, as_expr, as_extent
from bough.ir.program import Check, Size, TensorType, Value

_PREFIX = "bough."
MARKERS = frozenset(
    {
        "if_begin", "if_else", "if_end", "while_begin", "while_test", "while_end", "for_begin", "for_row", "for_end",
        "size", "narrow", "check", "host", "attempt_begin", "attempt_keep", "attempt_abort",
    }
)


_OF_LISTS = ("if_end", "while_begin", "while_end", "for_begin", "for_end")
"""Those with a list of results."""


def marker_of(node: Node) -> str | None:
    """The name of the marker that a node is."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return None
    name = str(node.target).removeprefix(_PREFIX).removesuffix(".default")
    return name if str(node.target).startswith(_PREFIX) and name in MARKERS else None


def drop_attempts(graph: Graph) -> None:
    """Takes the marks of attempts out of a trace, and the nodes of aborted ones, whose writes in place have all been undone: a
    tensor is what it was before the first. Nodes that others need stay: what staging asked for first in an attempt, such as a
    size as a tensor."""
    nodes = list(graph.nodes)
    begun: list[int] = []
    dropped: dict[Node, None] = {}
    for position, node in enumerate(nodes):
        match marker_of(node):
            case "attempt_begin":
                begun.append(position)
                dropped[node] = None
            case "attempt_keep":
                begun.pop()
                dropped[node] = None
            case "attempt_abort":
                dropped.update(dict.fromkeys(nodes[begun.pop() : position + 1]))
    for node in reversed(nodes):
        if node not in dropped:
            for needed in node.all_input_nodes:
                origin = needed
                while origin in dropped and _writes(origin):
                    origin = origin.args[0]
                if origin is not needed:
                    node.replace_input_with(needed, origin)
                dropped.pop(origin, None)
    for node in reversed(nodes):
        if node in dropped:
            graph.erase_node(node)


def _writes(node: Node) -> bool:
    """Whether a node gives its first argument, written in place."""
    if not isinstance(node.target, torch._ops.OpOverload) or not node.target._schema.returns:
        return False
    alias = node.target._schema.returns[0].alias_info
    return alias is not None and alias.is_write and isinstance(node.args[0], Node)


def overwrites(node: Node) -> bool:
    """Whether a node puts its second argument in place of its first, whose values do not matter."""
    return node.target in (torch.ops.aten.copy.default, torch.ops.aten.copy_.default)


class Marked(Regions):
    """What markers do to the function of a Program that is being built."""

    def __init__(
        self, builder: Builder, computed: ComputedSizes, symbols: Symbols, type_of: Callable[[torch.Tensor], TensorType]
    ) -> None:
        super().__init__(builder)
        self.computed = computed
        self.symbols = symbols
        self.type_of = type_of
        self.has_open_size = False
        """Whether some size is bounded by nothing but what memory is planned for."""

    def translate(self, marker: str, node: Node, args: list[Any]) -> Any:
        """The results of a marker; its arguments are values and sizes."""
        types = [self.type_of(f) for f in node.meta["val"]] if marker in _OF_LISTS else []
        match marker:
            case "if_begin":
                self.begin_if(args[0])
            case "if_else":
                self.begin_else()
            case "if_end":
                return self.end_if(args[0], args[1], types, self.new_sizes(args[2]))
            case "while_begin":
                return self.begin_while(args[0], types, self.new_sizes(args[1]))
            case "while_test":
                self.test(args[0])
            case "while_end":
                return self.end_while(args[0], types, self.new_sizes(args[1]))
            case "for_begin":
                return self.begin_for(args[0], args[1], args[2])
            case "for_row":
                return self.b.emit("take_at", args[0], args[1], axis=0)
            case "for_end":
                return self.end_for(args[0], args[1], types)
            case "size":
                return self.size(args[0], args[1])
            case "narrow":
                return self.narrow(node, *args)
            case "check":
                self.b.bodies[-1].append(Check(args[0], args[1], args[2], self.b.location))
        return None

    def new_sizes(self, flat: Sequence[int]) -> list[NewSize]:
        """The sizes of triples (tensor, axis, number), each with the first axis that has it."""
        first: dict[int, NewSize] = {}
        for tensor, axis, number in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
            if number not in first:
                name, low, high = self.bounds(number)
                first[number] = NewSize(name, low, high, tensor, axis)
        return list(first.values())

    def bounds(self, number: int) -> tuple[str, int, Any]:
        declared = self.computed.declared[number]
        self.has_open_size |= declared.high is None
        high = None if declared.high is None else as_extent(self.symbols.expression(declared.high))
        return declared.name, declared.low, high

    def size(self, value: Value, number: int) -> Any:
        name, low, high = self.bounds(number)
        self.b.bodies[-1].append(Size(name, self.b.cast(value, I64), low, high, self.b.location))
        return Var(name)

    def narrow(self, node: Node, x: Value, axis: int, start: Any, length: Any) -> Value:
        y = self.b.slice(x, axis, start, as_extent(add(as_expr(start), as_expr(length))))
        if y is not x:
            y.type = self.type_of(node.meta["val"])
        return y
