"""Texts with computed whole numbers in them, as far as they name something: `self.experts[f"e{i}"]`, `getattr(self, f"e{i}")`.

Such a text is a pattern, which the keys of a dictionary or the names of attributes match for some values of its numbers.
"""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from bough.frontends.staging.choices import Choice, each_alternative, settled
from bough.frontends.staging.scalars import Scalar

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging

_PLAIN = (-1, ord("s"), ord("r"))
"""Conversions in an f-string that write a whole number as `str` does."""
_CONVERSIONS: dict[int, Callable[[Any], str]] = {ord("s"): str, ord("r"): repr, ord("a"): ascii}


class Text:
    """`constants[0] + str(numbers[0]) + constants[1] + ...`, with one constant more than there are numbers."""

    __slots__ = ("constants", "numbers", "staging")

    def __init__(self, staging: DataStaging, constants: Sequence[str], numbers: Sequence[Any]) -> None:
        self.staging, self.constants, self.numbers = staging, tuple(constants), tuple(numbers)

    def __repr__(self) -> str:
        return "<a text with computed numbers>"

    def __add__(self, other: Any) -> Any:
        return joined(self.staging, [self, other]) if isinstance(other, (str, Text)) else NotImplemented

    def __radd__(self, other: Any) -> Any:
        return joined(self.staging, [other, self]) if isinstance(other, str) else NotImplemented

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, str):
            return self._fixed()
        test = self.is_text(other)
        return False if test is None else test

    def __ne__(self, other: object) -> Any:
        return self.staging.negated(self == other)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self._fixed()

    def _fixed(self, *_: object) -> Any:
        return self.staging.text(self)

    __str__ = __format__ = __hash__ = __bool__ = __len__ = __iter__ = __getitem__ = __mod__ = _fixed

    def is_text(self, text: str) -> Any:
        """Whether it is this text, a computed bool; None where it never is."""
        if any(not re.search("[^-0-9]", c) for c in self.constants[1:-1]):
            raise self.staging.refused(
                "a text has two computed numbers with nothing but digits between them",
                "which has which digits is not known",
                "put another character between them",
            )
        found = re.fullmatch("(-?[0-9]+)".join(map(re.escape, self.constants)), text)
        if found is None or any(str(int(g)) != g for g in found.groups()):
            return None
        tests = [n == int(g) for n, g in zip(self.numbers, found.groups(), strict=True)]
        return self.staging.all_true(True, tests[0], *(lambda t=t: t for t in tests[1:]))


def formatted(staging: DataStaging, parts: Iterable[Any]) -> Any:
    """An f-string: texts, and tuples of a value, how it is converted and how it is formatted."""
    made: list[Any] = []
    for part in parts:
        if isinstance(part, str):
            made.append(part)
            continue
        value, conversion, spec = (settled(p) for p in part)
        if isinstance(value, Choice) and not staging.lenient:
            return each_alternative(staging, functools.partial(_with, staging, parts, part), value)
        if isinstance(value, torch.Tensor) and value.dim() == 0 and conversion == -1 and not staging.lenient:
            value = staging.call(value.item)
        if _is_whole(value) and not staging.lenient and conversion in _PLAIN and spec == "":
            made.append(value if isinstance(value, Text) else Text(staging, ("", ""), [value]))
        else:
            made.append(format(value if conversion == -1 else _CONVERSIONS[conversion](value), spec))
    return joined(staging, made)


def _with(staging: DataStaging, parts: Iterable[Any], part: Any, value: Any) -> Any:
    """The f-string with one part of another value."""
    return formatted(staging, [(value, *part[1:]) if p is part else p for p in parts])


def _is_whole(value: Any) -> bool:
    return isinstance(value, Text) or (isinstance(value, Scalar) and value.kind is int)


def joined(staging: DataStaging, parts: Sequence[Any]) -> Any:
    """Texts one behind the other."""
    constants, numbers = [""], list[Any]()
    for part in parts:
        first, *others = part.constants if isinstance(part, Text) else (part,)
        constants[-1] += first
        constants += others
        numbers += part.numbers if isinstance(part, Text) else ()
    return Text(staging, constants, numbers) if numbers else constants[0]


def text_of(staging: DataStaging, *args: Any, **kwargs: Any) -> Any:
    """`str(value)`."""
    if len(args) == 1 and not kwargs and isinstance(args[0], (Scalar, Text)) and not staging.lenient:
        return formatted(staging, [(args[0], -1, "")])
    return NotImplemented


def format_method(staging: DataStaging, pattern: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`pattern.format(...)`."""
    parts: list[Any] = []
    for number, (constant, name, spec, conversion) in enumerate(string.Formatter().parse(pattern)):
        parts.append(constant)
        if name is not None:
            if name and name not in kwargs and not name.isdigit():
                raise staging.refused("`format` takes parts of its arguments", "there is no rule for it", "use an f-string")
            value = kwargs[name] if name in kwargs else args[int(name or number)]
            parts.append((value, ord(conversion) if conversion else -1, spec or ""))
    return formatted(staging, parts)


def matches(text: Text, names: Iterable[Any]) -> dict[str, Any]:
    """The names that the text may be, each with the computed bool that it is."""
    tests = {n: text.is_text(n) for n in names if isinstance(n, str)}
    return {n: t for n, t in tests.items() if t is not None}


def position(staging: DataStaging, tests: Iterable[Any], count: int) -> Scalar:
    """The number of the first test that holds; `count` where none does."""
    pairs = list(enumerate(staging.truth(t) for t in tests))[::-1]

    def later(number: torch.Tensor, pair: tuple[int, Any]) -> torch.Tensor:
        n, test = pair
        held = test.tensor if isinstance(test, Scalar) else torch.full((), test, dtype=torch.bool)
        return torch.where(held, torch.full((), n, dtype=torch.int64), number)

    return Scalar(staging, functools.reduce(later, pairs, torch.full((), count, dtype=torch.int64)))
