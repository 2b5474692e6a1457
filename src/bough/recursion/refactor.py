"""Recursive refactoring (Fegade et al., Cortex, MLSys 2021, section 3.1): products that a caller makes of each callee's result
are made by the callee, once for each object instead of once for each edge, and for all leaves at once.

    node: f = sigmoid(x + linear(h of each child, u))      ->      node: f = sigmoid(x + uh of each child)
                                                                   every variant: uh = linear(h, u), one more result
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bough.base.visits import Collect, Stage, Variant, Visits, stages
from bough.ir.program import Assign, Function, TensorType, Value
from bough.ir.recursion import Cell, Recursion, Returned
from bough.recursion.regions import Member

Array = np.ndarray[Any, Any]


def refactor(recursion: Recursion) -> Recursion:
    """The recursion with such products moved where a caller makes them of every element of a walk, or of several calls."""
    for stage in stages(recursion.visits):
        for product in _worthwhile(recursion, stage):
            recursion = _Move(recursion, stage, product).run()
    return recursion


@dataclass(frozen=True, slots=True)
class _Product:
    """`linear` of result `result` of `function` with these weights and bias, arrays being told apart by identity."""

    function: str
    result: int
    weights: int
    bias: int | None


def _worthwhile(recursion: Recursion, stage: Stage) -> list[_Product]:
    found: list[_Product] = []
    for member in stage.step:
        calls = recursion.visits.function(member[0]).variants[member[1]].calls
        uses: Counter[_Product] = Counter()
        for _, product, source in products(recursion, stage, member):
            uses[product] += 1 if calls[source.call].each is None else 2
        found += [p for p, n in uses.items() if n > 1 and p not in found]
    return found


def products(recursion: Recursion, stage: Stage, member: Member) -> list[tuple[Assign, _Product, Returned]]:
    """The products of results of calls inside the stage, each with what it multiplies."""
    cell = recursion.cells[member]
    calls = recursion.visits.function(member[0]).variants[member[1]].calls
    sources = dict(zip(cell.function.params, cell.sources))
    constants = cell.function.constants
    found = []
    for node in cell.function.body:
        if not isinstance(node, Assign) or node.op != "linear":
            continue
        x, w, b = node.args
        source = sources.get(x) if x is not None else None
        if not isinstance(source, Returned) or calls[source.call].function not in stage.functions:
            continue
        if w in constants and (b is None or b in constants):
            bias = None if b is None else id(constants[b])
            product = _Product(calls[source.call].function, source.result, id(constants[w]), bias)
            found.append((node, product, source))
    return found


class _Move:
    """Moves one product into the variants of its function."""

    def __init__(self, recursion: Recursion, stage: Stage, product: _Product) -> None:
        self.recursion, self.stage, self.product = recursion, stage, product
        self.number = len(recursion.results[product.function])
        node, cell = next(
            (node, recursion.cells[m]) for m in stage.step for node, p, _ in products(recursion, stage, m) if p == product
        )
        self.arrays: list[Array | None] = [None if a is None else cell.function.constants[a] for a in node.args[1:]]
        self.types = [None if a is None else a.type for a in node.args[1:]]
        of = recursion.results[product.function][product.result]
        w = self.types[0]
        assert w is not None
        self.type = TensorType(node.results[0].type.dtype, (*of.shape[:-1], w.shape[0]))
        self.location = node.location

    def run(self) -> Recursion:
        r = self.recursion
        cells = dict(r.cells)
        for member in self.stage.step:
            cells[member] = self.caller(member)
        for f, v in cells:
            if f == self.product.function:
                cells[f, v] = self.callee(cells[f, v])
        results = {**r.results, self.product.function: (*r.results[self.product.function], self.type)}
        return replace(r, visits=self.visits(), cells=cells, results=results)

    def caller(self, member: Member) -> Cell:
        """The cell with the product as one more result of the call."""
        cell = self.recursion.cells[member]
        moved = {id(n): s for n, p, s in products(self.recursion, self.stage, member) if p == self.product}
        if not moved:
            return cell
        f = cell.function
        gone = [n for n in f.body if id(n) in moved]
        params = (*f.params, *(n.results[0] for n in gone if isinstance(n, Assign)))
        sources = (*cell.sources, *(Returned(moved[id(n)].call, self.number) for n in gone))
        body = [n for n in f.body if id(n) not in moved]
        return replace(cell, function=Function(f.name, params, f.constants, body, f.results, f.dims), sources=sources)

    def callee(self, cell: Cell) -> Cell:
        """The cell with the product as one more result."""
        f = cell.function
        constants = dict(f.constants)
        args: list[Value | None] = []
        name = f"{f.results[self.product.result].name}.product{self.number}"
        for n, (array, of) in enumerate(zip(self.arrays, self.types)):
            known = next((v for v, a in constants.items() if a is array), None)
            if known is None and array is not None and of is not None:
                known = Value(f"{name}.{n}", of, self.location)
                constants[known] = array
            args.append(known)
        value = Value(name, self.type, self.location)
        body = [*f.body, Assign((value,), "linear", (f.results[self.product.result], *args), {}, self.location)]
        results = (*f.results[: self.number], value, *f.results[self.number :])
        passes = tuple(replace(p, result=p.result + (p.result >= self.number)) for p in cell.passes)
        return replace(cell, function=Function(f.name, f.params, constants, body, results, f.dims), passes=passes)

    def visits(self) -> Visits:
        """With the numbers of results that are collected, and stand behind the new one, moved up."""
        visits = self.recursion.visits
        functions = tuple(
            replace(f, variants=tuple(map(self.shifted, f.variants))) if f.name == self.product.function else f
            for f in visits.functions
        )
        return replace(visits, functions=functions)

    def shifted(self, v: Variant) -> Variant:
        moved = (Collect(c.list, c.result + (c.result >= self.number), c.calls) for c in v.collects)
        return replace(v, collects=tuple(moved))
