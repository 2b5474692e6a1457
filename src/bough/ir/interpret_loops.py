"""What loops mean: a loop function turned into Python source and run, statement by statement.

Parallel loops run serially, in a random order on demand, so that a race shows. Elements of fresh buffers are NaN (of
floats) or the smallest value of their type, so that a read before a write shows.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from bough.base.errors import InternalError
from bough.ir.compile_kernel import compile_kernel
from bough.ir.dtypes import BF16, DType
from bough.ir.emit_python import ExpressionEmitter, Scope
from bough.ir.evaluate import Array, bind_sizes, shape_value
from bough.ir.kernel import Kernel, Operand
from bough.ir.loops import Alloc, Fail, Fetch, For, Function, If, Invoke, Let, Slice, Stmt, Store, While, Within

Observer = Callable[[str], None]

NESTING = 16
"""Python limits nested loops to 20; deeper ones go to functions of their own."""


def run_loops(
    function: Function,
    buffers: Mapping[str, Array],
    scalars: Mapping[str, int] | None = None,
    target_instructions: Mapping[str, Kernel] | None = None,
    observer: Observer | None = None,
    shuffle: int | None = None,
) -> int:
    """Runs `function` on `buffers` (its params by name), which it changes in place; gives what it returns.

    Symbolic sizes that stand alone in a param's shape are read off its buffer. `observer` is told the name of each
    instruction that is run; `shuffle` seeds the order of the iterations of parallel loops.
    Raises InternalError for buffers that do not fit and for indices outside.
    """
    sizes = {name: int(value) for name, value in (scalars or {}).items()}
    arrays = []
    for b in function.params:
        if b.name not in buffers:
            raise InternalError(f"{function.name} is run without a buffer for {b.name}")
        array = buffers[b.name]
        bind_sizes(b.shape, array.shape, sizes)
        if array.shape != shape_value(b.shape, sizes) or array.dtype != b.dtype.numpy:
            raise InternalError(f"{function.name}: {b.name} holds {array.dtype}{list(array.shape)}, not {b}")
        arrays.append(array)
    missing = [s for s in function.scalars if s not in sizes]
    if missing:
        raise InternalError(f"{function.name} is run without a value for {', '.join(missing)}")
    rng = random.Random(shuffle)
    order: Callable[[range], Iterable[int]] = (
        (lambda values: values) if shuffle is None else (lambda values: rng.sample(values, len(values)))
    )
    run = compile_function(function, target_instructions or {}, observer or (lambda name: None), order)
    with np.errstate(all="ignore"):
        try:
            run(*arrays, *(sizes[s] for s in function.scalars))
        except Failed as failed:
            return failed.code
        except IndexError as error:
            raise InternalError(f"{function.name}: {error}") from error
    return 0


class Failed(Exception):
    """The function has come to a `Fail`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def fail(code: int) -> None:
    raise Failed(code)


def compile_function(
    function: Function,
    instructions: Mapping[str, Kernel],
    observer: Observer,
    order: Callable[[range], Iterable[int]],
) -> Callable[..., None]:
    """A Python function of the params' arrays and the scalars, in order."""
    emitter = _Emitter(instructions, observer, order)
    source = emitter.function(function)
    exec(compile(source, f"<loops {function.name}>", "exec"), emitter.namespace)
    run: Callable[..., None] = emitter.namespace["run"]
    return run


class _Emitter(ExpressionEmitter):
    def __init__(
        self, instructions: Mapping[str, Kernel], observer: Observer, order: Callable[[range], Iterable[int]]
    ) -> None:
        super().__init__()
        self.instructions, self.observer = instructions, observer
        self.namespace |= {
            "order": order, "arange": np.arange, "fresh": fresh_buffer, "part": part, "write_row": write_row,
            "scatter": scatter, "lanes": lanes, "fail": fail, "within": within,
        }  # fmt: skip
        self.lines: list[str] = []

    def function(self, function: Function) -> str:
        scope = Scope()
        names = [self.define(n, scope) for n in (*(b.name for b in function.params), *function.scalars)]
        self.lines.append(f"def run({', '.join(names)}):")
        self.body(function.body, scope, 1)
        return "\n".join(self.lines)

    def define(self, name: str, scope: Scope) -> str:
        new = self.fresh("v_" + "".join(c if c.isalnum() and c.isascii() else "_" for c in name))
        scope.names[name] = new
        return new

    def line(self, depth: int, text: str) -> None:
        self.lines.append(" " * depth + text)

    def body(self, statements: tuple[Stmt, ...], scope: Scope, depth: int) -> None:
        scope = scope.inner()
        for s in statements:
            self.statement(s, scope, depth)
        if not statements:
            self.line(depth, "pass")

    def statement(self, s: Stmt, scope: Scope, depth: int) -> None:
        match s:
            case Let(name, value):
                source, varies = self.expr(value, scope), scope.varies(value)
                scope.varying = scope.varying | {name} if varies else scope.varying - {name}
                scope.natural = scope.natural | {name} if scope.is_natural(value) else scope.natural - {name}
                self.line(depth, f"{self.define(name, scope)} = {source}")
            case Store():
                self.store(s, scope, depth)
            case If(condition, then, otherwise):
                self.line(depth, f"if {self.expr(condition, scope)}:")
                self.body(then, scope, depth + 1)
                if otherwise:
                    self.line(depth, "else:")
                    self.body(otherwise, scope, depth + 1)
            case Alloc(buffer):
                shape = self.share("shape", shape_value(buffer.shape, {}))
                self.line(depth, f"{self.define(buffer.name, scope)} = fresh({shape}, {self.type(buffer.dtype)})")
            case Within(buffer, whole, start):
                fresh = f"fresh({self.share('shape', shape_value(buffer.shape, {}))}, {self.type(buffer.dtype)})"
                place = f"within({scope.names[whole]}, {self.expr(start, scope)}, {fresh})"
                self.line(depth, f"{self.define(buffer.name, scope)} = {place}")
            case Invoke():
                self.invoke(s, scope, depth)
            case Fetch():
                self.line(depth, "pass")
            case For():
                self.loop(s, scope, depth)
            case While():
                self.whilst(s, scope, depth)
            case Fail(code):
                self.line(depth, f"fail({code})")

    def nested(self, emit: Callable[[int], None], depth: int) -> None:
        """What `emit` writes at a depth, in a function of its own."""
        name = self.fresh("nest")
        self.line(depth, f"def {name}():")
        emit(depth + 1)
        self.line(depth, f"{name}()")

    def whilst(self, s: While, scope: Scope, depth: int) -> None:
        if depth % NESTING == 0:
            self.nested(lambda inside: self.whilst(s, scope, inside), depth)
            return
        inner = scope.inner()
        name = self.define(s.var, inner)
        inner.natural = scope.natural | {s.var}
        self.line(depth, f"{name} = -1")
        self.line(depth, "while True:")
        self.line(depth + 1, f"{name} += 1")
        for part in s.head:
            self.statement(part, inner, depth + 1)
        self.line(depth + 1, f"if not {self.expr(s.condition, inner)}: break")
        self.body(s.body, inner, depth + 1)

    def loop(self, s: For, scope: Scope, depth: int) -> None:
        if depth % NESTING == 0:
            self.nested(lambda inside: self.loop(s, scope, inside), depth)
            return
        start, stop = self.expr(s.start, scope), self.expr(s.stop, scope)
        inner = scope.inner()
        name = self.define(s.var, inner)
        if s.kind == "vector" and all(isinstance(b, Let | Store) for b in s.body):
            self.line(depth, f"{name} = arange(lanes({stop}, {s.lanes}).stop)")
            self.line(depth, f"if {name}.size:")
            inner.lane = s.var
            inner.varying = scope.varying | {s.var}
        else:
            values = f"range({start}, {stop}, {s.step})"
            if s.kind == "vector":
                values = f"lanes({stop}, {s.lanes})"
            self.line(depth, f"for {name} in {f'order({values})' if s.kind == 'parallel' else values}:")
            if s.rooms:
                self.line(depth + 1, f"{self.define(s.rooms.var, inner)} = {name} % {s.rooms.count}")
            inner.varying = scope.varying - {s.var}
            inner.natural = scope.natural | {s.var} if scope.is_natural(s.start) else scope.natural - {s.var}
        self.body(s.body, inner, depth + 1)

    def store(self, s: Store, scope: Scope, depth: int) -> None:
        value = self.expr(s.value, scope)
        if s.value.dtype == BF16:
            value = f"to_bf16({value})"
        buffer = scope.names[s.buffer]
        if scope.lane is None:
            self.line(depth, f"{buffer}[{self.index(s.index, scope)}] = {value}")
            return
        lanes = f"{scope.names[scope.lane]}.size"
        run = self.lane_run(s.index, scope)
        if run is not None:
            self.line(depth, f"write_row({buffer}, {run[0]}, {run[1]}, {lanes}, {value})")
        else:
            index = "".join(f"{self.expr(i, scope)}, " for i in s.index)
            self.line(depth, f"scatter({buffer}, ({index}), {value})")

    def invoke(self, s: Invoke, scope: Scope, depth: int) -> None:
        kernel = self.instructions.get(s.instruction)
        if kernel is None:
            raise InternalError(f"unknown instruction {s.instruction}")
        observer, run = self.observer, compile_kernel(kernel)

        def observed(*operands: Array) -> None:
            observer(s.instruction)
            run(*operands)

        pairs = zip(kernel.operands.values(), s.operands, strict=True)
        views = [self.view(operand, slice_, scope) for operand, slice_ in pairs]
        self.line(depth, f"{self.share('instruction', observed)}({', '.join(views)})")

    def view(self, operand: Operand, s: Slice, scope: Scope) -> str:
        start = "".join(f"{self.expr(i, scope)}, " for i in s.start)
        extents = self.share("extents", dict(zip(s.dims, shape_value(operand.shape, {}), strict=True)))
        return f"part({scope.names[s.buffer]}, ({start}), {extents})"


def fresh_buffer(shape: tuple[int, ...], dtype: DType) -> Array:
    if dtype == BF16:
        return np.full(shape, 0x7FC0, np.uint16)
    if dtype.is_float:
        return np.full(shape, np.nan, dtype.numpy)
    return np.full(shape, -(1 << (dtype.bits - 1)) if dtype.kind == "int" else 0, dtype.numpy)


def within(whole: Array, start: int, fresh: Array) -> Array:
    """The bytes from `start` on as an array like `fresh`, with its elements."""
    if start < 0 or start + fresh.nbytes > whole.size:
        raise InternalError(f"a buffer of {fresh.nbytes} bytes at {start} is outside one of {whole.size}")
    view: Array = whole[start : start + fresh.nbytes].view(fresh.dtype).reshape(fresh.shape)
    view[...] = fresh
    return view


def part(array: Array, start: tuple[int, ...], extents: dict[int, int]) -> Array:
    """A view of a slice: dimensions of `extents` in its order, the others at `start`."""
    index: list[Any] = []
    for position, (first, size) in enumerate(zip(start, array.shape, strict=True)):
        extent = extents.get(position)
        if first < 0 or first + (1 if extent is None else extent) > size:
            raise InternalError(f"slice at {first} is outside dimension {position} of size {size}")
        index.append(first if extent is None else slice(first, first + extent))
    kept = sorted(extents)
    index.append(...)
    place: tuple[Any, ...] = tuple(index)
    view: Array = array[place]
    return view.transpose([kept.index(d) for d in extents])


def write_row(array: Array, first: tuple[int, ...], start: int, count: int, value: Any) -> None:
    if start < 0 or start + count > array.shape[-1]:
        raise InternalError(f"elements {start} to {start + count} are outside a dimension of size {array.shape[-1]}")
    place: tuple[Any, ...] = (*first, slice(start, start + count))
    array[place] = value


def scatter(array: Array, index: tuple[Any, ...], value: Any) -> None:
    from_inside = tuple(np.asarray(i) for i in index)
    for i, size in zip(from_inside, array.shape, strict=True):
        if np.any((i < 0) | (i >= size)):
            raise InternalError(f"a lane stores outside a dimension of size {size}")
    array[from_inside] = value


def lanes(count: int, most: int) -> range:
    if count > most:
        raise InternalError(f"a vector loop of {most} lanes runs {count}")
    return range(count)
