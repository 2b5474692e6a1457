"""The Program level's recursion: what each variant of each function computes at one object.

`visits` says which activations there are and how they depend on each other; a *cell* is what one activation computes, a
straight Function over the tensors of that one object. Batching many activations is the business of the passes below.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Given:
    """A parameter that holds argument number `argument` of the function: a tensor that its caller passes down."""

    argument: int


@dataclass(frozen=True, slots=True)
class Collected:
    """A parameter that holds what the list has collected that walk number `walk` goes over."""

    walk: int


@dataclass(frozen=True, slots=True)
class Context:
    """A parameter that holds result `result` of the entry's cell, which comes behind all others of it, for the same sample."""

    result: int


Source = Union[Read, Returned, Given, Collected, Context]


@dataclass(frozen=True, slots=True)
class Pass:
    """The cell's result `result` goes down as argument number `argument` of call number `call`. Where the call is made for
    each element of a walk, the result has one row per element."""

    call: int
    argument: int
    result: int


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """`function`'s parameter i comes from `sources[i]`. What comes from a walk has one more axis in front: the walk's elements
    at this object, in order, whose symbolic size is called `sizes[e]` for walk e (it is among `function.dims`, if it occurs).

    The first results are the recursive function's; more may follow that the variant collects, then those that it passes down
    and, of the entry, those that others take for contexts; these depend on no result of a call that needs them.
    Constants that several cells share are the same array objects.
    """

    function: Function
    sources: tuple[Source, ...]
    sizes: tuple[str, ...] = ()
    passes: tuple[Pass, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Recursion:
    """`cells[f, v]` belongs to variant v of function f; `results[f]` are the types of f's results, the same in all its variants,
    and `arguments[f]` those of the tensors that its callers pass down; variants of functions that are passed any repeat.
    `rows[r]`: result r of the entry has a row, of the type in `results`, for each element of that list.

    Means: the entry function at the call's arguments. Interpreted by `bough.ir.interpret_recursion`.
    """

    visits: Visits
    cells: dict[tuple[str, int], Cell]
    results: dict[str, tuple[TensorType, ...]]
    arguments: dict[str, tuple[TensorType, ...]] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)

    def arguments_of(self, function: str) -> tuple[TensorType, ...]:
        return self.arguments.get(function, ())
