"""Linearizes the user's structures: objects to index arrays and payload arrays, as `bough.base.visits.Names` calls them.

The plain reference: what it gives is what any faster linearizer has to give.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np

from bough.base.errors import InputError
from bough.base.reading import decide, describe, elements, identity, path_text, payload, target
from bough.base.spans import Span
from bough.base.visits import Each, Item, Names, Path, Payload, Stage, Variant, Visits, call_order, stages
from bough.runtime.arrays import NUMPY

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Linearized:
    """What compiled code takes: arrays and sizes by their names."""

    arrays: dict[str, Array]
    sizes: dict[str, int]


def linearize(visits: Visits, samples: Sequence[tuple[Any, ...]]) -> Linearized:
    """All arrays and sizes of `Names` for independent calls, each given by its tuple of arguments.

    Iterative: structures may be as deep as memory allows. Raises InputError for objects that the functions do not take.
    """
    try:
        walk = _Walk(visits)
        for args in samples:
            walk.sample(args)
        return _Tables(visits, walk).fill()
    except MemoryError as error:
        raise InputError(
            "there is not enough memory to linearize the structure",
            code="BGH-ST-006",
            because="each node takes some hundred bytes while the structure is read",
            advice="pass fewer samples at once, or smaller structures",
        ) from error


@dataclass(slots=True, eq=False)
class _Activation:
    """One function at one object, reached from `above` by call `call` at element `element` of its walk."""

    function: str
    variant: int
    value: Any
    walks: list[Sequence[Any]]
    targets: list[list["_Activation"]]
    places: list[int]
    above: "_Activation | None"
    call: int
    element: int
    sample: int
    done: bool = False
    level: int = 0
    state: int = -1
    """Its index in the state of its function."""


@dataclass(slots=True)
class _Found:
    """All activations, those of a variant in the order of discovery; `spans[l]` are the lengths of list l after each sample."""

    of: dict[tuple[str, int], list[_Activation]]
    spans: list[list[int]]
    roots: list[_Activation] = field(default_factory=list)


class _Walk:
    """Depth first, calls in order, which is the order in which plain recursion appends to its lists."""

    def __init__(self, visits: Visits) -> None:
        self.functions = {f.name: f for f in visits.functions}
        self.entry, self.members = visits.entry, visits.members
        self.stage = {f: s.number for s in stages(visits) for f in s.functions}
        self.step = {member for s in stages(visits) for member in s.step}
        variants = {(f.name, n): v for f in visits.functions for n, v in enumerate(f.variants)}
        self.orders = {member: call_order(v) for member, v in variants.items()}
        self.lengths = [0] * max((c.list + 1 for v in variants.values() for c in v.collects), default=0)
        self.found = _Found({member: [] for member in variants}, [[0] for _ in self.lengths])
        self.known: dict[tuple[str, int], _Activation] = {}

    def sample(self, args: tuple[Any, ...]) -> None:
        self.known = {}  # an object that two samples share is computed for each, as in two calls
        root = self.activate(self.entry, args, id(args), None, 0, 0)
        stack = [(root, self.calls(root))]
        while stack:
            top, calls = stack[-1]
            for call, element in calls:
                function, found, key = self.target(top, call, element)
                callee = self.known.get((function, key))
                if callee is None or (callee.done and self.variant(callee).repeats):
                    callee = self.activate(function, found, key, top, call, element)
                    stack.append((callee, self.calls(callee)))
                elif not callee.done:
                    raise self.circle(callee, top, call, element)
                top.targets[call].append(callee)
                if not callee.done:
                    break
            else:
                self.finish(top)
                stack.pop()
        self.walk_lists(root)
        self.found.roots.append(root)
        for span, length in zip(self.found.spans, self.lengths):
            span.append(length)

    def walk_lists(self, root: _Activation) -> None:
        """What the sample has collected, as elements of the entry's walks over lists."""
        for e, each in enumerate(self.variant(root).each):
            if each.list is not None:
                root.walks[e] = range(self.found.spans[each.list][-1], self.lengths[each.list])
                if each.some and not root.walks[e]:
                    raise InputError(
                        "a list that the model fills on the way is empty",
                        code="BGH-ST-009",
                        because="the model combines its elements, as torch.stack does, which takes one at least",
                        advice="pass structures with objects at which something is appended",
                        location=self.variant(root).location,
                    )

    def activate(
        self, function: str, value: Any, key: Any, above: _Activation | None, call: int, element: int
    ) -> _Activation:
        visit = self.functions[function]
        try:
            number = decide(visit, value, self.members)
            walks = [elements(value, e) for e in visit.variants[number].each]
        except InputError as error:
            raise self.placed(error, above, call, element) from error
        variant = visit.variants[number]
        places = [0] * len(variant.collects)
        children: list[Any] = [[] for _ in variant.calls]
        a = _Activation(function, number, value, walks, children, places, above, call, element, len(self.found.roots))
        self.known[function, key] = a  # `a` keeps the object alive, so that no other one gets its id
        self.found.of[function, number].append(a)
        return a

    def variant(self, a: _Activation) -> Variant:
        return self.functions[a.function].variants[a.variant]

    def calls(self, a: _Activation) -> Iterator[tuple[int, int]]:
        """The calls, with the element of their walk, in order. What is collected between them takes its place meanwhile."""
        variant = self.variant(a)
        made = 0
        self.collect(a, variant, made)
        for group in self.orders[a.function, a.variant]:
            each = variant.calls[group[0]].each
            for element in range(1 if each is None else len(a.walks[each])):
                for call in group:
                    yield call, element
            made += len(group)
            self.collect(a, variant, made)

    def collect(self, a: _Activation, variant: Variant, made: int) -> None:
        for n, c in enumerate(variant.collects):
            if c.calls == made:
                a.places[n] = self.lengths[c.list]
                self.lengths[c.list] += 1

    def target(self, a: _Activation, number: int, element: int) -> tuple[str, Any, Any]:
        """The function, the object, and what tells it apart."""
        call = self.variant(a).calls[number]
        try:
            found = target(call, a.value, None if call.each is None else a.walks[call.each][element])
            return call.function, found, identity(call, found)
        except InputError as error:
            raise self.placed(error, a.above, a.call, a.element) from error

    def finish(self, a: _Activation) -> None:
        a.done = True
        if (a.function, a.variant) in self.step:
            stage = self.stage[a.function]
            a.level = 1 + max((c.level for callees in a.targets for c in callees if self.stage[c.function] == stage), default=0)

    def circle(self, callee: _Activation, above: _Activation, call: int, element: int) -> InputError:
        of_list = isinstance(callee.value, Span)
        error = InputError(
            "the recursion over a list does not end" if of_list else "the structure has a circle",
            code="BGH-ST-003",
            because=f"{callee.function} at {describe(callee.value)} would need its own result",
            advice="return something for such a list in the model" if of_list else "pass a tree, or a graph without circles",
            location=self.variant(above).calls[call].location,
        )
        return self.placed(error, above, call, element)

    def placed_at(self, error: InputError, a: _Activation, each: Each | None = None, element: int = 0) -> InputError:
        """The same for an error about an activation's own object, or about an element of a walk of it."""
        way = () if each is None else (*each.path, Item(element + each.skip))
        return self.placed(error, a.above, a.call, a.element, _step_text(a.above is None, way))

    def placed(
        self, error: InputError, above: _Activation | None, call: int, element: int, further: str = ""
    ) -> InputError:
        """The error with the way from the arguments to the object that it is about; `further`: its last step."""
        steps = [further] if further else []
        while above is not None:
            variant = self.variant(above)
            each, path = variant.calls[call].each, variant.calls[call].path
            walk = None if each is None else variant.each[each]
            whole = path if walk is None else (*walk.path, Item(element + walk.skip), *path)
            steps.append(_step_text(above.above is None, whole))
            call, element, above = above.call, above.element, above.above
        way = "".join(steps[::-1] if len(steps) <= 8 else [*steps[:-5:-1], f" ... ({len(steps) - 8} calls) ... ", *steps[3::-1]])
        return InputError(
            f"{error.what} (at {way})" if way else error.what,
            code=error.code, because=error.because, advice=error.advice, location=error.location,
        )  # fmt: skip


def _step_text(of_arguments: bool, path: Path) -> str:
    if of_arguments and path and isinstance(path[0], Item):
        return f"argument {path[0].key}" + _step_text(False, path[1:])
    return path_text(path) if path else ""


class _Tables:
    """Numbers the activations and writes the arrays."""

    def __init__(self, visits: Visits, walk: _Walk) -> None:
        self.visits, self.walk, self.found = visits, walk, walk.found
        self.arrays: dict[str, Array] = {}
        self.sizes: dict[str, int] = {Names.samples: len(walk.found.roots)}

    def fill(self) -> Linearized:
        self.number()
        for stage in stages(self.visits):
            self.levels(stage)
        for f in self.visits.functions:
            for n, variant in enumerate(f.variants):
                self.variant(f.name, n, variant)
        self.arrays[Names.roots] = _indices(a.state for a in self.found.roots)
        for number, spans in enumerate(self.found.spans):
            self.arrays[Names.spans(number)] = _indices(spans)
        return Linearized(self.arrays, self.sizes)

    def number(self) -> None:
        for f in self.visits.functions:
            state = 0
            for n in range(len(f.variants)):
                members = self.found.of[f.name, n]
                members.sort(key=lambda a: a.level)
                for a in members:
                    a.state = state
                    state += 1
                self.sizes[Names.count(f.name, n)] = len(members)

    def levels(self, stage: Stage) -> None:
        levels = 1 + max((a.level for m in stage.step for a in self.found.of[m][-1:]), default=0)
        self.sizes[Names.levels(stage.number)] = levels
        for function, n in stage.step:
            of_level = np.bincount(_indices(a.level for a in self.found.of[function, n]), minlength=levels)
            self.arrays[Names.start(function, n)] = _ends(of_level)

    def variant(self, f: str, n: int, variant: Variant) -> None:
        members = self.found.of[f, n]
        start = self.arrays.get(Names.start(f, n), np.array([0, len(members)]))
        self.sizes[Names.widest(f, n)] = _largest(np.diff(start))
        for e in range(len(variant.each)):
            lengths = _indices(len(a.walks[e]) for a in members)
            first = _ends(lengths)
            self.arrays[Names.first(f, n, e)] = first
            self.arrays[Names.parent(f, n, e)] = np.repeat(np.arange(len(members)), lengths)
            if variant.each[e].list is not None:
                self.arrays[Names.member(f, n, e)] = _indices(place for a in members for place in a.walks[e])
            self.sizes[Names.elements(f, n, e)] = int(first[-1])
            self.sizes[Names.widest_elements(f, n, e)] = _largest(np.diff(first[start]))
            self.sizes[Names.longest(f, n, e)] = _largest(lengths)
        for c in range(len(variant.calls)):
            self.arrays[Names.target(f, n, c)] = _indices(callee.state for a in members for callee in a.targets[c])
        self.arrays[Names.root(f, n)] = _indices(self.found.roots[a.sample].state for a in members)
        for c in range(len(variant.collects)):
            self.arrays[Names.place(f, n, c)] = _indices(a.places[c] for a in members)
        for p in range(len(variant.payloads)):
            self.payload(f, n, p, variant, members)

    def payload(self, f: str, n: int, number: int, variant: Variant, members: list[_Activation]) -> None:
        wanted = variant.payloads[number]
        held = NUMPY[wanted.dtype]
        each = wanted.each
        if each is None:
            values: list[Any] = [self.read(a, a.value, wanted) for a in members]
        elif wanted.path is None:
            values = [position for a in members for position in range(len(a.walks[each]))]
        else:
            walk = variant.each[each]
            values = [self.read(a, v, wanted, walk, n) for a in members for n, v in enumerate(a.walks[each])]
        table = np.empty((len(values), *wanted.shape), held)
        for row, value in enumerate(values):
            table[row] = value
        self.arrays[Names.payload(f, n, number)] = table

    def read(self, a: _Activation, value: Any, wanted: Payload, each: Each | None = None, element: int = 0) -> Array:
        try:
            return payload(value, wanted, NUMPY[wanted.dtype])
        except InputError as error:
            raise self.walk.placed_at(error, a, each, element) from error


def _indices(values: Any) -> Array:
    return np.fromiter(values, np.int64)


def _ends(lengths: Array) -> Array:
    return np.fromiter(accumulate(map(int, lengths), initial=0), np.int64, len(lengths) + 1)


def _largest(values: Array) -> int:
    return int(values.max(initial=0))
