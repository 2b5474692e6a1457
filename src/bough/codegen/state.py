"""What is known at a point of the emission: the function being built, the names in scope, the lanes of a vector loop."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Union

from llvmlite import ir

from bough.base.errors import InternalError
from bough.base.source import Location
from bough.codegen.debug_info import DebugInfo
from bough.codegen.linear import Linear
from bough.codegen.llvm_types import POINTER, bit, filled, int64
from bough.codegen.parts import Parts
from bough.ir.loops import Buffer
from bough.targets.description import Target

Operand = Union[Linear, Any]
"""An emitted value: index arithmetic stays symbolic as long as it can; everything else is an `ir.Value`."""


Tag = tuple[Literal["loads", "stores"], str, Any]
"""Metadata for the loads or the stores of a buffer: whose, its kind, the node."""


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """A buffer at run time. `pointer` is None for an argument of a host function, which reads it where it uses it.

    `strides` are in elements; `size` is their constant number, where there is one. `private` memory belongs to the thread,
    is padded by a vector, and may be read or rewritten in place where a mask says no. What is `fixed` is not written while
    the function runs. `tags` is the metadata by which LLVM tells buffers apart.
    """

    buffer: Buffer
    pointer: Any
    strides: tuple[Operand, ...]
    size: int | None
    private: bool
    fixed: bool = False
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, slots=True)
class Lanes:
    """The vector loop that is being emitted. `mask` None: all lanes run; `certain`: at least one runs."""

    count: int
    mask: Any = None
    certain: bool = True


class Scope:
    """Names visible here."""

    def __init__(self, parent: Scope | None = None, lanes: Lanes | None = None) -> None:
        self.parent = parent
        self.lanes: Lanes | None = lanes if lanes is not None or parent is None else parent.lanes
        self.values: dict[str, Operand] = {}
        self.buffers: dict[str, Storage] = {}

    def child(self, lanes: Lanes | None = None) -> Scope:
        return Scope(self, lanes)

    @property
    def lane_count(self) -> int:
        return self.lanes.count if self.lanes else 0

    def value(self, name: str) -> Operand:
        for scope in self.outward():
            if name in scope.values:
                return scope.values[name]
        raise InternalError(f"no value for variable {name}")

    def buffer(self, name: str) -> Storage:
        for scope in self.outward():
            if name in scope.buffers:
                return scope.buffers[name]
        raise InternalError(f"no buffer is called {name}")

    def outward(self) -> Iterator[Scope]:
        """This scope and those around it."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent


@dataclass(frozen=True, slots=True)
class Host:
    """The arguments of a function that runs on the calling thread: its thread team, the array of buffers, their places; and the
    functions made of parts of it. Inside a parallel loop with rooms the team is a room, and buffers are at hand."""

    team: Any
    arrays: Any
    positions: dict[str, int]
    parts: Parts
    is_room: bool = False

    def inside(self, room: Any) -> Host:
        """For the iterations of a parallel loop that holds others."""
        return Host(room, None, {}, self.parts, True)


@dataclass(eq=False, slots=True)
class Emission:
    """One LLVM function being built. With a `host`, it may start parallel phases.

    `known` holds what was worked out at places that dominate this one, those of each piece of code that may not run, or runs
    again, apart.
    """

    target: Target
    function: Any
    builder: Any
    entry: Any
    host: Host | None = None
    name: str = ""
    debug: DebugInfo | None = None
    known: list[dict[Hashable, Any]] = field(default_factory=lambda: [{}])
    waiting: list[Any] | None = None
    """Strided stores of the unrolled loop that is being emitted, if they may wait for its end."""

    @classmethod
    def begin(cls, target: Target, function: Any, location: Location | None, **rest: Any) -> Emission:
        """Starts the function: `entry` is a block for allocations, code follows in another."""
        entry = function.append_basic_block("entry")
        builder = ir.IRBuilder(function.append_basic_block("start"))
        debug = DebugInfo.begin(function, location)
        if debug is not None and location is not None:
            builder.debug_metadata = debug.line(location)
        return cls(target, function, builder, entry, name=function.name, debug=debug, **rest)

    def end(self) -> None:
        """Connects the block of allocations."""
        ir.IRBuilder(self.entry).branch(self.function.blocks[1])

    @contextmanager
    def at(self, location: Location | None) -> Iterator[None]:
        """Code that stands for this line of the user's source."""
        if self.debug is None or location is None:
            yield
            return
        before = self.builder.debug_metadata
        self.builder.debug_metadata = self.debug.line(location)
        yield
        self.builder.debug_metadata = before

    def allocate(self, kind: Any, count: int, align: int) -> Any:
        """Room on the stack for `count` elements, for the whole function."""
        place = ir.IRBuilder(self.entry).alloca(ir.ArrayType(kind, count))
        place.align, place.type = align, POINTER
        return place

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` emits, unless it was emitted under this key before, at a place that dominates this one."""
        for known in reversed(self.known):
            if key in known:
                return known[key]
        value = self.known[-1][key] = make()
        return value

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Code that does not dominate what follows it."""
        self.known.append({})
        yield
        self.known.pop()

    @contextmanager
    def when(self, condition: Any) -> Iterator[None]:
        """Code that runs only where the scalar `condition` holds."""
        with self.builder.if_then(condition), self.apart():
            yield

    def choose(self, condition: Any, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
        """Either of two pieces of code."""
        with self.builder.if_else(condition) as (yes, no):
            with yes, self.apart():
                then()
            with no, self.apart():
                otherwise()

    def merge(self, condition: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        """The value of either of two pieces of code, of one type."""
        with self.builder.if_else(condition) as (yes, no):
            with yes, self.apart():
                a = then()
                after_a = self.builder.block
            with no, self.apart():
                b = otherwise()
                after_b = self.builder.block
        phi = self.builder.phi(a.type)
        phi.add_incoming(a, after_a)
        phi.add_incoming(b, after_b)
        return phi

    def loop(self, start: Any, stop: Any, step: int, body: Callable[[Any], None], *, runs: bool) -> None:
        """`body(i)` for `i` from `start` to `stop` by `step` > 0; `runs`: at least once, for sure.

        The test stands at the end, as LLVM likes it.
        """
        if not runs:
            with self.when(self.builder.icmp_signed("<", start, stop)):
                self.loop(start, stop, step, body, runs=True)
            return
        b = self.builder
        before, head = b.block, b.append_basic_block("loop")
        b.branch(head)
        b.position_at_end(head)
        i = b.phi(start.type)
        i.add_incoming(start, before)
        with self.apart():
            body(i)
        following = b.add(i, int64(step), flags=("nsw",))
        i.add_incoming(following, b.block)
        after = b.append_basic_block("after")
        b.cbranch(b.icmp_signed("<", following, stop), head, after)
        b.position_at_end(after)

    def repeat(self, head: Callable[[Any], Any], body: Callable[[], None]) -> None:
        """`head(turn)`, for `turn` from 0 on, and `body()` behind it as long as it gives true."""
        b = self.builder
        before, start = b.block, b.append_basic_block("turn")
        b.branch(start)
        b.position_at_end(start)
        turn = b.phi(int64(0).type)
        turn.add_incoming(int64(0), before)
        going = head(turn)
        inside, after = b.append_basic_block("going"), b.append_basic_block("after")
        b.cbranch(going, inside, after)
        b.position_at_end(inside)
        with self.apart():
            body()
        turn.add_incoming(b.add(turn, int64(1), flags=("nsw",)), b.block)
        b.branch(start)
        b.position_at_end(after)

    def any_lane(self, mask: Any) -> Any:
        """Whether some lane of a mask is set."""
        count = mask.type.count
        bits = self.builder.bitcast(mask, ir.IntType(count))
        return self.builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(count), 0))

    def mask_and(self, mask: Any, other: Any) -> Any:
        return other if mask is None else self.builder.and_(mask, other)

    def mask_not(self, mask: Any) -> Any:
        return self.builder.xor(mask, filled(bit(True), mask.type.count))
