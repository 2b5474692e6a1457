"""Products of joined vectors as sums of products, so that the part that is known before the levels can be hoisted.

    y = linear(concat(x, h), w, b)    ->    y = linear(x, w[:, :n], b) + linear(h, w[:, n:])

where x comes from payloads or earlier stages and h from results of the same stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bough.base.visits import stages
from bough.ir.program import Assign, Function, Node, TensorType, Value, results_of
from bough.ir.recursion import Cell, Recursion, Returned
from bough.recursion.binding import Time

Array = np.ndarray[Any, Any]


def split_products(recursion: Recursion) -> Recursion:
    """The recursion with such products taken apart in the variants that call their own stage."""
    cells = dict(recursion.cells)
    for stage in stages(recursion.visits):
        for f, v in stage.step:
            calls, cell = recursion.visits.function(f).variants[v].calls, cells[f, v]
            level = [isinstance(s, Returned) and calls[s.call].function in stage.functions for s in cell.sources]
            cells[f, v] = split_joined(cell, [Time.LEVEL if inside else Time.EARLY for inside in level])
    return replace(recursion, cells=cells)


def split_joined(cell: Cell, times: Sequence[Time]) -> Cell:
    """The cell with such products taken apart into what is known before level time, by the times of its parameters, and the
    rest."""
    return _Split(cell, times).run()


class _Split:
    def __init__(self, cell: Cell, times: Sequence[Time]) -> None:
        self.cell = cell
        self.constants = dict(cell.function.constants)
        self.times: dict[Value, Time] = dict(zip(cell.function.params, times))
        self.joined: dict[Value, Assign] = {}
        self.changed = False

    def run(self) -> Cell:
        f = self.cell.function
        body: list[Node] = []
        for node in f.body:
            body.extend(self.node(node))
        if not self.changed:
            return self.cell
        return replace(self.cell, function=Function(f.name, f.params, self.constants, body, f.results, f.dims))

    def node(self, node: Node) -> list[Node]:
        if not isinstance(node, Assign):
            self.times.update(dict.fromkeys(results_of(node), Time.LEVEL))
            return [node]
        time = max((self.times.get(a, Time.ONCE) for a in node.args if a is not None), default=Time.ONCE)
        self.times.update(dict.fromkeys(node.results, time))
        if node.op == "concat" and node.attributes["axis"] in (-1, node.results[0].type.rank - 1):
            self.joined[node.results[0]] = node
        parts = self.parts(node)
        return [node] if parts is None else self.split(node, *parts)

    def parts(self, node: Assign) -> tuple[list[int], list[int]] | None:
        """Which vectors of a joined one are known early, and which are not; None where nothing is gained."""
        if node.op not in ("linear", "matmul") or node.args[0] not in self.joined or node.args[1] not in self.constants:
            return None
        given = self.joined[node.args[0]].args
        if not all(a is not None and isinstance(a.type.shape[-1], int) for a in given):
            return None
        late = [n for n, a in enumerate(given) if a is not None and self.times.get(a) == Time.LEVEL]
        early = [n for n in range(len(given)) if n not in late]
        return (early, late) if early and late else None

    def split(self, node: Assign, early: list[int], late: list[int]) -> list[Node]:
        self.changed = True
        (result,) = node.results
        first, before = self.product(node, early, "early", node.args[2:])
        second, behind = self.product(node, late, "late", tuple(None for _ in node.args[2:]))
        return [*before, *behind, Assign((result,), "add", (first, second), {}, node.location)]

    def product(self, node: Assign, chosen: list[int], name: str, bias: tuple[Value | None, ...]) -> tuple[Value, list[Node]]:
        """The product of the chosen vectors with their part of the weights."""
        x, w, *_ = node.args
        assert x is not None and w is not None
        joined, (result,) = self.joined[x], node.results
        sizes = [a.type.shape[-1] for a in joined.args if a is not None]
        ends = np.cumsum([0, *sizes])
        columns = np.concatenate([np.arange(ends[n], ends[n + 1]) for n in chosen])
        array = np.take(self.constants[w], columns, axis=1 if node.op == "linear" else self.constants[w].ndim - 2)
        weights = Value(f"{result.name}.{name}.w", TensorType(w.type.dtype, array.shape), w.location)
        self.constants[weights] = array
        nodes: list[Node] = []
        vectors = tuple(joined.args[n] for n in chosen)
        part = vectors[0]
        if len(vectors) > 1:
            of = TensorType(x.type.dtype, (*x.type.shape[:-1], len(columns)))
            part = Value(f"{result.name}.{name}.x", of, joined.location)
            nodes.append(Assign((part,), "concat", vectors, joined.attributes, joined.location))
        y = Value(f"{result.name}.{name}", result.type, result.location)
        nodes.append(Assign((y,), node.op, (part, weights, *bias), node.attributes, node.location))
        return y, nodes
