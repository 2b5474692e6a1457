"""`[*a, b]` where only the call decides how long `a` is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging


@dataclass(frozen=True, slots=True)
class Spread:
    """The elements of a list, on the way into another."""

    values: Any


def spread_out(staging: DataStaging, values: list[Any]) -> list[Any]:
    """A list with the elements of those that are spread into it."""
    made: list[Any] = staging.fresh([])
    for value in values:
        if isinstance(value, Spread):
            staging.call(made.extend, value.values)
        else:
            staging.call(made.append, value)
    return made
