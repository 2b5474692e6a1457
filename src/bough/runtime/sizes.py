"""Sizes that depend on symbolic ones, as plain data that JSON can hold.

A size is a number, the name of a symbolic size, or `(op, left, right)` with op one of add, sub, mul, floordiv, mod, min, max.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from reprlib import repr
from typing import Any, Union

from bough.runtime.errors import damaged

Size = Union[int, str, tuple[str, "Size", "Size"]]

_FORMS = {
    "add": "({} + {})",
    "sub": "({} - {})",
    "mul": "({} * {})",
    "floordiv": "({} // {})",
    "mod": "({} % {})",
    "min": "min({}, {})",
    "max": "max({}, {})",
}
_DEEPEST = 60


def evaluate(size: Size, scalars: Mapping[str, int]) -> int:
    """The size's value. `scalars` has every name that occurs."""
    if isinstance(size, int):
        return size
    if isinstance(size, str):
        return scalars[size]
    op, left, right = size[0], evaluate(size[1], scalars), evaluate(size[2], scalars)
    match op:
        case "add":
            return left + right
        case "sub":
            return left - right
        case "mul":
            return left * right
        case "floordiv":
            return left // right
        case "mod":
            return left % right
        case "min":
            return min(left, right)
        case _:
            return max(left, right)


def names(size: Size) -> Iterator[str]:
    """The symbolic sizes that occur, with repetition."""
    if isinstance(size, str):
        yield size
    elif isinstance(size, tuple):
        yield from names(size[1])
        yield from names(size[2])


def terms(size: Size) -> Iterator[Size]:
    """What a sum adds up; a size that is no sum is its only term."""
    if isinstance(size, tuple) and size[0] == "add":
        yield from terms(size[1])
        yield from terms(size[2])
    else:
        yield size


def source(size: Size, variables: Mapping[str, str]) -> str:
    """The size as a Python expression; `variables` gives the identifier that holds each symbolic size."""
    if isinstance(size, int):
        return str(size)
    if isinstance(size, str):
        return variables[size]
    return _FORMS[size[0]].format(source(size[1], variables), source(size[2], variables))


def text(size: Size) -> str:
    """The size for a reader, for instance `(batch * 2)`."""
    return source(size, {name: name for name in names(size)})


def to_data(size: Size) -> Any:
    return [size[0], to_data(size[1]), to_data(size[2])] if isinstance(size, tuple) else size


def from_data(data: Any, known: frozenset[str], depth: int = 0) -> Size:
    """Reads a size and checks it: known operators and names, bounded nesting, divisors that are positive numbers."""
    if type(data) is int:
        return data
    if isinstance(data, str):
        if data not in known:
            raise damaged("the manifest", f"a size refers to {repr(data)}, which is no symbolic size")
        return data
    is_call = isinstance(data, (list, tuple)) and len(data) == 3 and isinstance(data[0], str) and data[0] in _FORMS
    if not is_call or depth > _DEEPEST:
        raise damaged("the manifest", f"{repr(data)} is no size")
    left, right = from_data(data[1], known, depth + 1), from_data(data[2], known, depth + 1)
    if data[0] in ("floordiv", "mod") and not (isinstance(right, int) and right > 0):
        raise damaged("the manifest", f"{repr(data)} divides by something that may be zero")
    return (data[0], left, right)
