"""Parts of lists: where they begin and end, as plain data, and the parts themselves, which need no copy of the list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload


@dataclass(frozen=True, slots=True)
class Index:
    """`(times * length + plus) // over` of a list's length. As everywhere in Python, a negative one counts from the end."""

    times: int = 0
    plus: int = 0
    over: int = 1

    def of(self, length: int) -> int:
        return (self.times * length + self.plus) // self.over

    def __str__(self) -> str:
        if not self.times:
            return str(self.plus // self.over)
        product = "len" if self.times == 1 else f"{self.times} * len"
        total = product + (f" {'+' if self.plus > 0 else '-'} {abs(self.plus)}" if self.plus else "")
        if self.over == 1:
            return total
        return f"({total}) // {self.over}" if total != "len" else f"len // {self.over}"


START, END = Index(), Index(times=1)


class Span(Sequence[Any]):
    """`listed[first:last]`, without a copy. What tells it from others is its `key`: spans of one list with equal bounds are one
    object. As long as a span lives, so does its list, and the key is nobody else's."""

    __slots__ = ("first", "last", "listed")

    def __init__(self, listed: list[Any] | tuple[Any, ...], first: int, last: int) -> None:
        self.listed, self.first, self.last = listed, first, max(first, last)

    @classmethod
    def of(cls, value: Any, first: Index, last: Index) -> Span:
        """Python's slice of a list, a tuple or a span. Raises TypeError for anything else."""
        if isinstance(value, Span):
            begin, end = bounds(len(value), first, last)
            return cls(value.listed, value.first + begin, value.first + end)
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"{type(value).__name__} is no list or tuple, and only these are cut into parts")
        return cls(value, *bounds(len(value), first, last))

    @property
    def kind(self) -> type:
        """What Python would have made: a list or a tuple."""
        return list if isinstance(self.listed, list) else tuple

    @property
    def key(self) -> tuple[int, int, int]:
        return id(self.listed), self.first, self.last

    def __len__(self) -> int:
        return self.last - self.first

    def __iter__(self) -> Iterator[Any]:
        return iter(self.listed[self.first : self.last])

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self.listed[self.first : self.last][index]
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.kind.__name__} index out of range")
        return self.listed[index + (self.first if index >= 0 else self.last)]


LISTS = (list, tuple, Span)
"""What has elements in an order."""


def bounds(length: int, first: Index, last: Index) -> tuple[int, int]:
    """Where a slice of so many elements begins and ends."""
    begin, end, _ = slice(first.of(length), last.of(length)).indices(length)
    return begin, max(begin, end)
