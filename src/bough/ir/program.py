"""The Program level: functions as flat lists of assignments over tensor values, with structured loops.

    func main(x: f32[batch, 300]) -> (y)
      dims batch: 1..1024
      const w: f32[512, 300]
      y: f32[batch, 512] = linear(x, w)            # model.py:12

Values are compared by identity: graphs are long and shared, so nothing here nests or recurses but `Loop`.
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


Node = Union[Assign, Loop]


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
