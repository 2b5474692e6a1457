"""Calls computed by their callers: the cells of callees in that of the caller, and a variant of the caller for each combination
of ways that its callees take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

from bough.base.visits import Ask, Call, Decision, Fail, Path, Payload, Question, Stage, Variant
from bough.ir.program import Function, Node, Value
from bough.ir.recursion import Cell, Read, Recursion, Returned, Source
from bough.recursion.copying import Copier
from bough.recursion.regions import Member
from bough.recursion.tables import variants

Site = tuple[Member, int]
"""A call of a variant, by its number."""
Inlined = Mapping[Site, frozenset[int]]
"""The variants of its callee that each call is replaced by, where its object takes one of them."""


def inline(recursion: Recursion, stage: Stage, inlined: Inlined) -> Recursion:
    """The recursion with these calls inside of a stage computed by their callers. Callers and these variants of the callees are
    plain (`is_plain`), the calls have neither walks nor parts."""
    return _Stage(recursion, stage, inlined).run() if inlined else recursion


def is_plain(recursion: Recursion, member: Member) -> bool:
    """Whether a variant neither walks over lists nor collects, is passed nothing and passes nothing on."""
    v, arguments = variants(recursion.visits)[member], recursion.arguments_of(member[0])
    return not (v.each or v.collects or v.repeats or arguments or recursion.cells[member].passes)


def combine(recursion: Recursion, member: Member, ways: Mapping[int, int]) -> tuple[Variant, Cell]:
    """A variant with what some of its calls compute in its own cell: `ways` says which variant each of these takes."""
    described = variants(recursion.visits)
    variant = described[member]
    into = _Inlining(variant, recursion.cells[member], set(ways))
    for call, way in ways.items():
        callee = (variant.calls[call].function, way)
        into.add(call, described[callee], recursion.cells[callee])
    return into.result()


class _Stage:
    def __init__(self, recursion: Recursion, stage: Stage, inlined: Inlined) -> None:
        self.recursion, self.stage, self.inlined = recursion, stage, inlined
        self.variants = variants(recursion.visits)

    def run(self) -> Recursion:
        functions = []
        cells = dict(self.recursion.cells)
        for f in self.recursion.visits.functions:
            if f.name not in self.stage.functions:
                functions.append(f)
                continue
            made: list[tuple[Variant, Cell]] = []
            ends: dict[int, Decision] = {}
            for n in range(len(f.variants)):
                ends[n] = self.decided((f.name, n), made)
            described = tuple(replace(v, name=f"{v.name}.{n}") for n, (v, _) in enumerate(made))
            functions.append(replace(f, decision=_mapped(f.decision, ends), variants=described))
            cells = {member: cell for member, cell in cells.items() if member[0] != f.name}
            for n, (_, cell) in enumerate(made):
                function = cell.function
                named = Function(
                    f"{f.name}_{n}", function.params, function.constants, function.body, function.results, function.dims
                )
                cells[f.name, n] = replace(cell, function=named)
        return replace(self.recursion, visits=replace(self.recursion.visits, functions=tuple(functions)), cells=cells)

    def decided(self, member: Member, made: list[tuple[Variant, Cell]]) -> Decision:
        """What follows where an object takes the variant: questions about the objects that it calls."""
        calls = [n for n in range(len(self.variants[member].calls)) if (member, n) in self.inlined]
        ways = [range(len(self.recursion.visits.function(self.call(member, n).function).variants)) for n in calls]
        numbers: dict[tuple[int | None, ...], int] = {}
        ends: dict[tuple[int, ...], int] = {}
        for combination in product(*ways):
            taken = {n: w for n, w in zip(calls, combination) if w in self.inlined[member, n]}
            key = tuple(taken.get(n) for n in calls)
            if key not in numbers:
                numbers[key] = len(made)
                made.append(combine(self.recursion, member, taken))
            ends[combination] = numbers[key]

        def ask(position: int, before: tuple[int, ...]) -> Decision:
            if position == len(calls):
                return ends[before]
            call = self.call(member, calls[position])
            decision = self.recursion.visits.function(call.function).decision
            below = {w: ask(position + 1, (*before, w)) for w in ways[position]}
            return _moved(_mapped(decision, below), call.path, decision)

        return ask(0, ())

    def call(self, member: Member, number: int) -> Call:
        return self.variants[member].calls[number]


class _Inlining:
    """A variant and its cell, in which those of some calls take the place of the calls."""

    def __init__(self, variant: Variant, cell: Cell, gone: set[int]) -> None:
        self.variant, self.cell, self.gone = variant, cell, gone
        kept = [n for n in range(len(variant.calls)) if n not in gone]
        self.numbers = {n: position for position, n in enumerate(kept)}
        self.calls = [variant.calls[n] for n in kept]
        self.payloads: list[Payload] = list(variant.payloads)
        self.params: list[Value] = []
        self.sources: list[Source] = []
        self.constants = dict(cell.function.constants)
        self.body: list[Node] = []
        self.known: dict[Value, Value] = {}

    def add(self, call: int, variant: Variant, cell: Cell) -> None:
        path = self.variant.calls[call].path
        copy = Copier({}, {}, f"call{call}.")
        for param, source in zip(cell.function.params, cell.sources):
            self.params.append(copy.value(param))
            if isinstance(source, Returned):
                self.sources.append(Returned(self.called(path, variant.calls[source.call]), source.result))
            elif isinstance(source, Read):
                self.sources.append(Read(self.read(path, variant.payloads[source.payload])))
        for value, array in cell.function.constants.items():
            shared = next((v for v, a in self.constants.items() if a is array), None)
            copy.values[value] = shared or copy.value(value)
            self.constants[copy.values[value]] = array
        self.body += copy.nodes(cell.function.body)
        results = copy.several(cell.function.results)
        for param, source in zip(self.cell.function.params, self.cell.sources):
            if isinstance(source, Returned) and source.call == call:
                self.known[param] = results[source.result]

    def called(self, path: Path, call: Call) -> int:
        moved = replace(call, path=(*path, *call.path))
        if moved not in self.calls:
            self.calls.append(moved)
        return self.calls.index(moved)

    def read(self, path: Path, payload: Payload) -> int:
        moved = replace(payload, path=(*path, *(payload.path or ())))
        if moved not in self.payloads:
            self.payloads.append(moved)
        return self.payloads.index(moved)

    def result(self) -> tuple[Variant, Cell]:
        f = self.cell.function
        copy = Copier({**{v: v for v in self.constants}, **self.known}, {})
        own: list[tuple[Value, Source]] = []
        for param, source in zip(f.params, self.cell.sources):
            if isinstance(source, Returned) and source.call in self.gone:
                continue
            moved = Returned(self.numbers[source.call], source.result) if isinstance(source, Returned) else source
            own.append((copy.value(param), moved))
        body = [*self.body, *copy.nodes(f.body)]
        params = (*(v for v, _ in own), *self.params)
        function = Function(f.name, params, self.constants, body, copy.several(f.results), f.dims)
        sources = (*(s for _, s in own), *self.sources)
        variant = replace(self.variant, calls=tuple(self.calls), payloads=tuple(self.payloads))
        return variant, replace(self.cell, function=function, sources=sources)


def _mapped(decision: Decision, ends: dict[int, Decision]) -> Decision:
    """The decision with others in place of its variants."""
    match decision:
        case Ask():
            return replace(decision, yes=_mapped(decision.yes, ends), no=_mapped(decision.no, ends))
        case Fail():
            return decision
        case int():
            return ends[decision]


def _moved(mapped: Decision, path: Path, like: Decision) -> Decision:
    """The decision with its own questions, those of `like`, asked at `path`."""
    if not isinstance(like, Ask) or not isinstance(mapped, Ask):
        return mapped
    question: Question = replace(mapped.question, path=(*path, *mapped.question.path))
    return replace(mapped, question=question, yes=_moved(mapped.yes, path, like.yes), no=_moved(mapped.no, path, like.no))
