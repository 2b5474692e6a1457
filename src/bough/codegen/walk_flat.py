"""Emits how the native walk reads objects of a forest: their numbers stand for them, their attributes are elements of columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bough.base.visits import Attribute, Call, Each, Path, Payload, Question
from bough.codegen.llvm_types import DOUBLE, INT64
from bough.codegen.walk_library import Library
from bough.codegen.walk_read import STORED, kind_of
from bough.codegen.walk_words import Value, Words, word
from bough.runtime.walker_columns import ColumnKind, class_column, holds_objects
from bough.runtime.walker_layout import NUMBER, ROW


@dataclass(frozen=True, slots=True)
class FlatReader:
    """As `Reader`, for an object of a forest. None is the number -1."""

    code: Words
    library: Library
    object: Value

    def below(self) -> FlatReader:
        return self

    def tag(self, call: Call) -> int:
        return self.library.layout.flat_tag(call.function)

    def note(self, call: Call, address: Value) -> None:
        self.code.put(address, 0, self.read(call.path))

    def read(self, path: Path) -> Value:
        """The number of the object at `path`."""
        return self._element(path, "reference") if path else self.object

    def answer(self, question: Question) -> Value:
        """A bit. Leaves the function where the question has no answer."""
        code, name = self.code, self.library.layout.columns
        if question.test == "is_instance":
            return self._is_instance(question)
        if not question.path:
            return code.compare("<", self.object, 0)
        step = question.path[0]
        assert isinstance(step, Attribute)
        if (step.name, "first", "") in name:
            if question.test == "is_none":
                return code.compare("!=", word(0), 0)
            return self._compared(question, self._length(question.path))
        if (step.name, "reference", "") in name:
            return code.compare("<" if question.test == "is_none" else ">=", self._element(question.path, "reference"), 0)
        return self._compared(question, self._element(question.path, "asked"))

    def _is_instance(self, question: Question) -> Value:
        code, found = self.code, self.read(question.path)
        result = code.variable(int("builtins.NoneType" in (question.value or ())))  # type: ignore[operator]
        with code.when(code.compare(">=", found, 0)):
            column = code.get(code.frame, self.library.layout.columns[class_column(question)])
            code.write(result, code.get(column, found))
        return code.compare("!=", code.read(result), 0)

    def _compared(self, question: Question, found: Value) -> Value:
        sign = {"is_true": "!=", "equals": "==", "less": "<", "at_most": "<="}[question.test]
        value = question.value if isinstance(question.value, int) else 0
        return self.code.compare(sign, found, int(value))

    def walk(self, each: Each) -> tuple[Value, Value]:
        """Where the walk begins among the items, and its length."""
        code = self.code
        begin = code.add(self._element(each.path, "first"), each.skip)
        length = code.add(self._length(each.path), -(each.skip + each.leave))
        return begin, code.larger(length, word(0))

    def item(self, each: Each, begin: Value, number: Value) -> FlatReader:
        """A reader of an element of a walk."""
        column = self._column(each.path, "items", "")
        return FlatReader(self.code, self.library, self.code.get(column, self.code.add(begin, number)))

    def store(self, payload: Payload, row: int, address: Value) -> None:
        """Stores the payload in a word: an integer, the bits of a double, or the number of a row."""
        code, layout = self.code, self.library.layout
        mode = ROW if holds_objects(payload) else NUMBER
        code.refuse(code.compare("!=", code.get(code.frame, layout.modes + row), mode))
        if mode == ROW:
            code.refuse(code.compare("<", self.object, 0))
            code.put(address, 0, self.object)
            return
        assert payload.path is not None
        b, found = code.builder, self._element(payload.path, "value", payload.dtype)
        match kind_of(payload.dtype):
            case "f":
                wide = b.fpext(found, DOUBLE) if found.type != DOUBLE else found
                code.put(address, 0, b.bitcast(wide, INT64))
            case "i" if payload.dtype != "u8":
                wide = b.sext(found, INT64) if found.type != INT64 else found
                if payload.range is not None:
                    low, high = payload.range
                    code.refuse(b.or_(code.compare("<", wide, low), code.compare(">", wide, high)))
                code.put(address, 0, wide)
            case _:
                code.put(address, 0, b.zext(found, INT64))

    def _length(self, path: Path) -> Value:
        self.code.refuse(self.code.compare("<", self.object, 0))
        place = self.code.at(self._column(path, "first", ""), self.object)
        return self.code.subtract(self.code.get(place, 1), self.code.get(place))

    def _element(self, path: Path, kind: ColumnKind, dtype: str = "") -> Value:
        """This object's element of a column. Leaves the function at None."""
        self.code.refuse(self.code.compare("<", self.object, 0))
        stored: Any = STORED[dtype] if dtype else INT64
        return self.code.load(self._column(path, kind, dtype), self.object, stored)

    def _column(self, path: Path, kind: ColumnKind, dtype: str) -> Value:
        step = path[0]
        assert isinstance(step, Attribute)
        return self.code.get(self.code.frame, self.library.layout.columns[step.name, kind, dtype])
