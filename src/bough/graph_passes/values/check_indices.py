"""Indices that a call is given are checked where it begins: an element outside of its axis ends the call, as in eager mode.

    y: f32[9, 64] = embedding(table, ids)     ->     c: bool[] = in_range(ids, low=0, high=1000)
                                                     check c "IndexError" "an index is out of range"
                                                     y: f32[9, 64] = embedding(table, ids)

Integers that are made of arguments without any other number count as given. Checks stand as early as what decides and ends calls
lets them, and beside each other, so that they tear nothing apart that could be one kernel. Inside of loops nothing is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bough.graph_passes.decisions.walk import is_pure
from bough.graph_passes.values.known_ranges import KnownRanges
from bough.ir.dtypes import BOOL
from bough.ir.expr import Extent, as_expr, as_extent, sub
from bough.ir.program import Assign, Check, Function, If, Node, Program, TensorType, Value


def check_indices(program: Program) -> Program:
    """The program with checks of the indices that its entry is given."""
    entry = program.functions[program.entry]
    body = _CheckIndices(entry).body(entry.body, frozenset())
    if len(body) == len(entry.body) and all(a is b for a, b in zip(body, entry.body)):
        return program
    return replace(program, functions={**program.functions, program.entry: replace(entry, body=body)})


@dataclass(frozen=True, slots=True)
class _Demand:
    """The elements of `indices` must be positions of an axis of this size, or count from its end where `wrap`; else PyTorch
    raises `error`."""

    indices: Value
    size: Extent
    wrap: bool
    error: str


def _demands(node: Assign) -> Iterator[_Demand]:
    """What an operator asks of its indices."""
    if not node.args or node.args[0] is None:
        return
    shape, indices = node.args[0].type.shape, node.args[1] if len(node.args) > 1 else None
    wrap = bool(node.attributes.get("wrap", True))
    axis: Any = node.attributes.get("axis", 0)
    match node.op:
        case "take" if indices is not None:
            yield _Demand(indices, shape[axis], wrap, "IndexError")
        case "embedding" if indices is not None:
            yield _Demand(indices, shape[0], False, "IndexError")
        case "embedding_bag" if indices is not None:
            yield _Demand(indices, shape[0], False, "RuntimeError")
        case "gather" | "scatter" if indices is not None and shape:
            yield _Demand(indices, shape[axis], False, "RuntimeError")
        case "index" | "index_put":
            for size, one in zip(shape, node.args[1 if node.op == "index" else 2 :]):
                if one is not None:
                    yield _Demand(one, size, wrap, "IndexError")


class _CheckIndices:
    def __init__(self, function: Function) -> None:
        self.ranges = KnownRanges(function.constants, function.dims)
        self.given = {v for v in (*function.params, *function.constants) if not v.type.dtype.is_float}
        self.made: dict[Value, Assign] = {}
        self.count = 0

    def body(self, nodes: Sequence[Node], done: frozenset[_Demand]) -> list[Node]:
        """The nodes of a body with its checks; `done` are those in front of it."""
        out: list[Node] = []
        run: list[Node] = []
        for node in nodes:
            if is_pure(node):
                run.append(node)
                continue
            done = self.straight(run, out, done)
            out.append(self.inside(node, done))
            run = []
        self.straight(run, out, done)
        return out

    def inside(self, node: Node, done: frozenset[_Demand]) -> Node:
        if not isinstance(node, If):
            return node
        then, otherwise = self.body(node.then, done), self.body(node.otherwise, done)
        return replace(node, then=then, otherwise=otherwise)

    def straight(self, run: list[Node], out: list[Node], done: frozenset[_Demand]) -> frozenset[_Demand]:
        """Appends nodes that cannot end the call, behind the checks that they need; gives all that is checked by then."""
        wanted: dict[_Demand, Assign] = {}
        for node in run:
            if isinstance(node, Assign):
                self.note(node)
                for asked in _demands(node):
                    demand = replace(asked, indices=self.whole(asked.indices))
                    if demand not in done and self.is_open(demand):
                        wanted.setdefault(demand, node)
        first = self.makers(run, wanted)
        out += [node for node in run if node in first]
        conditions = [self.condition(demand, out) for demand in wanted]
        for condition, (demand, node) in zip(conditions, wanted.items(), strict=True):
            out.append(Check(condition, demand.error, "an index is out of range", node.location))
        done |= wanted.keys()
        out += [self.inside(node, done) for node in run if node not in first]
        return done

    def note(self, node: Assign) -> None:
        self.ranges.note(node)
        self.made.update(dict.fromkeys(node.results, node))
        if all(a is None or a in self.given for a in node.args):
            self.given.update(r for r in node.results if not r.type.dtype.is_float)

    def whole(self, indices: Value) -> Value:
        """What has the same elements, in front of views that then need no array of their own."""
        while (node := self.made.get(indices)) is not None and node.op in ("reshape", "permute"):
            assert node.args[0] is not None
            indices = node.args[0]
        return indices

    def is_open(self, demand: _Demand) -> bool:
        return demand.indices in self.given and not self.ranges.within(demand.indices, demand.size)

    def makers(self, run: list[Node], wanted: dict[_Demand, Assign]) -> set[Node]:
        """What the indices are made by in this run."""
        here = {id(node) for node in run}
        found: set[Node] = set()
        stack = [demand.indices for demand in wanted]
        while stack:
            node = self.made.get(stack.pop())
            if node is not None and id(node) in here and node not in found:
                found.add(node)
                stack += [a for a in node.args if a is not None]
        return found

    def condition(self, demand: _Demand, out: list[Node]) -> Value:
        low = as_extent(sub(0, as_expr(demand.size))) if demand.wrap else 0
        self.count += 1
        result = Value(f"in_range.{self.count}", TensorType(BOOL, ()))
        bounds: dict[str, Any] = {"low": low, "high": demand.size}
        out.append(Assign((result,), "in_range", (demand.indices,), bounds))
        return result
