"""Emits how the native walk reads the user's objects: paths, questions, payloads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bough.base.visits import Attribute, Each, Path, Payload, Question
from bough.codegen.llvm_types import DOUBLE, FLOAT, INT8, INT16, INT32, INT64
from bough.codegen.walk_library import Library
from bough.codegen.walk_words import Value, Words, word
from bough.runtime.walker_columns import holds_objects
from bough.runtime.walker_layout import Status

_LESS, _AT_MOST, _EQUAL = 0, 1, 2  # Py_LT, Py_LE, Py_EQ
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
    begins: dict[Each, Value] = field(default_factory=dict)
    """Where walks that leave out the first elements begin."""

    def below(self) -> Reader:
        """A reader for code that may not run."""
        return Reader(self.code, self.library, self.object, dict(self.known))

    def read(self, path: Path) -> Value:
        """What lies at `path`. Leaves the function where it cannot be read."""
        if not path:
            return self.object
        if path not in self.known:
            base, step = self.read(path[:-1]), path[-1]
            of_attribute = isinstance(step, Attribute)
            function = self.library.attribute if of_attribute else self.library.item
            key = self.library.layout.object(step.name if isinstance(step, Attribute) else step.key)
            found = self.code.call(function, self.code.frame, base, key)
            self.code.refuse(self.code.compare("==", found, 0))
            self.known[path] = found
        return self.known[path]

    def tag(self, function: str) -> int:
        """What the stack calls a function at what this reads."""
        return self.library.layout.functions[function]

    def walk(self, each: Each) -> tuple[Value, Value]:
        """The list or tuple of a walk, and its length. Of plain lists and tuples no part is copied."""
        code, b, container = self.code, self.code.builder, self.read(each.path)
        kind = code.type_of(container)
        plain = b.or_(*(code.compare("==", kind, self.constant(t)) for t in (list, tuple)))
        skip, leave = (b.select(plain, word(0), word(n)) for n in (each.skip, each.leave))
        listed = code.call(self.library.elements, code.frame, container, skip, leave)
        code.refuse(code.compare("==", listed, 0))
        size = code.python("PySequence_Size", listed)
        code.refuse(code.compare("<", size, 0))
        if not each.skip and not each.leave:
            return listed, size
        self.begins[each] = code.subtract(word(each.skip), skip)
        part = code.larger(code.subtract(size, each.skip + each.leave), word(0))
        return listed, b.select(plain, part, size)

    def item(self, each: Each, listed: Value, number: Value) -> Reader:
        """A reader of an element of a walk."""
        if each in self.begins:
            number = self.code.add(number, self.begins[each])
        found = self.code.python("PySequence_GetItem", listed, number)
        return Reader(self.code, self.library, self.library.keep(self.code, found, Status.REFUSED))

    def answer(self, question: Question) -> Value:
        """A bit. Leaves the function where the question has no answer."""
        code, found = self.code, self.read(question.path)
        if question.length:
            size = code.python("PyObject_Size", found)
            code.refuse(code.compare("<", size, 0))
            if isinstance(question.value, int) and question.test in ("equals", "less", "at_most"):
                sign = {"equals": "==", "less": "<", "at_most": "<="}[question.test]
                return code.compare(sign, size, int(question.value))
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
                return code.python("PySequence_Contains", found, self.constant(value))
            case test:
                op = {"equals": _EQUAL, "less": _LESS, "at_most": _AT_MOST}[test]
                return code.python("PyObject_RichCompareBool", found, self.constant(value), op)

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


def kind_of(dtype: str) -> str:
    """Booleans, floating-point numbers, integers: b, f, i."""
    return "b" if dtype == "bool" else "f" if dtype.startswith("f") else "i"
