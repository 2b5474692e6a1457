"""Parts of a host function that become functions of their own: what the thread team calls, and loops that run in one go.

The values that a part uses and the host function made travel in a frame on the host's stack. Parts that differ by names
and buffers only, like the layers of a network, are one function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from bough.base.errors import InternalError
from bough.base.source import Location
from bough.codegen import llvm_types as t
from bough.codegen.expressions import condition
from bough.codegen.indices import materialize
from bough.codegen.linear import ZERO, Atom, Linear, atom
from bough.codegen.memory import SLOT, base_pointer, slot, slot_value
from bough.codegen.signature import Signature
from bough.codegen.state import Emission, Host, Operand, Scope, Storage, Tag
from bough.ir import loops
from bough.ir.expr import Const

TEAM_PARALLEL, ROOM_PARALLEL = "bough_team_parallel", "bough_team_inside"
TEAM_TAKE, TEAM_ROOM, TEAM_LEAVE = "bough_team_take", "bough_team_room", "bough_team_leave"
MUCH = 400
"""Statements from which on kernels side by side are functions of their own."""
Emit = Callable[[Emission, Scope, tuple[loops.Stmt, ...]], None]


def start_phase(em: Emission, scope: Scope, loop: loops.For, start: Linear, stop: Linear, emit: Emit) -> None:
    """Runs the body of a parallel loop for all its iterations on the team, and waits for them. Kernels that stand in one inside
    another share memory."""
    host = em.host
    if host is None or scope.lanes is not None:
        raise InternalError(f"the parallel loop over {loop.var} stands inside a vector loop")
    steps, last = stop - start, (stop - start).range(0)[1]
    rooms, choice = loop.rooms, loop.rooms is None and _is_choice(loop.body)
    bound = (loop.var, rooms.var) if rooms else (loop.var,)
    frame = _Frame(scope, Signature.of(loop.body, bound), apart=rooms is None)
    bounds = (frame.describe(start), last, loop.step)
    about = (bounds, rooms.count, frame.describe(host.team)) if rooms else (bounds, "parallel")

    def body(phase: Emission, inner: Scope, first: Linear, number: Any) -> None:
        index = atom(number, 0, None if last is None else (last - 1) // loop.step)
        inner.values[loop.var] = first + index.scaled(loop.step)
        if choice:
            _choose_part(phase, inner, loop, loop.body, emit)
        elif rooms is None:
            emit(phase, inner, loop.body)
        else:
            _in_room(phase, inner, rooms, frame.receive(phase, host.team), lambda: emit(phase, inner, loop.body))

    function = _function(em, host, frame, about, start, loop.location, body, calls=rooms is not None or choice)
    trips = materialize(em, steps)
    if loop.step > 1:
        trips = em.builder.sdiv(em.builder.add(trips, t.int64(loop.step - 1)), t.int64(loop.step))

    def start_team() -> None:
        pointer = ir.FormattedConstant(t.POINTER, function.get_reference())
        parallel = ROOM_PARALLEL if host.is_room else TEAM_PARALLEL
        t.call(em.builder, parallel, t.VOID, [host.team, pointer, frame.send(em), trips])

    least, _ = steps.range(0)
    if least is not None and least > 0:
        start_team()
    else:
        with em.when(em.builder.icmp_signed(">", trips, t.int64(0))):
            start_team()


def _in_room(em: Emission, scope: Scope, rooms: loops.Rooms, team: Any, emit: Callable[[], None]) -> None:
    """What `emit` emits, with a room of the team for its parallel loops."""
    assert em.host is not None
    number = t.call(em.builder, TEAM_TAKE, t.INT64, [team, t.int64(rooms.count)])
    em.host = em.host.inside(t.call(em.builder, TEAM_ROOM, t.POINTER, [team, number]))
    scope.values[rooms.var] = atom(number, 0, rooms.count - 1)
    emit()
    t.call(em.builder, TEAM_LEAVE, t.VOID, [team, number])


def _is_choice(body: tuple[loops.Stmt, ...]) -> bool:
    """Whether it is one of several kernels side by side, and much code."""
    *lets, last = body or (None,)
    return isinstance(last, loops.If) and all(isinstance(s, loops.Let) for s in lets) and _instructions(body) > MUCH


def _instructions(body: tuple[loops.Stmt, ...]) -> int:
    """About how many instructions are emitted for statements."""
    total = 0
    for s in body:
        match s:
            case loops.For(_, Const(start), Const(stop), inner, "unroll", step):
                total += _instructions(inner) * len(range(int(start), int(stop), step))
            case loops.For():
                total += _instructions(s.body)
            case loops.If(_, then, otherwise):
                total += _instructions(then) + _instructions(otherwise)
            case _:
                total += 1
    return total


def _choose_part(em: Emission, scope: Scope, loop: loops.For, body: tuple[loops.Stmt, ...], emit: Emit) -> None:
    """One of several kernels, each in a function of its own, which LLVM compiles beside the others."""
    *lets, last = body
    if _is_choice(body) and isinstance(last, loops.If):
        emit(em, scope, tuple(lets))
        em.choose(
            condition(em, scope, last.condition),
            lambda: _choose_part(em, scope.child(), loop, last.then, emit),
            lambda: _choose_part(em, scope.child(), loop, last.otherwise, emit),
        )
    else:
        assert em.host is not None
        frame = _Frame(scope, Signature.of(body), apart=True)
        function = _function(em, em.host, frame, "kernel", ZERO, loop.location, lambda part, inner, *_: emit(part, inner, body))
        em.builder.call(function, [frame.send(em), t.int64(0)])


def call_part(em: Emission, host: Host, scope: Scope, loop: loops.For, emit: Emit) -> None:
    """Runs a loop without parallel parts on this thread. Its buffers may overlap: it may hold many kernels."""
    frame = _Frame(scope, Signature.of((loop,)), apart=False)

    def body(part: Emission, inner: Scope, first: Linear, number: Any) -> None:
        emit(part, inner, (loop,))

    function = _function(em, host, frame, "serial", ZERO, loop.location, body)
    em.builder.call(function, [frame.send(em), t.int64(0)])


Body = Callable[[Emission, Scope, Linear, Any], None]


def _function(
    em: Emission, host: Host, frame: _Frame, kind: object, start: Linear, location: Location | None, body: Body,
    calls: bool = False,
) -> Any:  # fmt: skip
    """The function `void(ptr frame, i64 number)` of a part, which may have parts that it `calls`; made unless there is one of the
    same signature."""
    key = (kind, frame.key())

    def emit(function: Any) -> None:
        part = Emission.begin(em.target, function, location, host=host if calls else None)
        inner = Scope()
        frame.receive_all(part, inner)
        body(part, inner, frame.receive(part, start), function.args[1])
        part.builder.ret_void()
        part.end()

    known = host.parts.known
    if key not in known:
        known[key] = host.parts.make(em.name, emit, calls)
    return known[key]


class _Frame:
    """Slots of 8 bytes, filled by the host and read once at the beginning of the part.

    `apart`: buffers that the part writes overlap no others that it uses.
    """

    def __init__(self, scope: Scope, signature: Signature, apart: bool) -> None:
        self.signature, self.apart = signature, apart
        self.slots: dict[Any, int] = {}
        self.received: dict[Any, Any] = {}
        self.buffers = {name: scope.buffer(name) for name in signature.buffers}
        self.values = {name: scope.value(name) for name in signature.values}
        self.description = [self._describe_buffer(s) for s in self.buffers.values()]
        self.description += [self.describe(v) for v in self.values.values()]

    def key(self) -> object:
        """Equal for parts that one function can serve."""
        written = tuple(name in self.signature.written for name in self.buffers)
        return tuple(self.signature.tokens), tuple(self.description), written, self.apart

    def _slot(self, value: Any) -> int:
        return self.slots.setdefault(value, len(self.slots))

    def describe(self, value: Operand) -> object:
        """What the part's code may take for granted of a value."""
        if isinstance(value, Linear):
            return value.const, tuple((self._slot(a.value), a.low, a.high, c) for a, c in value.terms)
        if t.is_constant(value):
            return str(value)
        return self._slot(value), str(value.type)

    def _describe_buffer(self, s: Storage) -> object:
        strides = tuple(self.describe(stride) for stride in s.strides)
        return self._slot(s), s.buffer.dtype.name, s.buffer.align, strides, s.size, s.private

    def receive_all(self, part: Emission, inner: Scope) -> None:
        """Makes buffers and values visible in the part."""
        tags = self._alias_tags(part) if self.apart else {}
        for name, s in self.buffers.items():
            pointer = self._read(part, s, t.POINTER)
            strides = tuple(self.receive(part, stride) for stride in s.strides)
            fixed = name not in self.signature.written
            inner.buffers[name] = Storage(s.buffer, pointer, strides, s.size, s.private, fixed, tags.get(name, ()))
        for name, value in self.values.items():
            inner.values[name] = self.receive(part, value)

    def receive(self, part: Emission, value: Operand) -> Any:
        """A host value as the part sees it; what is known of its terms stays known."""
        if isinstance(value, Linear):
            return Linear(value.const, tuple((self._atom(part, a), c) for a, c in value.terms))
        return value if t.is_constant(value) else self._read(part, value, value.type)

    def _atom(self, part: Emission, a: Atom) -> Atom:
        if a not in self.received:
            self.received[a] = Atom(self._read(part, a.value, t.INT64), a.low, a.high)
        return self.received[a]  # type: ignore[no-any-return]

    def _read(self, part: Emission, value: Any, kind: Any) -> Any:
        if value not in self.received:
            self.received[value] = slot_value(part, part.function.args[0], self.slots[value], kind)
        return self.received[value]

    def send(self, em: Emission) -> Any:
        """Fills the frame on the host's stack."""
        frame = em.allocate(t.INT64, max(1, len(self.slots)), 2 * SLOT)
        for value, position in self.slots.items():
            sent = base_pointer(em, value) if isinstance(value, Storage) else value
            em.builder.store(sent, slot(em, frame, position), align=SLOT)
        return frame

    def _alias_tags(self, part: Emission) -> dict[str, tuple[Tag, ...]]:
        """Metadata that tells LLVM that a buffer that is written overlaps no other."""
        module = part.builder.module
        domain = module.add_metadata([part.name])
        names = [name for name, s in self.buffers.items() if not s.private]
        own = {n: module.add_metadata([f"{part.name}:{n}", domain]) for n in names if n in self.signature.written}
        tags: dict[str, tuple[Tag, ...]] = {}
        for name in names:
            others = [node for n, node in own.items() if n != name]
            found: list[Tag] = []
            mine = module.add_metadata([own[name]]) if name in own else None
            rest = module.add_metadata(others) if others else None
            for kind, node in (("alias.scope", mine), ("noalias", rest)):
                if node is not None:
                    found += [("loads", kind, node), ("stores", kind, node)]
            tags[name] = tuple(found)
        return tags
