"""Emits how the native walk reads the user's objects: paths, questions, payloads."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from bough.base.spans import Index
from bough.base.visits import Attribute, Call, Each, Item, Path, Payload, Question, Slice
from bough.codegen.llvm_types import DOUBLE, FLOAT, INT8, INT16, INT32, INT64
from bough.codegen.walk_library import AT_MOST, EQUAL, LESS, Library
from bough.codegen.walk_words import Value, Words, word
from bough.runtime.walker_columns import holds_objects
from bough.runtime.walker_layout import Status, is_part, is_same

_SIGNS = {"equals": "==", "less": "<", "at_most": "<="}
_LONGEST = (1 << 31) - 1
"""The longest list of which parts are told apart by bounds in one word."""
_BEFORE = -32
"""Where the part of an object begins that stands before its address: its attributes or where they are."""
STORED = {"f64": DOUBLE, "f32": FLOAT, "i64": INT64, "i32": INT32, "i16": INT16, "i8": INT8, "u8": INT8, "bool": INT8}
"""How plain numbers lie in arrays."""
_RANGES = {"u8": (0, 255), **{f"i{n}": (-(1 << n - 1), (1 << n - 1) - 1) for n in (8, 16, 32, 64)}}


@dataclass(slots=True)
class Reader:
    """Reads from one object. What was read before at this point of the code is known and not read again."""

    code: Words
    library: Library
    object: Value
    known: dict[Path, Value] = field(default_factory=dict)
    parts: dict[Path, SpanReader] = field(default_factory=dict)
    begins: dict[Each, Value] = field(default_factory=dict)
    """Where walks that leave out the first elements begin."""

    def below(self) -> Reader:
        """A reader for code that may not run."""
        return Reader(self.code, self.library, self.object, dict(self.known), dict(self.parts))

    def read(self, path: Path) -> Value:
        """What lies at `path`. Leaves the function where it cannot be read."""
        if not path:
            return self.object
        if path not in self.known:
            part, rest = self.part_of(path)
            self.known[path] = self.read_step(path) if part is None else part.read(rest)
        return self.known[path]

    def read_step(self, path: Path) -> Value:
        code, base, step = self.code, self.read(path[:-1]), path[-1]
        if isinstance(step, Item) and isinstance(step.key, Index):
            size = code.call(self.library.size, code.frame, base)
            code.refuse(code.compare("<", size, 0))
            self.library.own(code, Status.REFUSED)
            item = code.python("PySequence_GetItem", base, index_of(code, step.key, size))
            return self.library.keep(code, item, Status.REFUSED)
        assert not isinstance(step, Slice)
        key = self.library.layout.object(step.name if isinstance(step, Attribute) else step.key)
        if isinstance(step, Attribute):
            found = code.call(self.library.attribute, code.frame, base, key)
        elif isinstance(step.key, int) and abs(step.key) <= _LONGEST:
            found = code.call(self.library.element, code.frame, base, key, step.key)
        else:
            found = code.call(self.library.item, code.frame, base, key)
        code.refuse(code.compare("==", found, 0))
        return found

    def part_of(self, path: Path) -> tuple[SpanReader | None, Path]:
        """A reader of the first part of a list on a path, and the way from there."""
        at = next((n for n, step in enumerate(path) if isinstance(step, Slice)), None)
        if at is None:
            return None, path
        before, step = path[:at], path[at]
        if path[: at + 1] not in self.parts:
            code = self.code
            listed = self.read(before)
            code.refuse(code.compare("==", code.call(self.library.listed, code.frame, listed), 0))
            size = code.call(self.library.size, code.frame, listed)
            code.refuse(code.builder.icmp_unsigned(">", size, word(_LONGEST)))
            assert isinstance(step, Slice)
            self.parts[path[: at + 1]] = SpanReader(code, self.library, listed, word(0), size).cut(step)
        return self.parts[path[: at + 1]], path[at + 1 :]

    def tag(self, call: Call) -> int:
        """What the stack calls the function of a call at what this reads."""
        layout = self.library.layout
        return layout.span_tag(call.function) if is_part(call) else layout.functions[call.function]

    def note(self, call: Call, address: Value) -> None:
        """Notes what a call is for, and begins to load it: it lies anywhere, and it is looked at soon."""
        if is_part(call):
            part, rest = self.part_of(call.path)
            assert part is not None
            part.note(replace(call, path=rest), address)
            return
        found = self.read(call.path)
        self.code.put(address, 0, found)
        for half in (_BEFORE, 0):
            self.code.fetch(self.code.add(found, half))

    def walk(self, each: Each) -> tuple[Value, Value]:
        """The list or tuple of a walk, and its length. Of plain lists and tuples no part is copied."""
        part, rest = self.part_of(each.path)
        if part is not None:
            return part.walk(replace(each, path=rest))
        code, b, container = self.code, self.code.builder, self.read(each.path)
        kind = code.type_of(container)
        plain = b.or_(*(code.compare("==", kind, self.constant(t)) for t in (list, tuple)))
        skip, leave = (b.select(plain, word(0), word(n)) for n in (each.skip, each.leave))
        if each.dictionary:
            code.refuse(b.not_(self.library.is_a(code, container, dict)))
        listed = code.call(self.library.elements, code.frame, container, skip, leave, int(each.dictionary is not False))
        code.refuse(code.compare("==", listed, 0))
        size = code.get(listed, 2)
        if not each.skip and not each.leave:
            return listed, size
        self.begins[each] = code.subtract(word(each.skip), skip)
        part = code.larger(code.subtract(size, each.skip + each.leave), word(0))
        return listed, b.select(plain, part, size)

    def item(self, each: Each, listed: Value, number: Value) -> Reader:
        """A reader of an element of a walk."""
        part, rest = self.part_of(each.path)
        if part is not None:
            return part.item(replace(each, path=rest), listed, number)
        if each in self.begins:
            number = self.code.add(number, self.begins[each])
        found = self.code.call(self.library.nth, self.code.frame, listed, number)
        self.code.refuse(self.code.compare("==", found, 0))
        return Reader(self.code, self.library, found)

    def answer(self, question: Question) -> Value:
        """A bit. Leaves the function where the question has no answer."""
        part, rest = self.part_of(question.path)
        if part is not None:
            return part.answer(replace(question, path=rest))
        code, found = self.code, self.read(question.path)
        if question.length:
            size = code.call(self.library.size, code.frame, found)
            code.refuse(code.compare("<", size, 0))
            if isinstance(question.value, int) and question.test in _SIGNS:
                return code.compare(_SIGNS[question.test], size, int(question.value))
            self.library.own(code, Status.REFUSED)
            found = self.library.keep(code, code.python("PyLong_FromSsize_t", size), Status.REFUSED)
        if question.test == "is_none":
            return code.compare("==", found, self.constant(None))
        answer = self._asked(question, found)
        code.refuse(code.compare("<", answer, 0))
        return code.compare("!=", answer, 0)

    def _asked(self, question: Question, found: Value) -> Value:
        """1, 0, or -1 after an error."""
        code, library, value = self.code, self.library, question.value
        match question.test:
            case "is_instance":
                at = library.layout.questions[value]  # type: ignore[index]
                return code.call(library.is_instance, code.frame, code.type_of(found), code.at(code.frame, at))
            case "is_true":
                return code.call(library.is_true, code.frame, found)
            case "has_attribute":
                return code.call(library.has_attribute, code.frame, found, library.layout.object(value))
            case "has_key":
                library.own(code, Status.REFUSED)
                return code.python("PySequence_Contains", found, self.constant(value))
            case test:
                op = {"equals": EQUAL, "less": LESS, "at_most": AT_MOST}[test]
                return code.call(library.compare, code.frame, found, self.constant(value), op)

    def store(self, payload: Payload, row: int, address: Value) -> None:
        """Stores the payload in a word: an integer, the bits of a double, or an object, which is kept."""
        code, library = self.code, self.library
        found = self.read(payload.path or ())
        if holds_objects(payload):
            code.put(address, 0, found)
            code.check(code.call(library.thing, code.frame, found, row))
            return
        match kind_of(payload.dtype):
            case "b":
                status = code.call(library.truth, code.frame, found, address, row)
            case "f":
                status = code.call(library.real, code.frame, found, address, row)
            case _:
                status = code.call(library.integer, code.frame, found, address, row, *(payload.range or _RANGES[payload.dtype]))
        code.check(status)

    def constant(self, value: Any) -> Value:
        return self.library.constant(self.code, value)


@dataclass(slots=True)
class SpanReader:
    """As `Reader`, for a part of a list: `listed`, a list or tuple, from `first` to `last`."""

    code: Words
    library: Library
    listed: Value
    first: Value
    last: Value
    items: dict[Item, Reader] = field(default_factory=dict)
    parts: dict[Slice, SpanReader] = field(default_factory=dict)

    @property
    def size(self) -> Value:
        return self.code.subtract(self.last, self.first)

    def below(self) -> SpanReader:
        items = {item: reader.below() for item, reader in self.items.items()}
        return SpanReader(self.code, self.library, self.listed, self.first, self.last, items, dict(self.parts))

    def step(self, path: Path) -> tuple[Reader | SpanReader, Path]:
        """A reader of what the first step of a path leads to, and the way from there."""
        step, rest = path[0], path[1:]
        if isinstance(step, Slice):
            if step not in self.parts:
                self.parts[step] = self.cut(step)
            return self.parts[step], rest
        assert isinstance(step, Item), "lists have no attributes of the user's"
        if step not in self.items:
            self.items[step] = self.element(step)
        return self.items[step], rest

    def cut(self, step: Slice) -> SpanReader:
        code, size = self.code, self.size
        begin, end = (self.clamped(index_of(code, index, size)) for index in (step.first, step.last))
        first = code.add(self.first, begin)
        part = code.larger(code.subtract(end, begin), word(0))
        return SpanReader(code, self.library, self.listed, first, code.add(first, part))

    def clamped(self, index: Value) -> Value:
        """As Python takes the bounds of slices."""
        code, size = self.code, self.size
        wrapped = code.larger(self.wrapped(index), word(0))
        return code.builder.select(code.compare("<", wrapped, size), wrapped, size)

    def wrapped(self, index: Value) -> Value:
        """Negative indices count from the end."""
        return self.code.builder.select(self.code.compare("<", index, 0), self.code.add(index, self.size), index)

    def element(self, step: Item) -> Reader:
        code, size = self.code, self.size
        if isinstance(step.key, str):
            self.refuse()
            return Reader(code, self.library, word(0))
        index = self.wrapped(index_of(code, step.key, size) if isinstance(step.key, Index) else word(step.key))
        code.refuse(code.builder.icmp_unsigned(">=", index, size))
        return self.at(code.add(self.first, index))

    def at(self, index: Value) -> Reader:
        self.library.own(self.code, Status.REFUSED)
        found = self.code.python("PySequence_GetItem", self.listed, index)
        return Reader(self.code, self.library, self.library.keep(self.code, found, Status.REFUSED))

    def refuse(self) -> Value:
        """Leaves the function; a word for what follows in the text."""
        self.code.refuse(self.code.compare("==", word(0), 0))
        return word(0)

    def read(self, path: Path) -> Value:
        """What lies at `path`; the part itself is no object."""
        if not path:
            return self.refuse()
        reader, rest = self.step(path)
        return reader.read(rest)

    def tag(self, call: Call) -> int:
        layout = self.library.layout
        return layout.span_tag(call.function) if is_part(call) or is_same(call) else layout.functions[call.function]

    def note(self, call: Call, address: Value) -> None:
        if call.path:
            reader, rest = self.step(call.path)
            reader.note(replace(call, path=rest), address)
            return
        for n, value in enumerate((self.listed, self.first, self.last)):
            self.code.put(address, n, value)

    def walk(self, each: Each) -> tuple[Value, Value]:
        if each.path:
            reader, rest = self.step(each.path)
            return reader.walk(replace(each, path=rest))
        return self.listed, self.code.larger(self.code.subtract(self.size, each.skip + each.leave), word(0))

    def item(self, each: Each, listed: Value, number: Value) -> Reader:
        if each.path:
            reader, rest = self.step(each.path)
            return reader.item(replace(each, path=rest), listed, number)
        return self.at(self.code.add(self.code.add(self.first, each.skip), number))

    def answer(self, question: Question) -> Value:
        if question.path:
            reader, rest = self.step(question.path)
            return reader.answer(replace(question, path=rest))
        code = self.code
        if question.test == "is_true":
            return code.compare(">", self.size, 0)
        if question.length and type(question.value) is int and question.test in _SIGNS:
            return code.compare(_SIGNS[question.test], self.size, question.value)
        if question.test == "is_instance":
            at = self.library.layout.questions[question.value]  # type: ignore[index]
            kind = code.call(self.library.listed, code.frame, self.listed)
            answer = code.call(self.library.is_instance, code.frame, kind, code.at(code.frame, at))
            code.refuse(code.compare("<", answer, 0))
            return code.compare("!=", answer, 0)
        if question.test != "is_none":
            self.refuse()
        return code.compare("!=", word(0), 0)

    def store(self, payload: Payload, row: int, address: Value) -> None:
        if not payload.path:
            self.refuse()
            return
        reader, rest = self.step(payload.path)
        reader.store(replace(payload, path=rest), row, address)


def index_of(code: Words, index: Index, length: Value) -> Value:
    """An index into a list of that length; division rounds down."""
    if not index.times:
        return word(index.of(0))
    total = code.add(code.multiply(length, index.times), index.plus)
    if index.over == 1:
        return total
    quotient = code.builder.sdiv(total, word(index.over))
    rest = code.subtract(total, code.multiply(quotient, index.over))
    return code.builder.select(code.compare("<", rest, 0), code.subtract(quotient, 1), quotient)


def kind_of(dtype: str) -> str:
    """Booleans, floating-point numbers, integers: b, f, i."""
    return "b" if dtype == "bool" else "f" if dtype.startswith("f") else "i"
