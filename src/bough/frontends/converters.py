"""The converters of ATen operators: which function turns which overload into operators of the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from bough.frontends.builder import Builder
from bough.ir.program import Value

Converter = Callable[..., Value | Sequence[Value] | None]
"""`convert(builder, *args, **kwargs)` with the ATen operator's own arguments; tensors as Values, sizes as extents.

Gives the result, a sequence of results, or None for an operator without results. Raises Unsupported.
"""


C = TypeVar("C", bound=Converter)


@dataclass(frozen=True, slots=True)
class Absent:
    """In place of a result that no one should need; using it is an error with this text."""

    reason: str


CONVERTERS: dict[str, Converter] = {}
"""By overload, without the `aten.`: `add.Tensor`."""


def converts(*overloads: str) -> Callable[[C], C]:
    """Enters a function in the table."""

    def enter(converter: C) -> C:
        for name in overloads:
            CONVERTERS[name] = converter
        return converter

    return enter


def enter_all(overloads: dict[str, str], make: Callable[[str], Converter]) -> None:
    """Enters a converter made from each entry's value."""
    for name, given in overloads.items():
        CONVERTERS[name] = make(given)


def overload_name(target: Any) -> str:
    """The name under which an operator stands in the table of converters."""
    return str(target).removeprefix("aten.")


def axis_of(axis: int, rank: int) -> int:
    """A position counted from the front."""
    return axis % rank if rank else 0


def one_of(values: Any, count: int) -> tuple[Any, ...]:
    """A list argument in which torch repeats a single entry."""
    entries = tuple(values) if isinstance(values, (list, tuple)) else (values,)
    return entries * count if len(entries) == 1 else entries


def unused(_: Builder, *args: Any, **kwargs: Any) -> None:
    """For checks that hold by the time that a program is traced."""


for _name in (
    "_assert_scalar.default", "_assert_tensor_metadata.default", "sym_constrain_range.default",
    "sym_constrain_range_for_size.default", "_assert_async.msg", "_functional_assert_async.msg",
):  # fmt: skip
    CONVERTERS[_name] = unused
