"""What the answers to earlier questions say about the next one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from bough.base.visits import Question

Answer = tuple[Question, bool]


class Facts:
    """The questions answered on one way through a function. `classes` knows the classes of `is_instance` by name."""

    def __init__(self, classes: dict[str, type], known: Sequence[Answer] = ()) -> None:
        self.classes = classes
        self.answers = list(known)

    def add(self, question: Question, answer: bool) -> None:
        self.answers.append((question, answer))

    def implied(self, question: Question) -> bool | None:
        """The only answer that does not contradict the earlier ones, or None where both are possible."""
        for known, answer in self.answers:
            if known == question:
                return answer
        about = [(q, a) for q, a in self.answers if q.path == question.path]
        if question.length:
            return _number(question, [(q, a) for q, a in about if q.length or q.test == "is_true"], True)
        not_none = any(_needs_something(q, a) for q, a in about) or self._read_below(question)
        none = any(q.test == "is_none" and a for q, a in about)
        if question.test == "is_none":
            return False if not_none else None
        if none and question.test in ("is_true", "equals", "is_instance", "has_attribute", "has_key"):
            return False
        if question.test == "is_instance":
            return self._instance(question, about)
        plain = [(q, a) for q, a in about if not q.length]
        lengths = [(q, a) for q, a in about if q.length]
        if question.test == "is_true" and lengths:
            return _number(question, lengths + plain, True)
        if isinstance(question.value, str):
            return False if any(a and q.test == "equals" and q.value != question.value for q, a in plain) else None
        return _number(question, plain, False)

    def _read_below(self, question: Question) -> bool:
        count = len(question.path)
        return any(len(q.path) > count and q.path[:count] == question.path for q, _ in self.answers)

    def _instance(self, question: Question, about: Iterable[Answer]) -> bool | None:
        asked = self._named(question)
        for known, answer in about:
            if known.test != "is_instance":
                continue
            classes = self._named(known)
            if answer and all(any(issubclass(c, a) for a in asked) for c in classes):
                return True
            if answer and not any(_may_share(c, a) for c in classes for a in asked):
                return False
            if not answer and all(any(issubclass(a, c) for c in classes) for a in asked):
                return False
        return None

    def _named(self, question: Question) -> list[type]:
        assert isinstance(question.value, tuple)
        return [self.classes[n] for n in question.value]


def _needs_something(question: Question, answer: bool) -> bool:
    """Whether such an answer is only given where there is something other than None."""
    if question.length or question.test in ("less", "at_most", "has_key"):
        return True
    return not answer if question.test == "is_none" else answer


def _may_share(a: type, b: type) -> bool:
    """Whether an object can be of both classes, as far as the classes that exist tell."""
    return issubclass(a, b) or issubclass(b, a) or bool(set(subclasses(a)) & set(subclasses(b)))


def subclasses(cls: type) -> list[type]:
    """The class and those below it, as far as they exist; every class comes before its own subclasses."""
    found: list[type] = [cls]
    for known in found:
        below: list[type] = type.__subclasses__(known)
        found += [c for c in below if c not in found]
    return found


def _number(question: Question, about: Sequence[Answer], whole: bool) -> bool | None:
    """Compares with numbers known to be above, below or equal; `whole` for lengths."""
    low, high, known = (0.0 if whole else -math.inf), math.inf, None
    low_open = high_open = False
    excluded: set[Any] = set()
    for q, answer in about:
        value: Any = q.value if q.test != "is_true" else 0
        if isinstance(value, (str, tuple)) or value is None:
            continue
        equal = (q.test == "equals" and answer) or (q.test == "is_true" and not answer and whole)
        if equal:
            known = value
        elif q.test in ("equals", "is_true"):
            excluded.add(value)
        elif q.test == "less" and answer:
            high, high_open = min((high, high_open), (value, not whole)) if not whole else (min(high, value - 1), False)
        elif q.test == "at_most" and answer:
            high, high_open = min((high, high_open), (value, False))
        elif q.test == "less":
            low = max(low, value)
        elif q.test == "at_most":
            low, low_open = (max(low, value + 1), False) if whole else (max(low, value), True)
    if whole:
        while low in excluded:
            low += 1
        known = low if low == high else known
    value = question.value if question.test != "is_true" else 0
    if known is not None:
        answers = {"equals": known == value, "less": known < value, "at_most": known <= value}
        return bool(answers.get(question.test, known != 0))
    below = value < low or (value == low and low_open)
    above = value > high or (value == high and high_open)
    if question.test in ("equals", "is_true"):
        outside = below or above or value in excluded
        return (question.test == "is_true") if outside else None
    if below or (question.test == "less" and value == low):
        return False
    if above or (question.test == "at_most" and value == high):
        return True
    return None
