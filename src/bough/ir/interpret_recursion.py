"""What a recursion means: its cells evaluated depth first, each activation once, like the recursion that the user wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bough.base.errors import InputError, InternalError
from bough.base.reading import decide, elements, identity, payload, target
from bough.base.visits import Payload, Variant, call_order
from bough.ir.dtypes import DTYPES
from bough.ir.evaluate import Array, Precision, compute_type, shape_value
from bough.ir.interpret_program import Evaluate, run_program
from bough.ir.narrow import narrowed
from bough.ir.program import Program
from bough.ir.recursion import Cell, Collected, Context, Given, Recursion, Returned

Results = tuple[Array, ...]


def interpret_recursion(
    recursion: Recursion, args: tuple[Any, ...], evaluate: Evaluate, precision: Precision = "native"
) -> list[Array]:
    """The results of the entry function for one sample, then each collected list, stacked along a new first axis.

    `evaluate` is the meaning of the operators. Nothing here recurses: structures may be as deep as memory allows.
    Raises InputError for objects that the recursion does not take.
    """
    run = _Run(recursion, evaluate, precision)
    results = run.visit(recursion.visits.entry, args)
    return [*results, *(run.stacked(n) for n in range(number_of_lists(recursion)))]


def number_of_lists(recursion: Recursion) -> int:
    """How many lists the recursion collects."""
    return max((c.list + 1 for f in recursion.visits.functions for v in f.variants for c in v.collects), default=0)


@dataclass(slots=True)
class _Activation:
    """One function at one object, on its way: `calls` are still to be made, the results of call number `waiting` come next."""

    function: str
    number: int
    variant: Variant
    value: Any
    key: Any
    walks: list[Sequence[Any]]
    made: list[list[Results]]
    given: tuple[Array, ...]
    calls: Iterator[tuple[int, str, Any, int]] = field(init=False)
    waiting: int = 0
    appended: list[tuple[int, int, int]] = field(default_factory=list)
    """list, place and result of what it collects"""


class _Run:
    def __init__(self, recursion: Recursion, evaluate: Evaluate, precision: Precision) -> None:
        self.recursion, self.evaluate, self.precision = recursion, evaluate, precision
        self.known: dict[tuple[str, int], Results | None] = {}
        self.alive: list[Any] = []  # an object that died could give its id to another
        self.lists: dict[int, list[Array]] = {}
        self.contexts: dict[int, Array] = {}

    def visit(self, function: str, value: Any) -> Results:
        stack = [self.activate(function, value, id(value), ())]
        self.root = stack[0]
        while True:
            top = stack[-1]
            deeper = self.advance(top)
            if deeper is not None:
                stack.append(deeper)
                continue
            results = self.finish(top)
            stack.pop()
            if not stack:
                return results
            stack[-1].made[stack[-1].waiting].append(results)

    def advance(self, a: _Activation) -> _Activation | None:
        """Makes calls whose results are known; gives the first whose are not, or None where all are made."""
        for call, callee, found, element in a.calls:
            a.waiting = call
            key = identity(a.variant.calls[call], found)
            if (callee, key) not in self.known:
                return self.activate(callee, found, key, self.passed(a, call, element))
            results = self.known[callee, key]
            if results is None:
                raise InputError("the structure has a circle", code="BGH-ST-003", because=f"{callee} would need its own result")
            a.made[call].append(results)
        return None

    def passed(self, a: _Activation, call: int, element: int) -> tuple[Array, ...]:
        """The tensors that go down with a call, computed from what is known before it."""
        cell = self.recursion.cells[a.function, a.number]
        passes = sorted((p for p in cell.passes if p.call == call), key=lambda p: p.argument)
        if not passes:
            return ()
        results = dict(zip(sorted({p.result for p in passes}), self.evaluated(a, narrowed(cell, {p.result for p in passes}))))
        along = a.variant.calls[call].each is not None
        return tuple(results[p.result][element] if along else results[p.result] for p in passes)

    def activate(self, function: str, value: Any, key: Any, given: tuple[Array, ...]) -> _Activation:
        visit = self.recursion.visits.function(function)
        self.known[function, key] = None
        self.alive.append(value)
        number = decide(visit, value)
        variant = visit.variants[number]
        walks = [elements(value, e) for e in variant.each]
        activation = _Activation(function, number, variant, value, key, walks, [[] for _ in variant.calls], given)
        activation.calls = self.calls(activation)
        return activation

    def calls(self, a: _Activation) -> Iterator[tuple[int, str, Any, int]]:
        """The calls in order; what is appended between them takes its place meanwhile."""
        made = 0
        self.append(a, made)
        for group in call_order(a.variant):
            each = a.variant.calls[group[0]].each
            for element, base in enumerate((a.value,) if each is None else a.walks[each]):
                for n in group:
                    call = a.variant.calls[n]
                    yield n, call.function, target(call, a.value, base), element
            made += len(group)
            self.append(a, made)

    def append(self, a: _Activation, made: int) -> None:
        for c in a.variant.collects:
            if c.calls == made:
                places = self.lists.setdefault(c.list, [])
                a.appended.append((c.list, len(places), c.result))
                places.append(np.empty(0))

    def finish(self, a: _Activation) -> Results:
        """Evaluates the cell."""
        for e, each in enumerate(a.variant.each):
            if each.list is not None:
                a.walks[e] = self.lists.get(each.list, [])
        results = self.evaluated(a, self.recursion.cells[a.function, a.number])
        for number, place, result in a.appended:
            self.lists[number][place] = results[result]
        kept = results[: len(self.recursion.results[a.function])]
        if a.variant.repeats:
            del self.known[a.function, a.key]
        else:
            self.known[a.function, a.key] = kept
        return kept

    def evaluated(self, a: _Activation, cell: Cell) -> Results:
        sizes = {name: len(walk) for name, walk in zip(cell.sizes, a.walks)}
        args = [self.argument(a, cell, n) for n in range(len(cell.sources))]
        program = Program({cell.function.name: cell.function}, cell.function.name)
        return run_program(program, args, self.evaluate, self.precision, sizes)

    def context(self, result: int) -> Array:
        """A result of the entry that all activations take, computed when the first asks for it."""
        if result not in self.contexts:
            cell = self.recursion.cells[self.root.function, self.root.number]
            (self.contexts[result],) = self.evaluated(self.root, narrowed(cell, {result}))
        return self.contexts[result]

    def argument(self, a: _Activation, cell: Cell, n: int) -> Array:
        """What parameter n of the cell holds."""
        param, source = cell.function.params[n].type, cell.sources[n]
        if isinstance(source, Given):
            return a.given[source.argument]
        if isinstance(source, Context):
            return self.context(source.result)
        if isinstance(source, Collected):
            number = a.variant.each[source.walk].list
            assert number is not None
            return self.stacked(number)
        if isinstance(source, Returned):
            rows = [results[source.result] for results in a.made[source.call]]
            each = a.variant.calls[source.call].each
        else:
            wanted = a.variant.payloads[source.payload]
            each = wanted.each
            bases = (a.value,) if each is None else a.walks[each]
            rows = [self.payload(base, wanted, position) for position, base in enumerate(bases)]
        if each is None:
            return rows[0]
        blank = np.empty((0, *shape_value(param.shape[1:], {})), param.dtype.numpy)
        return np.stack(rows) if rows else blank

    def payload(self, base: Any, wanted: Payload, position: int) -> Array:
        held = DTYPES[wanted.dtype].numpy
        return np.array(position, held) if wanted.path is None else payload(base, wanted, held)

    def stacked(self, number: int) -> Array:
        rows = self.lists.get(number)
        return np.stack(rows) if rows else self.empty(number)

    def empty(self, number: int) -> Array:
        """A list that nothing was appended to; its rows' type is that of the variants that append to it."""
        for f in self.recursion.visits.functions:
            for v, variant in enumerate(f.variants):
                for c in variant.collects:
                    if c.list == number:
                        row = self.recursion.cells[f.name, v].function.results[c.result].type
                        return np.empty((0, *shape_value(row.shape, {})), compute_type(row.dtype, self.precision))
        raise InternalError(f"nothing is collected in list {number}")
