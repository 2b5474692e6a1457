"""Emits how the native walk reads the user's objects: paths, questions, numbers.

Every new reference goes on the pile of the frame, which lets go of all of them after each sample. So nothing else needs to know
who owns what, and leaving in the middle is safe.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bough.base.visits import Attribute, Path, Payload, Question
from bough.codegen.llvm_types import BIT, DOUBLE, INT64
from bough.codegen.walk_words import Value, Words, word
from bough.runtime.walker_layout import TYPE_CACHE, Layout, Word

_LESS, _AT_MOST, _EQUAL = 0, 1, 2  # Py_LT, Py_LE, Py_EQ
_LARGEST_EXACT = 1 << 53


@dataclass(slots=True)
class Helpers:
    """Functions that the others call."""

    is_instance: Words
    elements: Words
    find: Words


@dataclass(slots=True)
class Reader:
    """Reads from one object. What was read before at this point of the code is known and not read again."""

    code: Words
    layout: Layout
    helpers: Helpers
    object: Value
    known: dict[Path, Value] = field(default_factory=dict)

    def below(self) -> Reader:
        """A reader for code that may not run."""
        return Reader(self.code, self.layout, self.helpers, self.object, dict(self.known))

    def constant(self, value: Any) -> Value:
        """A Python object that the frame knows."""
        return self.code.get(self.code.frame, self.layout.object(value))

    def read(self, path: Path) -> Value:
        """What lies at `path`. Leaves the function where it cannot be read."""
        if not path:
            return self.object
        if path not in self.known:
            base, step = self.read(path[:-1]), path[-1]
            if isinstance(step, Attribute):
                found = self.code.python("PyObject_GetAttr", base, self.constant(step.name))
            else:
                found = self.code.python("PyObject_GetItem", base, self.constant(step.key))
            self.known[path] = keep(self.code, found)
        return self.known[path]

    def answer(self, question: Question) -> Value:
        """A bit. Leaves the function where the question has no answer."""
        code, found = self.code, self.read(question.path)
        if question.length:
            size = code.python("PyObject_Size", found)
            code.refuse(code.compare("<", size, 0))
            if isinstance(question.value, int) and question.test in ("equals", "less", "at_most"):
                sign = {"equals": "==", "less": "<", "at_most": "<="}[question.test]
                return code.compare(sign, size, int(question.value))
            found = keep(code, code.python("PyLong_FromSsize_t", size))
        match question.test:
            case "is_none":
                return code.compare("==", found, self.constant(None))
            case "is_instance":
                at = self.layout.questions[question.value]  # type: ignore[index]
                answer = code.call(self.helpers.is_instance, code.frame, code.type_of(found), code.at(code.frame, at))
            case "is_true":
                answer = self._truth(found)
            case "has_attribute":
                answer = self._has_attribute(found, question.value)
            case "has_key":
                answer = _wide(code, code.python("PySequence_Contains", found, self.constant(question.value)))
            case "equals" | "less" | "at_most":
                op = {"equals": _EQUAL, "less": _LESS, "at_most": _AT_MOST}[question.test]
                answer = _wide(code, code.python("PyObject_RichCompareBool", found, self.constant(question.value), op))
        code.refuse(code.compare("<", answer, 0))
        return code.compare("!=", answer, 0)

    def _truth(self, found: Value) -> Value:
        code = self.code
        result = code.variable(1)
        with code.when(code.compare("!=", found, self.constant(True))):
            code.write(result, 0)
            with code.when(code.compare("!=", found, self.constant(False))):
                code.write(result, _wide(code, code.python("PyObject_IsTrue", found)))
        return code.read(result)

    def _has_attribute(self, found: Value, name: Any) -> Value:
        code = self.code
        result = code.variable(1)
        attribute = code.python("PyObject_GetAttr", found, self.constant(name))
        with code.builder.if_else(code.compare("==", attribute, 0)) as (absent, present):
            with absent:
                matches = code.python("PyErr_ExceptionMatches", self.constant(AttributeError))
                code.refuse(code.builder.icmp_signed("==", matches, matches.type(0)))
                code.python("PyErr_Clear")
                code.write(result, 0)
            with present:
                keep(code, attribute)
        return code.read(result)

    def number(self, found: Value, payload: Payload, unfit: int) -> Value:
        """The number as a word: an integer, the bits of a double, or 0 and 1. Leaves with `unfit` for other objects."""
        code, kind = self.code, code_kind(payload.dtype)
        if kind == "b":
            true = code.compare("==", found, self.constant(True))
            other = code.builder.and_(code.builder.not_(true), code.compare("!=", found, self.constant(False)))
            code.leave(other, unfit)
            return code.builder.zext(true, INT64)
        if kind == "f":
            return self._real(found, unfit)
        code.leave(code.compare("!=", code.type_of(found), self.constant(int)), unfit)
        value = self._integer(found)
        if payload.dtype != "i64":
            low, high = _RANGES[payload.dtype]
            code.refuse(code.builder.or_(code.compare("<", value, low), code.compare(">", value, high)))
        return value

    def _integer(self, found: Value) -> Value:
        code = self.code
        value = code.python("PyLong_AsLongLong", found)
        with code.when(code.compare("==", value, -1)):
            code.refuse(code.compare("!=", code.python("PyErr_Occurred"), 0))
        return value

    def _real(self, found: Value, unfit: int) -> Value:
        code = self.code
        result = code.variable(0)
        is_float = code.compare("==", code.type_of(found), self.constant(float))
        with code.builder.if_else(is_float) as (of_float, of_int):
            with of_float:
                code.write(result, code.builder.bitcast(code.python("PyFloat_AsDouble", found), INT64))
            with of_int:
                code.leave(code.compare("!=", code.type_of(found), self.constant(int)), unfit)
                value = self._integer(found)
                over = code.compare(">", value, _LARGEST_EXACT)
                code.refuse(code.builder.or_(over, code.compare("<", value, -_LARGEST_EXACT)))
                code.write(result, code.builder.bitcast(code.builder.sitofp(value, DOUBLE), INT64))
        return code.read(result)


_RANGES = {f"{s}{n}": (-(1 << n - 1), (1 << n - 1) - 1) if s == "i" else (0, (1 << n) - 1) for s, n in
           (("i", 32), ("i", 16), ("i", 8), ("u", 8))}  # fmt: skip


def _wide(code: Words, value: Value) -> Value:
    return code.builder.sext(value, INT64)


def code_kind(dtype: str) -> str:
    """Booleans, floating-point numbers, integers: b, f, i."""
    return "b" if dtype == "bool" else "f" if dtype.startswith("f") else "i"


def keep(code: Words, found: Value) -> Value:
    """Puts a new reference on the pile. Leaves the function where there is none because of an error."""
    code.refuse(code.compare("==", found, 0))
    used = code.add_to(code.frame, Word.REFERENCES_USED, 1)
    code.put(code.get(code.frame, Word.REFERENCES), used, found)
    return found


def make_helpers(module: Any, layout: Layout) -> Helpers:
    return Helpers(_is_instance(module, layout), _elements(module, layout), _find(module, layout))


def _is_instance(module: Any, layout: Layout) -> Words:
    """Whether objects of a type belong to the classes of a question: 1, 0, or -1 after an error. `at` is the question's
    dictionary, which works out and keeps the answer for types it has not seen; behind it stand those met last."""
    code = Words(module, "bough_walk_is_instance", ("frame", "type", "at"))
    b = code.builder
    _, kind, at = code.arguments
    mixed = b.xor(b.lshr(kind, word(4)), b.lshr(kind, word(9)))
    pair = code.at(code.at(at, 1), b.shl(b.and_(mixed, word(TYPE_CACHE - 1)), word(1)))
    with code.when(code.compare("==", code.get(pair), kind)):
        b.ret(code.get(pair, 1))
    found = code.python("PyObject_GetItem", code.get(at), kind)
    code.leave(code.compare("==", found, 0), -1)
    answer = b.zext(code.compare("==", found, code.get(code.frame, layout.object(True))), INT64)
    code.python("Py_DecRef", found)
    code.put(pair, 0, kind)
    code.put(pair, 1, answer)
    code.end(answer)
    return code


def _elements(module: Any, layout: Layout) -> Words:
    """What is walked over as a list or tuple whose items are its own; 0 for what is not walked over."""
    code = Words(module, "bough_walk_elements", ("frame", "container"))
    container = code.arguments[1]
    kind = code.type_of(container)
    types: dict[type, Value] = {t: code.get(code.frame, layout.object(t)) for t in (list, tuple, dict)}
    plain = code.builder.or_(code.compare("==", kind, types[list]), code.compare("==", kind, types[tuple]))
    with code.when(plain):
        code.builder.ret(container)

    def subtype(of: type) -> Value:
        return code.builder.trunc(code.python("PyType_IsSubtype", kind, types[of]), BIT)

    with code.when(subtype(dict)):
        values = code.python("PyMapping_Values", container)
        code.leave(code.compare("==", values, 0), 0)
        code.builder.ret(keep(code, values))
    with code.when(code.builder.or_(subtype(list), subtype(tuple))):
        listed = code.python("PySequence_List", container)
        code.leave(code.compare("==", listed, 0), 0)
        code.builder.ret(keep(code, listed))
    code.end(word(0))
    return code


def _find(module: Any, layout: Layout) -> Words:
    """The position in the log of the activation of `function` at `object` in this sample. Where there is none yet, notes the
    end of the log as its position, and returns -1; -2 where the table is full."""
    code = Words(module, "bough_walk_find", ("frame", "object", "function"))
    b = code.builder
    frame, obj, function = code.arguments
    functions = len(layout.functions)
    table, size = code.get(frame, Word.TABLE), code.get(frame, Word.TABLE_SIZE)
    epoch = code.multiply(code.get(frame, Word.EPOCH), functions)
    stamp = code.add(epoch, function)
    mixed = code.multiply(b.xor(b.lshr(obj, word(4)), b.shl(function, word(40))), 0x9E3779B97F4A7C15 - (1 << 64))
    start = b.lshr(mixed, word(24))
    mask = code.subtract(size, 1)
    with code.loop() as (_, step):
        entry = code.at(table, b.shl(b.and_(code.add(start, step), mask), word(2)))
        seen = code.get(entry, 1)
        with code.when(code.compare("<", seen, epoch)):
            code.leave(code.compare(">=", b.shl(code.get(frame, Word.SEEN), word(1)), size), -2)
            code.add_to(frame, Word.SEEN, 1)
            end = code.get(frame, Word.LOG_USED)
            for n, value in enumerate((obj, stamp, end)):
                code.put(entry, n, value)
            b.ret(word(-1))
        same = b.and_(code.compare("==", seen, stamp), code.compare("==", code.get(entry), obj))
        with code.when(same):
            b.ret(code.get(entry, 2))
    code.end(word(-1))
    return code

