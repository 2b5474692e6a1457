"""Parallel loops: the body becomes a function of its own, which the thread team calls once per iteration.

The values that the body uses and the host function made travel in a frame on the host's stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from llvmlite import ir

from bough.base.errors import InternalError
from bough.codegen import llvm_types as t
from bough.codegen.indices import materialize
from bough.codegen.linear import Atom, Linear, atom
from bough.codegen.memory import SLOT, slot, slot_value
from bough.codegen.state import Emission, Host, Operand, Scope, Storage, Tag
from bough.ir import loops
from bough.ir.expr import Expr, Load, Var, children

TEAM_PARALLEL = "bough_team_parallel"
Emit = Callable[[Emission, Scope, tuple[loops.Stmt, ...]], None]


def start_phase(em: Emission, scope: Scope, loop: loops.For, start: Linear, stop: Linear, emit: Emit) -> None:
    """Runs the loop's body for all its iterations on the team, and waits for them."""
    host = em.host
    if host is None or scope.lanes is not None:
        raise InternalError(f"the parallel loop over {loop.var} stands inside a parallel or vector loop")
    em.phases += 1
    frame = _Frame()
    function = ir.Function(em.builder.module, ir.FunctionType(t.VOID, [t.POINTER, t.INT64]), f"{em.name}.phase{em.phases}")
    function.linkage = "internal"
    function.type = t.POINTER
    phase = Emission.begin(em.target, function, loop.location)
    inner = Scope()
    _capture(phase, frame, scope, inner, loop, host)
    first = frame.receive(phase, start)
    steps, last = stop - start, (stop - start).range(0)[1]
    index = atom(function.args[1], 0, None if last is None else (last - 1) // loop.step)
    inner.values[loop.var] = first + index.scaled(loop.step)
    emit(phase, inner, loop.body)
    phase.builder.ret_void()
    phase.end()
    trips = materialize(em, steps)
    if loop.step > 1:
        trips = em.builder.sdiv(em.builder.add(trips, t.int64(loop.step - 1)), t.int64(loop.step))

    def start_team() -> None:
        t.call(em.builder, TEAM_PARALLEL, t.VOID, [host.team, function, frame.send(em), trips])

    least, _ = steps.range(0)
    if least is not None and least > 0:
        start_team()
    else:
        with em.when(em.builder.icmp_signed(">", trips, t.int64(0))):
            start_team()


class _Frame:
    """Slots of 8 bytes, filled by the host and read once at the beginning of the phase."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.received: dict[Any, Any] = {}

    def value(self, phase: Emission, value: Any) -> Any:
        """A host value as the phase sees it."""
        if t.is_constant(value):
            return value
        if value not in self.received:
            self.received[value] = slot_value(phase, phase.function.args[0], len(self.values), value.type)
            self.values.append(value)
        return self.received[value]

    def receive(self, phase: Emission, value: Operand) -> Any:
        """The same for an operand; what is known about its parts stays known."""
        if not isinstance(value, Linear):
            return self.value(phase, value)
        terms = [(self.atom(phase, a), c) for a, c in value.terms]
        return Linear(value.const, tuple(terms))

    def atom(self, phase: Emission, a: Atom) -> Atom:
        if a not in self.received:
            self.received[a] = Atom(self.value(phase, a.value), a.low, a.high)
        return self.received[a]  # type: ignore[no-any-return]

    def send(self, em: Emission) -> Any:
        """Fills the frame on the host's stack."""
        frame = em.allocate(t.INT64, max(1, len(self.values)), 2 * SLOT)
        for n, value in enumerate(self.values):
            em.builder.store(value, slot(em, frame, n), align=SLOT)
        return frame


def _capture(phase: Emission, frame: _Frame, scope: Scope, inner: Scope, loop: loops.For, host: Host) -> None:
    """Makes the names that the body uses and the host knows visible in the phase."""
    values, buffers = _Uses(), _Uses()
    _uses(loop.body, values, buffers)
    written = {s for s in buffers.written}
    storages = [(name, scope.buffer(name)) for name in buffers.names if scope.has_buffer(name)]
    tags = _alias_tags(phase, [name for name, s in storages if not s.private], written)
    for name, storage in storages:
        pointer = frame.value(phase, storage.pointer) if storage.private else _argument(phase, frame, host, name)
        strides = tuple(frame.receive(phase, s) for s in storage.strides)
        inner.buffers[name] = Storage(storage.buffer, pointer, strides, storage.size, storage.private, tags.get(name, ()))
    for name in values.names:
        if name != loop.var and scope.has_value(name):
            inner.values[name] = frame.receive(phase, scope.value(name))


def _argument(phase: Emission, frame: _Frame, host: Host, name: str) -> Any:
    return slot_value(phase, frame.value(phase, host.arrays), host.positions[name], t.POINTER)


def _alias_tags(phase: Emission, names: Iterable[str], written: set[str]) -> dict[str, tuple[Tag, ...]]:
    """Metadata that tells LLVM that within a phase a buffer that is written overlaps no other."""
    module = phase.builder.module
    domain = module.add_metadata([f"{phase.name}"])
    own = {n: module.add_metadata([f"{phase.name}:{n}", domain]) for n in names if n in written}
    tags: dict[str, tuple[Tag, ...]] = {}
    for name in names:
        others = [node for n, node in own.items() if n != name]
        found: list[Tag] = []
        mine, apart = module.add_metadata([own[name]]) if name in own else None, module.add_metadata(others) if others else None
        for kind, node in (("alias.scope", mine), ("noalias", apart)):
            if node is not None:
                found += [("loads", kind, node), ("stores", kind, node)]
        tags[name] = tuple(found)
    return tags


class _Uses:
    """Names in the order of their first use."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.written: set[str] = set()

    def add(self, name: str) -> None:
        self.names.setdefault(name)


def _uses(body: tuple[loops.Stmt, ...], values: _Uses, buffers: _Uses) -> None:
    def visit(*expressions: Expr) -> None:
        for e in expressions:
            if isinstance(e, Var):
                values.add(e.name)
            elif isinstance(e, Load):
                buffers.add(e.source)
            visit(*children(e))

    for s in body:
        match s:
            case loops.For(_, start, stop, inner):
                visit(start, stop)
                _uses(inner, values, buffers)
            case loops.If(test, then, otherwise):
                visit(test)
                _uses(then, values, buffers)
                _uses(otherwise, values, buffers)
            case loops.Let(_, value):
                visit(value)
            case loops.Store(buffer, index, value):
                buffers.add(buffer)
                buffers.written.add(buffer)
                visit(*index, value)
            case loops.Invoke(_, operands):
                for part in operands:
                    buffers.add(part.buffer)
                    buffers.written.add(part.buffer)
                    visit(*part.start)
            case loops.Alloc():
                pass
