"""Recursions from their text (see `recursion_text`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from bough.base.spans import Index
from bough.base.visits import (
    Ask,
    Attribute,
    Call,
    Collect,
    Decision,
    Each,
    Fail,
    Item,
    Part,
    Path,
    Payload,
    Question,
    Slice,
    Test,
    Variant,
    Visit,
    Visits,
)  # fmt: skip
from bough.ir.program import Function, TensorType
from bough.ir.program_text import ProgramReader
from bough.ir.recursion import Cell, Collected, Context, Given, Pass, Read, Recursion, Returned, Source

Array = np.ndarray[Any, Any]
_TESTS: dict[str, tuple[tuple[str, Test], ...]] = {
    "is": (("none", "is_none"), ("instance", "is_instance"), ("true", "is_true")),
    "has": (("attribute", "has_attribute"), ("key", "has_key")),
    "at": (("most", "at_most"),),
}
"""Tests of two words."""


def parse_recursion(text: str, constants: Mapping[str, Mapping[str, Array]] | None = None) -> Recursion:
    """The recursion of a text, with arrays for the constants of its cells by the names of function and constant; those not given
    are zeros. Raises ParseError."""
    return _Reader(text, constants or {}).recursion()


@dataclass(slots=True)
class _Member:
    """A variant and its cell while they are read."""

    name: str
    repeats: bool
    sizes: list[str] = field(default_factory=list)
    each: list[Each] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    payloads: list[Payload] = field(default_factory=list)
    collects: list[Collect] = field(default_factory=list)
    passes: list[Pass] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    function: Function | None = None

    def variant(self) -> Variant:
        return Variant(
            self.name, tuple(self.each), tuple(self.calls), tuple(self.payloads), tuple(self.collects), self.repeats
        )


class _Reader(ProgramReader):
    def __init__(self, text: str, constants: Mapping[str, Mapping[str, Array]]) -> None:
        super().__init__(text, {})
        self.constants = constants
        self.member = _Member("", False)
        self.visits: list[Visit] = []
        self.cells: dict[tuple[str, int], Cell] = {}
        self.results: dict[str, tuple[TensorType, ...]] = {}
        self.arguments: dict[str, tuple[TensorType, ...]] = {}
        self.rows: dict[int, int] = {}

    def recursion(self) -> Recursion:
        indent = self.line.indent
        self.expect("recursion")
        entry = self.name()
        self.end_line()
        self.block(indent, self.part)
        self.end_text()
        visits = Visits(tuple(self.visits), entry)
        return Recursion(visits, self.cells, self.results, self.arguments, self.rows)

    def part(self) -> None:
        """A function, or what is said of a result."""
        if self.accept("rows"):
            result = self.integer()
            self.words("of", "list")
            self.rows[result] = self.integer()
            self.end_line()
            return
        indent = self.line.indent
        self.expect("function")
        name = self.name()
        if self.accept("given"):
            self.arguments[name] = self.types()
        self.expect("->")
        self.results[name] = self.types()
        self.end_line()
        inner = self.line.indent
        if inner <= indent:
            raise self.error("expected what the function asks")
        decision = self.decision()
        members: list[_Member] = []
        self.block(indent, lambda: members.append(self.variant()))
        for n, m in enumerate(members):
            assert m.function is not None
            self.cells[name, n] = Cell(m.function, tuple(m.sources), tuple(m.sizes), tuple(m.passes))
        numbers = {m.name: n for n, m in enumerate(members)}
        self.visits.append(Visit(name, self.resolved(decision, numbers), tuple(m.variant() for m in members)))

    def types(self) -> tuple[TensorType, ...]:
        if self.accept("nothing"):
            return ()
        found = [TensorType(self.dtype(), self.shape())]
        while self.accept(","):
            found.append(TensorType(self.dtype(), self.shape()))
        return tuple(found)

    def words(self, *words: str) -> None:
        for word in words:
            self.expect(word)

    # -- decisions -------------------------------------------------------------------------------------------------------

    def decision(self) -> Any:
        """A decision that ends in the names of variants."""
        indent = self.line.indent
        if self.accept("variant"):
            name = self.name()
            self.end_line()
            return name
        if self.accept("refuse"):
            what = self.string()
            self.end_line()
            return Fail(what)
        self.expect("ask")
        question = self.question()
        self.end_line()
        answers = {}
        for answer in ("yes", "no"):
            if self.line.indent <= indent:
                raise self.error(f"expected what follows the answer {answer}")
            self.words(answer, ":")
            answers[answer] = self.decision()
        return question, answers["yes"], answers["no"]

    def resolved(self, decision: Any, numbers: dict[str, int]) -> Decision:
        if isinstance(decision, Fail):
            return decision
        if isinstance(decision, str):
            if decision not in numbers:
                raise self.error(f"no variant is named {decision}", self.lines[min(self.at, len(self.lines) - 1)].tokens[0])
            return numbers[decision]
        question, yes, no = decision
        return Ask(question, self.resolved(yes, numbers), self.resolved(no, numbers))

    def question(self) -> Question:
        length = self.token.text == "length" and self.peek().text == "of"
        if length:
            self.words("length", "of")
        path = self.path()
        test = self.test()
        value: Any = None
        if test not in ("is_none", "is_true"):
            value = self.literal()
            if test == "is_instance":
                classes = [value]
                while self.accept("or"):
                    classes.append(self.literal())
                value = tuple(classes)
        return Question(path, test, value, length)

    def test(self) -> Test:
        for single in _SINGLE:
            if self.accept(single):
                return single
        first = self.name("a test")
        for second, test in _TESTS.get(first, ()):
            if self.accept(second):
                return test
        raise self.unexpected("a test")

    def literal(self) -> Any:
        if self.token.kind == "string":
            return self.string()
        for text, value in (("true", True), ("false", False), ("inf", float("inf")), ("nan", float("nan"))):
            if self.accept(text):
                return value
        sign = -1 if self.accept("-") else 1
        if self.accept("inf"):
            return sign * float("inf")
        if self.token.kind != "number":
            raise self.unexpected("a value")
        text = self.advance().text
        return sign * (int(text) if text.isdecimal() else float(text))

    # -- variants --------------------------------------------------------------------------------------------------------

    def variant(self) -> _Member:
        indent = self.line.indent
        self.expect("variant")
        self.member = member = _Member(self.name(), self.accept("repeats"))
        self.end_line()
        self.block(indent, self.statement)
        if member.function is None:
            raise self.error(f"the variant {member.name} has no cell", self.lines[self.at - 1].tokens[0])
        return member

    def statement(self) -> None:
        kinds: dict[str, Callable[[], None]] = {
            "walk": self.walk, "call": self.call, "payload": self.payload, "collect": self.collect, "pass": self.goes_down,
            "param": self.source,
        }  # fmt: skip
        if self.token.text == "func":
            self.arrays = self.constants.get(self.peek().text.strip("`"), {})
            self.member.function = self.function()
            if len(self.member.function.params) != len(self.member.sources):
                raise self.error("the parameters are not those that were described", self.lines[self.at - 1].tokens[0])
            return
        kind = kinds.get(self.token.text)
        if kind is None:
            raise self.unexpected("a part of a variant")
        self.advance()
        kind()
        self.end_line()

    def walk(self) -> None:
        self.member.sizes.append(self.name())
        self.expect(":")
        if self.accept("list"):
            number, some = self.integer(), self.accept("of")
            if some:
                self.expect("some")
            self.member.each.append(Each((), list=number, some=some))
            return
        path, skip, leave = self.path(), 0, 0
        if self.accept("but"):
            skip = self.integer()
            self.expect("and")
            leave = self.integer()
        self.member.each.append(Each(path, skip, leave))

    def call(self) -> None:
        self.numbered(self.member.calls)
        function = self.name()
        self.expect("(")
        path: Path = ()
        parts: list[Part] = []
        if self.accept("all"):
            self.list(lambda: parts.append(self.object()), ")")
        else:
            path = self.path()
            self.expect(")")
        self.member.calls.append(Call(function, path, self.of_walk(), parts=tuple(parts)))

    def object(self) -> Part:
        of_element = self.accept("element")
        return Part(self.path(), of_element)

    def payload(self) -> None:
        self.numbered(self.member.payloads)
        path = None if self.accept("position") else self.path()
        self.expect(":")
        dtype, shape = str(self.dtype()), tuple(e for e in self.shape() if isinstance(e, int))
        allowed = None
        if self.accept("in"):
            low = self.literal()
            self.expect("..")
            allowed = (low, self.literal())
        self.member.payloads.append(Payload(path, dtype, shape, self.of_walk(), range=allowed))

    def numbered(self, known: list[Any]) -> None:
        if self.integer() != len(known):
            raise self.error(f"number {len(known)} comes next", self.peek(-1))
        self.expect(":")

    def of_walk(self) -> int | None:
        if not self.accept("for"):
            return None
        self.words("each", "of")
        name = self.name()
        if name not in self.member.sizes:
            raise self.error(f"no walk is named {name}", self.peek(-1))
        return self.member.sizes.index(name)

    def collect(self) -> None:
        self.words("in", "list")
        number = self.integer()
        self.words(":", "result")
        result = self.integer()
        self.expect("after")
        self.member.collects.append(Collect(number, result, self.integer()))
        self.expect("calls")

    def goes_down(self) -> None:
        self.expect("result")
        result = self.integer()
        self.words("to", "call")
        call = self.integer()
        self.expect("as")
        self.member.passes.append(Pass(call, self.integer(), result))

    def source(self) -> None:
        self.name()
        self.expect("=")
        if self.accept("payload"):
            self.member.sources.append(Read(self.integer()))
        elif self.accept("collected"):
            self.member.sources.append(Collected(self.integer()))
        elif self.accept("context"):
            self.member.sources.append(Context(self.integer()))
        elif self.accept("argument"):
            self.member.sources.append(Given(self.integer()))
        else:
            self.expect("call")
            call = self.integer()
            self.expect("result")
            self.member.sources.append(Returned(call, self.integer()))

    def path(self) -> Path:
        if self.accept("it"):
            return ()
        steps: list[Attribute | Item | Slice] = []
        while True:
            if self.token.kind == "attribute":
                steps.append(Attribute(self.advance().text[1:].strip("`")))
            elif self.accept("["):
                steps.append(self.step())
                self.expect("]")
            else:
                break
        if not steps:
            raise self.unexpected("a path")
        return tuple(steps)

    def step(self) -> Item | Slice:
        """What stands in brackets."""
        if self.token.text != "(":
            return Item(self.literal())
        first = self.index()
        return Slice(first, self.index()) if self.accept(":") else Item(first)

    def index(self) -> Index:
        self.expect("(")
        times = self.literal()
        self.words("*", "len", "+")
        plus = self.literal()
        self.words(")", "//")
        return Index(times, plus, self.integer())


_SINGLE: tuple[Literal["equals", "less"], ...] = ("equals", "less")
