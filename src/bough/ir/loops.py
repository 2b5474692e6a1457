"""The Loops level: explicit order, buffers with places, vector loops, instruction calls, parallel loops.

    func linear(batch) (x: f32[batch, 300], w: f32[16, 300, 32], y: f32[batch, 512])
      parallel jo in 0..16
        for i in 0..batch
          alloc acc: f32[2, 16] in register
          ...
          for k in 0..300
            unroll v in 0..2
              avx512.fma(acc[v, :], x[i, k], w[jo, k, v*16 + :])
          unroll v in 0..2
            vector l in 0..16 lanes 16
              y[i, jo*32 + v*16 + l] = acc[v, l]

A parallel loop ends with a barrier; its iterations are independent and may run on any thread. It stands at the top of a
function or inside serial loops, whiles, ifs and lets of it (the host part), or in these inside another parallel loop with rooms:
then it runs on the thread that runs the iteration around it, and on those that have no iteration left. Whiles and fails stand in
the host part only.
A vector loop means the same as a serial one whose iterations are independent; it runs as one vector operation per node of
its body, masked where its extent may be smaller than `lanes`. An unrolled loop has a constant extent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Union

from bough.base.source import Location
from bough.ir.dtypes import DType
from bough.ir.expr import Expr, Extent

LoopKind = Literal["serial", "parallel", "unroll", "vector"]


@dataclass(frozen=True, slots=True)
class Buffer:
    """A dense row-major array in a place: `memory` (arguments, constants, arena), `scratch` (private to the thread,
    cache-resident), or a register file of the target such as `register`, whose last dimension is the vector.
    `align` is the alignment of its first element in bytes.
    """

    name: str
    dtype: DType
    shape: tuple[Extent, ...]
    place: str = "memory"
    align: int = 4


@dataclass(frozen=True, slots=True)
class Rooms:
    """At most `count` iterations of a parallel loop run at one time; `var` is a number below `count` that each has for itself
    meanwhile."""

    var: str
    count: int


@dataclass(frozen=True, slots=True)
class For:
    """`var` from `start` to `stop` exclusive by `step`. `lanes` counts for vector loops: start 0, stop at most `lanes`. Parallel
    loops that hold others have `rooms`."""

    var: str
    start: Expr
    stop: Expr
    body: tuple["Stmt", ...]
    kind: LoopKind = "serial"
    step: int = 1
    lanes: int = 0
    rooms: Rooms | None = None
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class If:
    condition: Expr
    then: tuple["Stmt", ...]
    otherwise: tuple["Stmt", ...] = ()


@dataclass(frozen=True, slots=True)
class While:
    """`head`; as long as `condition` holds then: `body`, and `head` again. `var` counts the turns from 0. The condition and the
    body see what the head defines."""

    var: str
    head: tuple["Stmt", ...]
    condition: Expr
    body: tuple["Stmt", ...]
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Fail:
    """The function ends here and returns `code`, which is not 0."""

    code: int


@dataclass(frozen=True, slots=True)
class Let:
    """A scalar (inside a vector loop: one per lane) for the rest of the enclosing body. Never assigned again."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Store:
    buffer: str
    index: tuple[Expr, ...]
    value: Expr


@dataclass(frozen=True, slots=True)
class Alloc:
    """A buffer with a constant size for the rest of the enclosing body; its elements are undefined at first."""

    buffer: Buffer


@dataclass(frozen=True, slots=True)
class Within:
    """A buffer with a constant size for the rest of the enclosing body, in the bytes of another from `start` on. Its elements are
    undefined at first, and nothing else uses those bytes meanwhile."""

    buffer: Buffer
    whole: str
    start: Expr


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of a buffer: the element `start`, extended along the buffer's dimensions `dims` by the instruction's operand's
    dimensions in order. `dims` is empty for a scalar operand."""

    buffer: str
    start: tuple[Expr, ...]
    dims: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Invoke:
    """One instruction of the target on slices, in the order of the operands of its kernel (inputs, then outputs that are
    not inputs)."""

    instruction: str
    operands: tuple[Slice, ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    """A hint that an element of a buffer in memory is read soon: nothing changes. It may lie outside of the buffer."""

    buffer: str
    index: tuple[Expr, ...]


Stmt = Union[For, If, While, Fail, Let, Store, Alloc, Within, Invoke, Fetch]


def inner_bodies(s: Stmt) -> tuple[tuple[Stmt, ...], ...]:
    """The statements inside a statement, in textual order."""
    match s:
        case For(): return (s.body,)
        case If(): return (s.then, s.otherwise)
        case While(): return (s.head, s.body)
        case _: return ()  # fmt: skip


def holds(body: tuple[Stmt, ...], wanted: Callable[[Stmt], bool]) -> bool:
    """Whether there is such a statement among these and inside them."""
    return any(wanted(s) or any(holds(inner, wanted) for inner in inner_bodies(s)) for s in body)


def is_parallel(s: Stmt) -> bool:
    return isinstance(s, For) and s.kind == "parallel"


@dataclass(frozen=True, slots=True)
class Function:
    """`scalars` are `i64` arguments (symbolic sizes); `params` are the memory buffers, arguments and constants alike."""

    name: str
    scalars: tuple[str, ...]
    params: tuple[Buffer, ...]
    body: tuple[Stmt, ...]
    location: Location | None = field(default=None, compare=False)
