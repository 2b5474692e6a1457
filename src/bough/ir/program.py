"""The Program level: functions as flat lists of assignments over tensor values, with structured loops.

    func main(x: f32[batch, 300]) -> (y)
      dims batch: 1..1024
      const w: f32[512, 300]
      y: f32[batch, 512] = linear(x, w)            # model.py:12

Values are compared by identity: graphs are long and shared, so nothing here nests but the bodies of `Loop`, `If` and `While`.
A value is known to the nodes after it in its body and in the bodies inside those. Every body writes its own values only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Union

import numpy as np

from bough.base.source import Location
from bough.ir.dtypes import DType
from bough.ir.expr import Extent


@dataclass(frozen=True, slots=True)
class Dim:
    """A symbolic size with its inclusive range. `high` None: unbounded."""

    name: str
    low: int = 1
    high: int | None = None


@dataclass(frozen=True, slots=True)
class TensorType:
    dtype: DType
    shape: tuple[Extent, ...]

    @property
    def rank(self) -> int:
        return len(self.shape)


@dataclass(eq=False, slots=True)
class Value:
    """A tensor (or, with rank 0, a scalar). `name` is unique in its program; identity is what counts."""

    name: str
    type: TensorType
    location: Location | None = None


Attribute = Union[int, float, bool, str, None, tuple[Any, ...], DType]


@dataclass(eq=False, slots=True)
class Assign:
    """`results = op(args, **attributes)` with `op` a name of the operator table. An absent optional argument is None.

    Attributes are plain data: numbers, strings, DTypes, extents (`Extent`), and tuples of them.
    """

    results: tuple[Value, ...]
    op: str
    args: tuple[Value | None, ...]
    attributes: dict[str, Attribute] = field(default_factory=dict)
    location: Location | None = None


@dataclass(eq=False, slots=True)
class Loop:
    """Runs `body` for `index` = 0 .. count-1 (or count-1 .. 0 if `reverse`).

    `carried[i]` is the body's view of state i, `initial[i]` its first value, `updated[i]` (a value of the body or a carried
    one) its next value, `final[i]` the loop's result. `stacked[i]` collects `collected[i]` along a new first axis, at
    position `index`.
    """

    index: Value
    count: Extent
    carried: tuple[Value, ...]
    initial: tuple[Value, ...]
    updated: tuple[Value, ...]
    final: tuple[Value, ...]
    collected: tuple[Value, ...]
    stacked: tuple[Value, ...]
    body: list["Node"]
    reverse: bool = False
    location: Location | None = None


@dataclass(eq=False, slots=True)
class If:
    """Runs `then` where `condition`, a bool of rank 0, holds, `otherwise` where not. `results[i]` is `then_results[i]` or
    `otherwise_results[i]`, values known at the end of that body. Where these differ in a size, the result's is one that a
    `Size` behind the node defines."""

    condition: Value
    then: list["Node"]
    then_results: tuple[Value, ...]
    otherwise: list["Node"]
    otherwise_results: tuple[Value, ...]
    results: tuple[Value, ...]
    location: Location | None = None


@dataclass(eq=False, slots=True)
class While:
    """Runs `head`; as long as `condition`, a bool of rank 0 known at its end, holds: `body`, and `head` again.

    `carried[i]` is what both see of state i, `initial[i]` its first value, `updated[i]` (known at the end of the body, which
    sees the head's values) its next one, `final[i]` its last: what is `carried[i]` when the condition fails. A size of a state
    may change from step to step: then a `Size` at the beginning of the head defines it from another state, and one behind the
    node defines that of the final value.
    """

    carried: tuple[Value, ...]
    initial: tuple[Value, ...]
    head: list["Node"]
    condition: Value
    body: list["Node"]
    updated: tuple[Value, ...]
    final: tuple[Value, ...]
    location: Location | None = None


@dataclass(eq=False, slots=True)
class Size:
    """Defines the symbolic dimension `name` as `value`, an i64 of rank 0, for the nodes behind it and inside those, and inside
    the type of a result of the node before it. It is at least `low` and at most `high`, which is known before the call; the
    call ends with a RuntimeError where it is not. Without `high`, memory is planned for the entry's `CAPACITY`, and a call
    that needs more is run again with more."""

    name: str
    value: Value
    low: int = 0
    high: Extent | None = None
    location: Location | None = None


@dataclass(eq=False, slots=True)
class Check:
    """The call ends with an error where `condition`, a bool of rank 0, does not hold. `error` is the class of Python's exception
    that the model would have raised ("AssertionError", "IndexError"), `message` its text."""

    condition: Value
    error: str
    message: str
    location: Location | None = None


Node = Union[Assign, Loop, If, While, Size, Check]


def results_of(node: Node) -> tuple[Value, ...]:
    """The values that a node gives to those behind it."""
    match node:
        case Assign() | If():
            return node.results
        case Loop():
            return (*node.final, *node.stacked)
        case While():
            return node.final
        case Size() | Check():
            return ()


CAPACITY = "capacity"
"""The dimension of the entry, known before the call, that bounds every computed size without a bound of its own."""


@dataclass(eq=False, slots=True)
class Function:
    """`constants` maps values to arrays (weights; bf16 as uint16 bit patterns). `dims` are the symbolic sizes that occur."""

    name: str
    params: tuple[Value, ...]
    constants: dict[Value, np.ndarray[Any, Any]]
    body: list[Node]
    results: tuple[Value, ...]
    dims: tuple[Dim, ...] = ()


@dataclass(eq=False, slots=True)
class Program:
    """`functions[entry]` is what a call runs."""

    functions: dict[str, Function]
    entry: str = "main"
