"""The Program level's recursion: what each variant of each function computes at one object.

`visits` says which activations there are and how they depend on each other; a *cell* is what one activation computes, a
straight Function over the tensors of that one object. Batching many activations is the business of the passes below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from bough.base.visits import Visits
from bough.ir.program import Function, TensorType


@dataclass(frozen=True, slots=True)
class Read:
    """A parameter that holds payload number `payload` of the variant."""

    payload: int


@dataclass(frozen=True, slots=True)
class Returned:
    """A parameter that holds result number `result` of call number `call` of the variant."""

    call: int
    result: int


Source = Union[Read, Returned]


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """`function`'s parameter i comes from `sources[i]`. What comes from a walk has one more axis in front: the walk's elements
    at this object, in order, whose symbolic size is called `sizes[e]` for walk e (it is among `function.dims`, if it occurs).

    The first results are the recursive function's; more may follow that the variant collects.
    Constants that several cells share are the same array objects.
    """

    function: Function
    sources: tuple[Source, ...]
    sizes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Recursion:
    """`cells[f, v]` belongs to variant v of function f; `results[f]` are the types of f's results, the same in all its variants.

    Means: the entry function at the call's arguments. Interpreted by `bough.ir.interpret_recursion`.
    """

    visits: Visits
    cells: dict[tuple[str, int], Cell]
    results: dict[str, tuple[TensorType, ...]]
