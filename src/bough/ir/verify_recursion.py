"""Checks that a recursion keeps the promises of its level."""

from __future__ import annotations

from typing import NoReturn

from bough.base.errors import InternalError
from bough.base.visits import Ask, Decision, Variant, Visit
from bough.ir.dtypes import DTYPES
from bough.ir.expr import Var
from bough.ir.program import Program, TensorType, Value
from bough.ir.recursion import Cell, Collected, Context, Read, Recursion, Returned, Source
from bough.ir.text import print_type
from bough.ir.verify_program import Infer, verify_program


def verify_recursion(recursion: Recursion, infer: Infer | None = None) -> None:
    """Raises InternalError unless

    - functions have distinct names, the entry is one of them, and their variants have distinct names;
    - decisions end in variants that exist; calls, payloads and collects name functions, walks and results that exist;
    - there is a cell for each variant, a program of one function that keeps the promises of programs, and its sizes are
      those of the variant's walks;
    - parameters have the types of what they hold, with a walk's length in front where it comes from one;
    - the first results have the types of the function's results, and all that is collected in a list has one type;
    - each call passes every argument of its callee once, of its type, and functions that take any repeat.
    """
    _Verifier(recursion, infer).run()


class _Verifier:
    def __init__(self, recursion: Recursion, infer: Infer | None) -> None:
        self.recursion, self.infer = recursion, infer
        self.lists: dict[int, TensorType] = {}
        self.where = "recursion"

    def fail(self, message: str) -> NoReturn:
        raise InternalError(f"{self.where}: {message}")

    def run(self) -> None:
        r = self.recursion
        names = [f.name for f in r.visits.functions]
        if len(set(names)) != len(names) or r.visits.entry not in names:
            self.fail(f"the entry {r.visits.entry} must be one of distinct functions: {', '.join(names)}")
        members = {(f.name, n) for f in r.visits.functions for n in range(len(f.variants))}
        if set(r.cells) != members or set(r.results) != set(names):
            self.fail("cells and results are not those of its functions and variants")
        for f in r.visits.functions:
            self.function(f)
        if set(self.lists) != set(range(len(self.lists))):
            self.fail(f"its lists are numbered {sorted(self.lists)}")

    def function(self, f: Visit) -> None:
        self.where = f"function {f.name}"
        if len({v.name for v in f.variants}) != len(f.variants):
            self.fail("two variants have one name")
        self.decision(f.decision, len(f.variants))
        for n, variant in enumerate(f.variants):
            self.where = f"variant {variant.name} of function {f.name}"
            self.variant(variant)
            self.cell(f.name, variant, self.recursion.cells[f.name, n])

    def decision(self, decision: Decision, variants: int) -> None:
        stack = [decision]
        while stack:
            d = stack.pop()
            if isinstance(d, Ask):
                stack += [d.yes, d.no]
            elif isinstance(d, int) and not 0 <= d < variants:
                self.fail(f"a decision ends in variant {d}, of {variants}")

    def variant(self, v: Variant) -> None:
        walks = range(len(v.each))
        for call in v.calls:
            if call.function not in self.recursion.results:
                self.fail(f"it calls {call.function}, which is no function")
        for p in v.payloads:
            if p.dtype not in DTYPES or (p.path is None and (p.each is None or p.shape)):
                self.fail(f"no payload is like {p}")
        if any(each is not None and each not in walks for each in (*(c.each for c in v.calls), *(p.each for p in v.payloads))):
            self.fail("a call or payload is on a walk that does not exist")
        if any(not 0 <= c.calls <= len(v.calls) or c.list < 0 for c in v.collects):
            self.fail("something is collected after calls that do not exist")
        if any(each.list is not None and any(c.each == e for c in v.calls) for e, each in enumerate(v.each)):
            self.fail("it makes calls for elements of a list that is collected")

    def cell(self, name: str, variant: Variant, cell: Cell) -> None:
        function = cell.function
        verify_program(Program({function.name: function}, function.name), self.infer)
        if len(cell.sizes) != len(variant.each) or not {d.name for d in function.dims} <= set(cell.sizes):
            self.fail(f"its sizes {', '.join(cell.sizes)} are not those of its {len(variant.each)} walks")
        if len(cell.sources) != len(function.params):
            self.fail(f"{len(cell.sources)} sources for {len(function.params)} parameters")
        for param, source in zip(function.params, cell.sources):
            self.typed(param, self.held(name, variant, cell, source))
        results = self.recursion.results[name]
        if len(function.results) < len(results):
            self.fail(f"it gives {len(function.results)} results, not {len(results)}")
        of_list = {each.list: e for e, each in enumerate(variant.each)}
        for r, (value, of) in enumerate(zip(function.results, results)):
            rows = self.recursion.rows.get(r) if name == self.recursion.visits.entry else None
            if rows is not None and rows not in of_list:
                self.fail(f"its result {r} has rows for list {rows}, which it does not walk over")
            self.typed(value, of if rows is None else self.along(cell, of_list[rows], of))
        for c in variant.collects:
            if not 0 <= c.result < len(function.results):
                self.fail(f"it collects result {c.result}, of {len(function.results)}")
            value = function.results[c.result]
            self.typed(value, self.lists.setdefault(c.list, value.type))
        self.passes(name, variant, cell)

    def passes(self, name: str, variant: Variant, cell: Cell) -> None:
        wanted = [(c, a) for c, call in enumerate(variant.calls) for a in range(len(self.recursion.arguments_of(call.function)))]
        if sorted((p.call, p.argument) for p in cell.passes) != wanted:
            self.fail("what it passes down is not what its calls take")
        for p in cell.passes:
            call = variant.calls[p.call]
            of = self.recursion.arguments_of(call.function)[p.argument]
            self.typed(cell.function.results[p.result], self.along(cell, call.each, of))
        if self.recursion.arguments_of(name) and not variant.repeats:
            self.fail("it takes what its callers pass down, and does not repeat")

    def held(self, name: str, variant: Variant, cell: Cell, source: Source) -> TensorType:
        """The type of what a source gives."""
        if isinstance(source, Read):
            if not 0 <= source.payload < len(variant.payloads):
                self.fail(f"it has no payload {source.payload}")
            p = variant.payloads[source.payload]
            each, of = p.each, TensorType(DTYPES[p.dtype], p.shape)
        elif isinstance(source, Returned):
            if not 0 <= source.call < len(variant.calls):
                self.fail(f"it makes no call {source.call}")
            call = variant.calls[source.call]
            results = self.recursion.results[call.function]
            if not 0 <= source.result < len(results):
                self.fail(f"{call.function} has no result {source.result}")
            each, of = call.each, results[source.result]
        elif isinstance(source, Context):
            entry = self.recursion.visits.entry
            given = {c.function.results[source.result].type for (f, _), c in self.recursion.cells.items() if f == entry}
            if name == entry or len(given) != 1:
                self.fail(f"the entry has no one context {source.result}")
            each, of = None, given.pop()
        elif isinstance(source, Collected):
            number = variant.each[source.walk].list if 0 <= source.walk < len(variant.each) else None
            if number is None:
                self.fail(f"its walk {source.walk} is over no list")
            each, of = source.walk, self.collected(number)
        else:
            arguments = self.recursion.arguments_of(name)
            if not 0 <= source.argument < len(arguments):
                self.fail(f"it has no argument {source.argument}")
            each, of = None, arguments[source.argument]
        return self.along(cell, each, of)

    def collected(self, number: int) -> TensorType:
        """The type of the elements of a list."""
        for f in self.recursion.visits.functions:
            for n, v in enumerate(f.variants):
                for c in v.collects:
                    if c.list == number:
                        return self.recursion.cells[f.name, n].function.results[c.result].type
        self.fail(f"nothing is collected in list {number}")

    @staticmethod
    def along(cell: Cell, each: int | None, of: TensorType) -> TensorType:
        return of if each is None else TensorType(of.dtype, (Var(cell.sizes[each]), *of.shape))

    def typed(self, value: Value, of: TensorType) -> None:
        if value.type != of:
            have, want = print_type(value.type.dtype, value.type.shape), print_type(of.dtype, of.shape)
            self.fail(f"{value.name} is {have} and must be {want}")
