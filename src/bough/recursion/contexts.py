"""Tensors that go down unchanged are kept once for each call, and what is computed from them alone is computed once.

    node(x, context): h = linear(context, w) + ...    ->    entry: one more result, linear(context, w)
                      node(left, context)                   node(x): h = that of the sample's entry + ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bough.base.visits import with_repeats
from bough.ir.narrow import narrowed, used_by
from bough.ir.program import Assign, Function, Node, Value
from bough.ir.recursion import Cell, Context, Given, Recursion
from bough.recursion.binding import Time
from bough.recursion.regions import Member
from bough.recursion.split_products import split_joined
from bough.recursion.tables import variants

Argument = tuple[str, int]
"""A function and the number of one of its arguments."""
_DIFFERS = -1
_VIEWS = ("copy", "expand", "reshape", "permute", "slice")


def with_contexts(recursion: Recursion) -> Recursion:
    """The recursion in which arguments that are the same for all activations of a call are results of the entry that the others
    take. Where nothing else goes down, objects that are met again are no activations of their own."""
    if len(recursion.visits.function(recursion.visits.entry).variants) != 1:
        return recursion
    origins = _origins(recursion)
    return _Hoisting(_taken(recursion, origins)).run() if origins else recursion


def _origins(recursion: Recursion) -> dict[Argument, int]:
    """The results of the entry that arguments always are."""
    entry = recursion.visits.entry
    found: dict[Argument, int] = {}
    described = variants(recursion.visits)
    changed = True
    while changed:
        changed = False
        for member, cell in recursion.cells.items():
            for p in cell.passes:
                call = described[member].calls[p.call]
                value = _unchanged(cell, cell.function.results[p.result], call.each is not None)
                if member[0] == entry:
                    origin: int | None = _DIFFERS if call.each is not None else cell.function.results.index(value)
                else:
                    source = dict(zip(cell.function.params, cell.sources)).get(value)
                    origin = found.get((member[0], source.argument)) if isinstance(source, Given) else _DIFFERS
                key = call.function, p.argument
                known = found.get(key)
                merged = origin if known is None else known if origin in (None, known) else _DIFFERS
                if merged is not None and merged != known:
                    found[key] = merged
                    changed = True
    return {key: origin for key, origin in found.items() if origin != _DIFFERS}


def _unchanged(cell: Cell, value: Value, along: bool) -> Value:
    """The value that is passed: behind copies and, for the elements of a walk, behind one row for each."""
    made = {n.results[0]: n for n in cell.function.body if isinstance(n, Assign) and n.op in ("copy", "expand")}
    while value in made:
        (before,) = (a for a in made[value].args if a is not None)
        repeats = along and before.type.shape == value.type.shape[1:]
        if before.type != value.type and not repeats:
            break
        along, value = along and not repeats, before
    return value


def _taken(recursion: Recursion, origins: Mapping[Argument, int]) -> Recursion:
    """The recursion with contexts in place of these arguments."""
    described = variants(recursion.visits)
    kept = {f: [a for a in range(len(types)) if (f, a) not in origins] for f, types in recursion.arguments.items()}

    def changed(member: Member, cell: Cell) -> Cell:
        function, calls = cell.function, described[member].calls
        passes = [p for p in cell.passes if (calls[p.call].function, p.argument) not in origins]
        passes = [replace(p, argument=kept[calls[p.call].function].index(p.argument)) for p in passes]
        sources = tuple(
            s if not isinstance(s, Given)
            else Context(origins[member[0], s.argument]) if (member[0], s.argument) in origins
            else Given(kept[member[0]].index(s.argument))
            for s in cell.sources
        )  # fmt: skip
        if member[0] == recursion.visits.entry:
            return replace(cell, sources=sources, passes=tuple(passes))
        gone = {p.result for p in cell.passes} - {p.result for p in passes}
        results = [n for n in range(len(function.results)) if n not in gone]
        moved = tuple(replace(p, result=results.index(p.result)) for p in passes)
        return replace(narrowed(replace(cell, sources=sources), results), passes=moved)

    arguments = {f: tuple(recursion.arguments[f][a] for a in numbers) for f, numbers in kept.items() if numbers}
    remembered = {member for member, v in described.items() if not v.repeats}
    visits = with_repeats(recursion.visits, remembered, arguments)
    cells = {member: changed(member, cell) for member, cell in recursion.cells.items()}
    return replace(recursion, visits=visits, cells=cells, arguments=arguments)




class _Hoisting:
    """Moves what cells compute from contexts alone into the cell of the entry."""

    def __init__(self, recursion: Recursion) -> None:
        self.recursion = recursion
        self.entry: Member = (recursion.visits.entry, 0)
        f = recursion.cells[self.entry].function
        self.constants, self.body, self.results = dict(f.constants), list(f.body), list(f.results)
        self.known: dict[Any, Value] = {}

    def run(self) -> Recursion:
        cells = {m: cell if m == self.entry else self.cell(cell) for m, cell in self.recursion.cells.items()}
        cell = cells[self.entry]
        f = cell.function
        function = Function(f.name, f.params, self.constants, self.body, tuple(self.results), f.dims)
        return replace(self.recursion, cells={**cells, self.entry: replace(cell, function=function)})

    def cell(self, cell: Cell) -> Cell:
        if not any(isinstance(s, Context) for s in cell.sources):
            return cell
        cell = split_joined(cell, [Time.EARLY if isinstance(s, Context) else Time.LEVEL for s in cell.sources])
        f = cell.function
        contexts = {p: s.result for p, s in zip(f.params, cell.sources) if isinstance(s, Context)}
        derived = self.derived(f, set(contexts))
        outside = set(f.results) | used_by([n for n in f.body if n not in derived.values()])
        moved = [v for v in derived if v in outside and self.is_worth(v, derived)]
        if not moved:
            return cell
        sources = (*cell.sources, *(Context(self.result(self.copied(v, derived, contexts, f))) for v in moved))
        body: list[Node] = [n for n in f.body if not (isinstance(n, Assign) and n.results[0] in moved)]
        function = Function(f.name, (*f.params, *moved), f.constants, body, f.results, f.dims)
        whole = narrowed(replace(cell, function=function, sources=sources), range(len(f.results)))
        return replace(whole, passes=cell.passes)

    def derived(self, f: Function, contexts: set[Value]) -> dict[Value, Assign]:
        """The values of fixed size that depend on contexts alone."""
        found: dict[Value, Assign] = {}
        for node in f.body:
            if not isinstance(node, Assign) or len(node.results) != 1:
                continue
            args = {a for a in node.args if a is not None} - f.constants.keys()
            fixed = all(isinstance(e, int) for e in node.results[0].type.shape)
            if args and fixed and all(a in contexts or a in found for a in args):
                found[node.results[0]] = node
        return found

    def is_worth(self, value: Value, derived: Mapping[Value, Assign]) -> bool:
        """Whether it is more than another view of a context."""
        while value in derived:
            if derived[value].op not in _VIEWS:
                return True
            value = next(a for a in derived[value].args if a is not None)
        return False

    def copied(self, value: Value, derived: Mapping[Value, Assign], contexts: Mapping[Value, int], f: Function) -> Value:
        """The value computed by the entry; what is alike is computed once for all cells."""
        if value in contexts:
            return self.results[contexts[value]]
        if value in f.constants:
            return self.constant(value, f.constants[value])
        node = derived[value]
        args = tuple(None if a is None else self.copied(a, derived, contexts, f) for a in node.args)
        key = node.op, args, repr(sorted(node.attributes.items()))
        if key not in self.known:
            made = Value(f"context{len(self.known)}.{value.name}", value.type, value.location)
            self.body.append(Assign((made,), node.op, args, node.attributes, node.location))
            self.known[key] = made
        return self.known[key]

    def constant(self, value: Value, array: Any) -> Value:
        found = next((v for v, a in self.constants.items() if a is array), None)
        if found is None:
            found = Value(f"context.{len(self.constants)}.{value.name}", value.type, value.location)
            self.constants[found] = array
        return found

    def result(self, value: Value) -> int:
        if value not in self.results:
            self.results.append(value)
        return self.results.index(value)
