"""Which functions can read objects from the columns of a forest, and what they need of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from bough.base.errors import InputError
from bough.base.reading import belongs, check_members
from bough.base.visits import Ask, Attribute, Decision, Fail, Member, Path, Payload, Question, Visit, Visits
from bough.runtime.arrays import NUMPY, Array, is_torch, torch_dtype
from bough.runtime.forest import Forest

ColumnKind = Literal["reference", "first", "items", "asked", "value", "row", "class"]
Column = tuple[str, ColumnKind, str]
"""Attribute, kind, element type of values: references; starts and items of lists; numbers that questions ask for; numbers and
rows that are payloads; whether the object is of one of some classes, by their names. A row is only numbered by the walk."""

NUMBERS = frozenset({"f64", "f32", "i64", "i32", "i16", "i8", "u8", "bool"})
"""Element types of which the walk reads plain numbers by itself."""
_EXACT = 1 << 53


def holds_objects(payload: Payload) -> bool:
    """Whether a payload can be no plain number."""
    return bool(payload.shape) or payload.dtype not in NUMBERS


def questions(decision: Decision) -> Iterator[Question]:
    """All questions of a decision."""
    pending: list[Decision] = [decision]
    while pending:
        match pending.pop():
            case Ask(question, yes, no):
                yield question
                pending += (no, yes)
            case Fail() | int():
                continue


def flat_functions(visits: Visits) -> dict[str, set[Column]]:
    """The functions that ask for nothing but columns, and call only such functions; the columns of each."""
    uses = _Uses(visits)
    found = {f.name: columns for f in visits.functions if (columns := uses.columns(f)) is not None}
    while True:
        calls = {f.name: {c.function for v in f.variants for c in v.calls} for f in visits.functions}
        kept = {name: columns for name, columns in found.items() if calls[name] <= found.keys()}
        if len(kept) == len(found):
            return kept
        found = kept


class _Uses:
    """What the attributes of objects are used for."""

    def __init__(self, visits: Visits) -> None:
        variants = [v for f in visits.functions for v in f.variants]
        asked = [q for f in visits.functions for q in questions(f.decision)]
        self.references = {_name(c.path) for v in variants for c in v.calls}
        self.lists = {_name(e.path) for v in variants for e in v.each if e.list is None}
        self.lists |= {_name(q.path) for q in asked if q.length}

    def columns(self, visit: Visit) -> set[Column] | None:
        """None where it asks for something else."""
        found: list[Column | None] = []
        for q in questions(visit.decision):
            if q.path:
                found.append(self.asked(q))
            if q.test == "is_instance":
                found.append(class_column(q))
            elif not q.path and (q.test != "is_none" or q.length):
                return None
        walks = [e for v in visit.variants for e in v.each]
        if any(c.parts for v in visit.variants for c in v.calls) or any(e.members or e.dictionary for e in walks):
            return None
        for v in visit.variants:
            for e in v.each:
                found += [_column(e.path, "first"), _column(e.path, "items")]
            found += [_column(c.path, "reference") for c in v.calls if c.path]
            for p in v.payloads:
                if p.path is not None:
                    found.append(_column(p.path, "row" if holds_objects(p) else "value", p.dtype))
        columns = {c for c in found if c is not None}
        return None if None in found else columns

    def asked(self, question: Question) -> Column | None:
        """The column that answers a question."""
        name = _name(question.path)
        if question.length:
            fits = question.test == "is_true" or isinstance(question.value, int)
            return _column(question.path, "first") if fits and question.test != "is_none" else None
        if name in self.lists:
            return _column(question.path, "first") if question.test in ("is_none", "is_true") else None
        if question.test in ("is_none", "is_instance") or (question.test == "is_true" and name in self.references):
            return _column(question.path, "reference")
        numeric = question.test in ("equals", "less", "at_most") and isinstance(question.value, int)
        return _column(question.path, "asked") if numeric or question.test == "is_true" else None


def class_column(question: Question) -> Column:
    """The column that answers whether an object is of one of some classes."""
    assert isinstance(question.value, tuple)
    return (" ".join(question.value), "class", "")


def _name(path: Path) -> str | None:
    return path[0].name if len(path) == 1 and isinstance(path[0], Attribute) else None


def _column(path: Path, kind: ColumnKind, dtype: str = "") -> Column | None:
    name = _name(path)
    return None if name is None else (name, kind, dtype)


def read_column(forest: Forest, column: Column, members: Sequence[Member] = ()) -> Array | None:
    """The forest's column as the walk reads it; None where it has none that is exactly so, or where objects of a class that is
    asked for lack one of the members."""
    name, kind, dtype = column
    match kind:
        case "reference":
            return forest.references.get(name)
        case "first" | "items":
            lists = forest.lists.get(name)
            return None if lists is None else lists.first if kind == "first" else lists.items
        case "class":
            wanted = frozenset(name.split(" "))
            try:
                for of in forest.classes:
                    check_members(of, members)
            except InputError:
                return None
            answers = [belongs(of, wanted) for of in forest.classes]
            return np.array(answers, np.int64)[forest.kinds]
    values = _values(forest.values.get(name))
    if values is None:
        return None
    if kind == "row":
        return values if values.dtype == NUMPY[dtype] else None
    if kind == "asked":
        return np.ascontiguousarray(values, np.int64) if values.ndim == 1 and values.dtype.kind in "bi" else None
    return _numbers(values, NUMPY[dtype])


def _values(column: Any) -> Array | None:
    """A column of values as an array; bf16 as its bits. None where it lies elsewhere."""
    if not is_torch(column):
        return column if isinstance(column, np.ndarray) else None
    plain = column.detach().resolve_neg()
    if not plain.is_cpu or "strided" not in str(plain.layout):
        return None
    if "bfloat16" in str(plain.dtype):
        return np.asarray(plain.contiguous().view(torch_dtype("i16")).numpy()).view(np.uint16)
    return np.asarray(plain.numpy())


def _numbers(values: Array, held: np.dtype[Any]) -> Array | None:
    """As Python numbers would become elements of type `held`."""
    if values.ndim != 1:
        return None
    kind, wanted = values.dtype.kind, held.kind
    if wanted == "f":
        exact = kind == "f" or (kind in "iu" and not np.any(np.abs(values) > _EXACT))
        return np.ascontiguousarray(values, held) if exact else None
    if wanted == "b":
        return np.ascontiguousarray(values) if kind == "b" else None
    if kind not in "iu":
        return None
    limits = np.iinfo(held)
    fits = not len(values) or (values.min() >= limits.min and values.max() <= limits.max)
    return np.ascontiguousarray(values, held) if fits else None
