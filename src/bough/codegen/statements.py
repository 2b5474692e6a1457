"""Statements of the Loops level to LLVM code."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from llvmlite import ir

from bough.base.errors import InternalError
from bough.codegen import llvm_types as t
from bough.codegen.expressions import condition, constant_condition, evaluate
from bough.codegen.indices import materialize
from bough.codegen.instructions import invoke
from bough.codegen.linear import LANE, Linear, atom
from bough.codegen.memory import CACHE_LINE, constant_strides, fetch, part_of, store
from bough.codegen.phases import call_part, start_phase
from bough.codegen.state import Emission, Lanes, Scope, Storage
from bough.codegen.transposed_stores import nothing_waits, stores_wait
from bough.ir import loops
from bough.ir.expr import Const, Expr, children

PADDING = 256
"""Bytes behind private buffers that a vector may reach into: the longest vector of one operation."""


def emit_body(em: Emission, scope: Scope, body: tuple[loops.Stmt, ...]) -> None:
    """The statements in order; what they define ends with `scope`."""
    for statement in body:
        emit_statement(em, scope, statement)


def emit_statement(em: Emission, scope: Scope, statement: loops.Stmt) -> None:
    match statement:
        case loops.For():
            with em.at(statement.location):
                _emit_loop(em, scope, statement)
        case loops.If(test, then, otherwise):
            _emit_if(em, scope, test, then, otherwise)
        case loops.Let(name, value):
            scope.values[name] = evaluate(em, scope, value)
        case loops.Store(buffer, index, value):
            place = [evaluate(em, scope, i) for i in index]
            store(em, scope, buffer, place, evaluate(em, scope, value))
        case loops.Alloc(buffer):
            scope.buffers[buffer.name] = _allocate(em, buffer)
        case loops.Within(buffer, whole, start):
            scope.buffers[buffer.name] = part_of(em, scope, buffer, whole, evaluate(em, scope, start))
        case loops.Invoke(instruction, operands):
            invoke(em, scope, instruction, operands)
        case loops.Fetch(buffer, index):
            fetch(em, scope, buffer, [evaluate(em, scope, i) for i in index])
        case loops.While():
            with em.at(statement.location):
                _emit_while(em, scope, statement)
        case loops.Fail(code):
            em.builder.ret(t.int32(code))
            em.builder.position_at_end(em.builder.append_basic_block("unreached"))


def _allocate(em: Emission, buffer: loops.Buffer) -> Storage:
    """Private memory. Register files are memory too here: LLVM turns what is indexed by constants into registers."""
    strides, count = constant_strides(buffer)
    width = buffer.dtype.bytes
    align = max(buffer.align, CACHE_LINE)
    pointer = em.allocate(t.memory_type(buffer.dtype), count + PADDING // width, align)
    aligned = loops.Buffer(buffer.name, buffer.dtype, buffer.shape, buffer.place, align)
    return Storage(aligned, pointer, strides, count, True)


def _emit_if(em: Emission, scope: Scope, test: Expr, then: tuple[loops.Stmt, ...], otherwise: tuple[loops.Stmt, ...]) -> None:
    value = condition(em, scope, test)
    known = constant_condition(value)
    if known is not None:
        emit_body(em, scope.child(), then if known else otherwise)
    elif not t.lanes_of(value):
        if otherwise:
            em.choose(
                value,
                lambda: emit_body(em, scope.child(), then),
                lambda: emit_body(em, scope.child(), otherwise),
            )
        else:
            with em.when(value):
                emit_body(em, scope.child(), then)
    else:
        assert scope.lanes is not None
        mask, count = scope.lanes.mask, scope.lanes.count
        emit_body(em, scope.child(Lanes(count, em.mask_and(mask, value), False)), then)
        if otherwise:
            emit_body(em, scope.child(Lanes(count, em.mask_and(mask, em.mask_not(value)), False)), otherwise)


def _emit_loop(em: Emission, scope: Scope, loop: loops.For) -> None:
    start, stop = evaluate(em, scope, loop.start), evaluate(em, scope, loop.stop)
    if not isinstance(start, Linear) or not isinstance(stop, Linear) or start.lane or stop.lane:
        raise InternalError(f"the bounds of the loop over {loop.var} differ between lanes")
    if loop.step < 1:
        raise InternalError(f"the loop over {loop.var} has step {loop.step}")
    _, most = (stop - start).range(0)
    if most is not None and most <= 0:
        return
    if loop.kind == "parallel":
        start_phase(em, scope, loop, start, stop, emit_body)
    elif em.host is not None and scope.lanes is None and not loops.holds((loop,), _is_of_host):
        call_part(em, em.host, scope, loop, emit_body)
    elif loop.kind == "vector" and loop.lanes > 1 and can_vectorize(loop):
        _emit_vector(em, scope, loop, stop)
    else:
        _emit_serial(em, scope, loop, start, stop)


def _is_of_host(s: loops.Stmt) -> bool:
    """Whether it must stand in the host function itself."""
    return loops.is_parallel(s) or isinstance(s, (loops.While, loops.Fail))


def _emit_while(em: Emission, scope: Scope, loop: loops.While) -> None:
    def head(turn: Any) -> Any:
        inside.values[loop.var] = atom(turn, 0)
        emit_body(em, inside, loop.head)
        return condition(em, inside, loop.condition)

    inside = scope.child()
    em.repeat(head, lambda: emit_body(em, inside.child(), loop.body))


def _emit_serial(em: Emission, scope: Scope, loop: loops.For, start: Linear, stop: Linear) -> None:
    if start.is_constant and stop.is_constant:
        trips = range(start.const, stop.const, loop.step)
        if loop.kind == "unroll" or len(trips) == 1:
            _emit_unrolled(em, scope, loop, trips)
            return
    elif loop.kind == "unroll":
        raise InternalError(f"the unrolled loop over {loop.var} has bounds that are not constant")
    low, high = start.range(0)[0], stop.range(0)[1]

    def body(i: Any) -> None:
        inner = scope.child()
        inner.values[loop.var] = atom(i, low, None if high is None else high - 1)
        emit_body(em, inner, loop.body)

    least, _ = (stop - start).range(0)
    runs = least is not None and least > 0
    em.loop(materialize(em, start), materialize(em, stop), loop.step, body, runs=runs)


def _emit_unrolled(em: Emission, scope: Scope, loop: loops.For, trips: range) -> None:
    with stores_wait(em, scope, loop) if len(trips) > 1 else nullcontext():
        for value in trips:
            inner = scope.child()
            inner.values[loop.var] = Linear(value)
            emit_body(em, inner, loop.body)


def _emit_vector(em: Emission, scope: Scope, loop: loops.For, stop: Linear) -> None:
    """One vector operation per node; two versions where only the run tells whether all lanes take part."""
    count = loop.lanes
    low, high = stop.range(0)

    def body(inner: Scope) -> None:
        inner.values[loop.var] = LANE
        emit_body(em, inner, loop.body)

    if low is not None and low >= count:
        body(scope.child(Lanes(count)))
        return
    if stop.is_constant:
        mask = ir.Constant(ir.VectorType(t.BIT, count), [t.bit(n < stop.const) for n in range(count)])
        body(scope.child(Lanes(count, mask)))
        return
    b, value = em.builder, materialize(em, stop)

    def masked() -> None:
        narrow = t.splat(b, b.trunc(value, t.INT32), count)
        body(scope.child(Lanes(count, b.icmp_signed("<", t.iota(t.INT32, count), narrow))))

    def partial() -> None:
        with em.when(b.icmp_signed(">", value, t.int64(0))):
            masked()

    some = masked if low is not None and low > 0 else partial
    with nothing_waits(em, scope):
        if high is not None and high < count:
            some()
        else:
            em.choose(b.icmp_signed(">=", value, t.int64(count)), lambda: body(scope.child(Lanes(count))), some)


def can_vectorize(loop: loops.For) -> bool:
    """Whether each node of the loop's body has a vector operation; if not it runs lane after lane."""
    return _no_obstacle(loop.body, {loop.var})


def _no_obstacle(body: tuple[loops.Stmt, ...], varying: set[str]) -> bool:
    """`varying`: the names that may differ between lanes; extended by the body's own."""
    for s in body:
        match s:
            case loops.Let(name, value):
                if _mentions(value, varying):
                    varying.add(name)
                else:
                    varying.discard(name)
            case loops.If(_, then, otherwise):
                if not _no_obstacle(then, set(varying)) or not _no_obstacle(otherwise, set(varying)):
                    return False
            case loops.For(var, start, stop, inner, kind):
                if kind in ("parallel", "vector") or _mentions(start, varying) or _mentions(stop, varying):
                    return False
                if not _no_obstacle(inner, varying - {var}):
                    return False
            case loops.Store():
                pass
            case _:
                return False
    return True


def _mentions(e: Expr, names: set[str]) -> bool:
    if isinstance(e, Const):
        return False
    return getattr(e, "name", None) in names or any(_mentions(c, names) for c in children(e))
