"""Checks that a loop function keeps the promises of its level."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from bough.ir.dtypes import BOOL, I64, U8, DType
from bough.ir.expr import Const, Expr, Load, children, variables
from bough.ir.kernel import Kernel, Operand
from bough.ir.loops import Alloc, Buffer, Fail, Fetch, For, Function, If, Invoke, Let, Slice, Stmt, Store, While, Within
from bough.ir.loops_text import print_head
from bough.ir.text import print_expr
from bough.ir.verify_expr import Checker


def verify_loops(
    function: Function,
    instructions: Mapping[str, Kernel] | None = None,
    registers: Collection[str] = ("register",),
) -> None:
    """Raises InternalError, with the text of the statement, unless

    - every name is defined once in its scope, before its use, and expressions are well typed;
    - parallel loops stand only inside serial loops, whiles, ifs and other parallel loops, and only read the buffers that were
      allocated outside; whiles and fails, whose codes are not 0, stand in no parallel loop;
    - vector loops run from 0 to at most their lanes by 1, over lets, stores, ifs and other serial and unrolled loops
      only, and each lane stores to a place of its own; unrolled loops have constant bounds;
    - allocated buffers have constant sizes; those in a place of `registers` are indexed by constants and variables of
      unrolled loops, apart from their last dimension, where a lane may stand;
    - instructions, where `instructions` is given, are known, and their slices fit in rank, size and type (a slice that is
      not in the operand's place is moved there and back).
    """
    checker = Checker(f"func {function.name}", {}, dict.fromkeys(function.scalars, I64))
    scope = _Scope({}, {}, dict(checker.variables))
    verifier = _Verifier(checker, instructions, frozenset(registers))
    header = f"{function.name}({', '.join(function.scalars)}) ({', '.join(b.name for b in function.params)})"
    for b in function.params:
        checker.shape(b.shape, header)
        if b.place != "memory":
            checker.fail(f"the param {b.name} is in {b.place}", header)
        verifier.define_buffer(b, scope, header)
    if len(set(function.scalars)) != len(function.scalars):
        checker.fail("a scalar stands twice", header)
    verifier.body(function.body, scope)


@dataclass(slots=True)
class _Scope:
    """What is visible: buffers, with their types and ranks, and variables; which of these are the lanes of a vector loop or vary
    with them, and which are constant once loops are unrolled. `host` until a parallel loop begins, `serial` where one may begin,
    `outer` the private buffers from before it."""

    buffers: dict[str, Buffer]
    arrays: dict[str, tuple[DType, int]]
    variables: dict[str, DType]
    varying: frozenset[str] = frozenset()
    constant: frozenset[str] = frozenset()
    outer: frozenset[str] = frozenset()
    host: bool = True
    roomy: bool = False
    serial: bool = True
    lane: str | None = None

    def inner(self) -> _Scope:
        return replace(self, buffers=dict(self.buffers), arrays=dict(self.arrays), variables=dict(self.variables))


@dataclass(slots=True)
class _Verifier:
    checker: Checker
    instructions: Mapping[str, Kernel] | None
    registers: frozenset[str]

    def body(self, statements: tuple[Stmt, ...], scope: _Scope) -> None:
        for s in statements:
            self.statement(s, scope, print_head(s))

    def define(self, name: str, dtype: DType, scope: _Scope, text: str) -> None:
        if name in scope.variables or name in scope.buffers:
            self.checker.fail(f"{name} is defined twice", text)
        scope.variables[name] = dtype

    def define_buffer(self, b: Buffer, scope: _Scope, text: str) -> None:
        if b.name in scope.variables or b.name in scope.buffers:
            self.checker.fail(f"{b.name} is defined twice", text)
        scope.buffers[b.name] = b
        scope.arrays[b.name] = b.dtype, len(b.shape)

    def expr(self, e: Expr, scope: _Scope, text: str, dtype: DType | None = None) -> None:
        self.checker.arrays = scope.arrays
        self.checker.variables = scope.variables
        self.checker.expr(e, text, dtype)
        self.loads(e, scope, text)

    def loads(self, e: Expr, scope: _Scope, text: str) -> None:
        if isinstance(e, Load):
            self.access(e.source, e.index, scope, text)
        for k in children(e):
            self.loads(k, scope, text)

    def access(self, name: str, index: tuple[Expr, ...], scope: _Scope, text: str) -> None:
        """Rules of places, for an element of a buffer that exists."""
        if scope.buffers[name].place not in self.registers:
            return
        for i in index[:-1]:
            moving = variables(i) - scope.constant
            if moving or _has_load(i):
                self.checker.fail(f"the register {print_expr(i)} of {name} is not known when it is compiled", text)

    def shared(self, name: str, scope: _Scope, text: str) -> None:
        """Refuses a buffer of the thread that runs the host part, where any thread may store to it."""
        if name in scope.outer:
            self.checker.fail(f"{name} is private to the thread outside the parallel loop", text)

    def varies(self, e: Expr, scope: _Scope) -> bool:
        return not scope.varying.isdisjoint(variables(e))

    # -- statements

    def statement(self, s: Stmt, scope: _Scope, text: str) -> None:
        match s:
            case Let(name, value):
                self.expr(value, scope, text)
                self.define(name, value.dtype, scope, text)
                if self.varies(value, scope):
                    scope.varying |= {name}
                if not _has_load(value) and variables(value) <= scope.constant:
                    scope.constant |= {name}
            case Store(buffer, index, value):
                self.store(buffer, index, value, scope, text)
            case If(condition, then, otherwise):
                self.expr(condition, scope, text, BOOL)
                self.body(then, scope.inner())
                self.body(otherwise, scope.inner())
            case Alloc(buffer):
                self.alloc(buffer, scope, text)
            case Within(buffer, whole, start):
                self.within(buffer, whole, start, scope, text)
            case Invoke():
                self.invoke(s, scope, text)
            case Fetch(buffer, index):
                self.fetch(buffer, index, scope, text)
            case For():
                self.loop(s, scope, text)
            case While():
                self.whilst(s, scope, text)
            case Fail(code):
                self.host(scope, text)
                if code == 0:
                    self.checker.fail("0 is no failure", text)

    def host(self, scope: _Scope, text: str) -> None:
        """Refuses what only the host part may hold."""
        if not scope.host or scope.lane is not None:
            self.checker.fail("this stands in a parallel or vector loop", text)

    def whilst(self, s: While, scope: _Scope, text: str) -> None:
        self.host(scope, text)
        inner = scope.inner()
        self.define(s.var, I64, inner, text)
        self.body(s.head, inner)
        self.expr(s.condition, inner, text, BOOL)
        self.body(s.body, inner)

    def store(self, buffer: str, index: tuple[Expr, ...], value: Expr, scope: _Scope, text: str) -> None:
        if buffer not in scope.buffers:
            self.checker.fail(f"{buffer} is no buffer here", text)
        b = scope.buffers[buffer]
        self.expr(value, scope, text, b.dtype)
        for i in index:
            self.expr(i, scope, text, I64)
        if len(index) != len(b.shape):
            self.checker.fail(f"{buffer} has {len(b.shape)} dimensions, its index has {len(index)}", text)
        self.access(buffer, index, scope, text)
        self.shared(buffer, scope, text)
        if scope.lane is not None and not any(self.varies(i, scope) for i in index):
            self.checker.fail("all lanes store to one place", text)

    def fetch(self, buffer: str, index: tuple[Expr, ...], scope: _Scope, text: str) -> None:
        if scope.lane is not None or buffer not in scope.buffers or scope.buffers[buffer].place != "memory":
            self.checker.fail(f"{buffer} is no buffer in memory", text)
        for i in index:
            self.expr(i, scope, text, I64)
        if len(index) != len(scope.buffers[buffer].shape):
            self.checker.fail(f"the index of {buffer} has {len(index)} dimensions", text)

    def alloc(self, b: Buffer, scope: _Scope, text: str) -> None:
        if scope.lane is not None:
            self.checker.fail("a vector loop allocates", text)
        if b.place == "memory":
            self.checker.fail(f"{b.name} is allocated in memory, which is planned beforehand", text)
        if not all(isinstance(e, int) for e in b.shape):
            self.checker.fail(f"the size of {b.name} is not constant", text)
        self.define_buffer(b, scope, text)

    def within(self, b: Buffer, whole: str, start: Expr, scope: _Scope, text: str) -> None:
        if scope.lane is not None or whole not in scope.buffers or b.place != "memory":
            self.checker.fail(f"{b.name} is no part of a buffer in memory", text)
        if (scope.buffers[whole].dtype, len(scope.buffers[whole].shape)) != (U8, 1):
            self.checker.fail(f"{whole} holds no bytes", text)
        if not all(isinstance(e, int) for e in b.shape):
            self.checker.fail(f"the size of {b.name} is not constant", text)
        self.expr(start, scope, text, I64)
        self.define_buffer(b, scope, text)

    def loop(self, s: For, scope: _Scope, text: str) -> None:
        for bound in (s.start, s.stop):
            self.expr(bound, scope, text, I64)
        constant_stop = s.stop.value if isinstance(s.stop, Const) else None
        if s.step < 1:
            self.checker.fail("the step is not positive", text)
        if (s.kind == "vector") != (s.lanes > 0):
            self.checker.fail("lanes belong to vector loops", text)
        if scope.lane is not None and s.kind in ("vector", "parallel"):
            self.checker.fail(f"a {s.kind} loop stands in a vector loop", text)
        inner = scope.inner()
        self.define(s.var, I64, inner, text)
        if s.rooms is not None:
            self.define(s.rooms.var, I64, inner, text)
            if s.kind != "parallel" or not scope.host or s.rooms.count < 1:
                self.checker.fail("rooms belong to parallel loops that stand in no other, at least one", text)
        match s.kind:
            case "parallel":
                if not scope.serial:
                    self.checker.fail("a parallel loop stands in an unrolled loop", text)
                if not scope.host and not scope.roomy:
                    self.checker.fail("a parallel loop stands in another one without rooms", text)
                private = {b.name for b in scope.buffers.values() if b.place != "memory"}
                inner.host, inner.roomy, inner.outer = False, s.rooms is not None, frozenset(private)
            case "vector":
                if s.start != Const(0) or s.step != 1 or (constant_stop is not None and constant_stop > s.lanes):
                    self.checker.fail("a vector loop runs from 0 to at most its lanes by 1", text)
                inner.lane, inner.varying = s.var, scope.varying | {s.var}
            case "unroll":
                for bound in (s.start, s.stop):
                    if not variables(bound) <= scope.constant or _has_load(bound):
                        self.checker.fail("the bounds of an unrolled loop are not constant", text)
                inner.constant, inner.serial = scope.constant | {s.var}, False
            case "serial":
                pass
        self.body(s.body, inner)

    # -- instructions

    def invoke(self, s: Invoke, scope: _Scope, text: str) -> None:
        if scope.lane is not None:
            self.checker.fail("an instruction stands in a vector loop", text)
        for part in s.operands:
            self.slice(part, scope, text)
        if self.instructions is None:
            return
        kernel = self.instructions.get(s.instruction)
        if kernel is None:
            self.checker.fail(f"no instruction is named {s.instruction}", text)
        operands = kernel.operands
        if len(s.operands) != len(operands):
            self.checker.fail(f"{s.instruction} takes {len(operands)} operands, not {len(s.operands)}", text)
        for operand, part in zip(operands.values(), s.operands, strict=True):
            self.operand(operand, part, scope.buffers[part.buffer], text)

    def slice(self, part: Slice, scope: _Scope, text: str) -> None:
        if part.buffer not in scope.buffers:
            self.checker.fail(f"{part.buffer} is no buffer here", text)
        rank = len(scope.buffers[part.buffer].shape)
        if len(part.start) != rank or len(set(part.dims)) != len(part.dims) or not set(part.dims) <= set(range(rank)):
            self.checker.fail(f"the slice of {part.buffer} does not fit its {rank} dimensions", text)
        for i in part.start:
            self.expr(i, scope, text, I64)
        self.access(part.buffer, part.start, scope, text)
        self.shared(part.buffer, scope, text)

    def operand(self, operand: Operand, part: Slice, b: Buffer, text: str) -> None:
        if operand.dtype != b.dtype:
            self.checker.fail(f"{operand.name} has type {operand.dtype}, {b.name} holds {b.dtype},", text)
        if len(part.dims) != len(operand.shape):
            self.checker.fail(f"{operand.name} has {len(operand.shape)} dimensions, its slice {len(part.dims)}", text)
        for dimension, extent in zip(part.dims, operand.shape, strict=True):
            size = b.shape[dimension]
            if isinstance(size, int) and isinstance(extent, int) and extent > size:
                self.checker.fail(f"{operand.name} needs {extent} elements, {b.name} has {size},", text)


def _has_load(e: Expr) -> bool:
    return isinstance(e, Load) or any(_has_load(k) for k in children(e))
