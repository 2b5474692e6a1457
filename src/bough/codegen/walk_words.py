"""Emits functions over 64-bit words: addresses, counts and Python objects are all `i64`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from bough.codegen.llvm_types import DOUBLE, INT32, INT64, POINTER, VOID
from bough.runtime.walker_layout import Status

Value = Any
"""An `ir.Value` of type i64."""

_RESULTS = {
    "PyObject_IsTrue": INT32,
    "PyObject_RichCompareBool": INT32,
    "PySequence_Contains": INT32,
    "PyErr_ExceptionMatches": INT32,
    "PyType_IsSubtype": INT32,
    "PyList_Append": INT32,
    "PyList_SetItem": INT32,
    "PyFloat_AsDouble": DOUBLE,
    "PyGC_Disable": INT32,
    "PyGC_Enable": INT32,
    "usleep": INT32,
}


class Words:
    """One function that takes words and returns one. `frame` is its first parameter."""

    def __init__(self, module: Any, name: str, parameters: tuple[str, ...], *, internal: bool = True) -> None:
        self.module = module
        self.function = ir.Function(module, ir.FunctionType(INT64, [INT64] * len(parameters)), name)
        self.function.linkage = "internal" if internal else "external"
        self.function.attributes.add("nounwind")
        for argument, parameter in zip(self.function.args, parameters, strict=True):
            argument.name = parameter
        self.arguments: tuple[Value, ...] = tuple(self.function.args)
        self.frame = self.arguments[0]
        entry = self.function.append_basic_block("entry")
        self.entry = ir.IRBuilder(entry)
        self._exits: dict[int, Any] = {}
        self.builder = ir.IRBuilder(self.function.append_basic_block("start"))

    def end(self, result: Value) -> None:
        """The last statement: returns `result`, where control comes here at all."""
        if not self.builder.block.is_terminated:
            self.builder.ret(result)
        self.entry.branch(self.function.blocks[1])

    # ---------------------------------------------------------------------------------------------------------------- words

    def get(self, base: Value, index: int | Value = 0) -> Value:
        """The word number `index` from the address `base`."""
        return self.builder.load(self._place(base, index), typ=INT64)

    def put(self, base: Value, index: int | Value, value: int | Value) -> None:
        self.builder.store(word(value), self._place(base, index))

    def publish(self, base: Value, index: int | Value, value: int | Value) -> None:
        """Writes a word for other threads, which see what was written before it, too."""
        self.builder.store_atomic(word(value), self._shared(base, index), "release", 8)

    def observe(self, base: Value, index: int | Value) -> Value:
        """A word that another thread publishes."""
        return self.builder.load_atomic(self._shared(base, index), "acquire", 8, typ=INT64)

    def _shared(self, base: Value, index: int | Value) -> Value:
        return self.builder.inttoptr(self.at(base, index), INT64.as_pointer())

    def add_to(self, base: Value, index: int | Value, value: int | Value) -> Value:
        """Adds to a word; its value before."""
        before = self.get(base, index)
        self.put(base, index, self.add(before, value))
        return before

    def load(self, base: Value, index: Value, kind: Any) -> Value:
        """Element `index` of an array of any type."""
        array = self.builder.inttoptr(base, POINTER)
        return self.builder.load(self.builder.gep(array, [index], source_etype=kind), typ=kind)

    def store(self, base: Value, index: Value, value: Value) -> None:
        """A value of any type as element `index` of an array of its type."""
        array = self.builder.inttoptr(base, POINTER)
        self.builder.store(value, self.builder.gep(array, [index], source_etype=value.type))

    def fetch(self, address: Value) -> None:
        """Begins to load what is at an address into the nearest cache; any address will do."""
        hint = self.module.declare_intrinsic("llvm.prefetch", [POINTER], ir.FunctionType(VOID, [POINTER, INT32, INT32, INT32]))
        to_read, kept, data = INT32(0), INT32(3), INT32(1)
        self.builder.call(hint, [self.builder.inttoptr(address, POINTER), to_read, kept, data])

    def _place(self, base: Value, index: int | Value) -> Value:
        return self.builder.inttoptr(self.at(base, index), POINTER)

    def at(self, base: Value, index: int | Value) -> Value:
        """The address of word number `index` from `base`."""
        if isinstance(index, int):
            return self.add(base, 8 * index) if index else base
        return self.add(base, self.builder.shl(index, word(3)))

    def add(self, a: Value, b: int | Value) -> Value:
        return self.builder.add(a, word(b))

    def subtract(self, a: Value, b: int | Value) -> Value:
        return self.builder.sub(a, word(b))

    def multiply(self, a: Value, b: int | Value) -> Value:
        return self.builder.mul(a, word(b))

    def compare(self, op: str, a: Value, b: int | Value) -> Value:
        """A bit; signed."""
        return self.builder.icmp_signed(op, a, word(b))

    def larger(self, a: Value, b: Value) -> Value:
        return self.builder.select(self.compare(">", a, b), a, b)

    def variable(self, value: int | Value) -> Value:
        """A place in the function's own memory that holds `value`, to be read and written by `read` and `write`."""
        place = self.entry.alloca(INT64)
        self.write(place, value)
        return place

    def read(self, variable: Value) -> Value:
        return self.builder.load(variable, typ=INT64)

    def write(self, variable: Value, value: int | Value) -> None:
        self.builder.store(word(value), variable)

    # -------------------------------------------------------------------------------------------------------------- control

    @contextmanager
    def when(self, bit: Value) -> Iterator[None]:
        with self.builder.if_then(bit):
            yield

    def leave(self, bit: Value, status: int | Value) -> None:
        """Returns `status` where the bit is set."""
        if isinstance(status, int):
            after = self.builder.append_basic_block("stay")
            self.builder.cbranch(bit, self._exit(status), after)
            self.builder.position_at_end(after)
            return
        with self.builder.if_then(bit):
            self.builder.ret(status)

    def _exit(self, status: int) -> Any:
        """The one block that returns this status."""
        if status not in self._exits:
            self._exits[status] = self.function.append_basic_block("exit")
            ir.IRBuilder(self._exits[status]).ret(word(status))
        return self._exits[status]

    def refuse(self, bit: Value) -> None:
        self.leave(bit, Status.REFUSED)

    def check(self, status: Value) -> None:
        """Returns a status that is not that of success."""
        self.leave(self.compare("!=", status, Status.DONE), status)

    @contextmanager
    def each(self, count: int | Value, down: bool = False) -> Iterator[Value]:
        """A loop over 0 .. count-1, or backwards."""
        with self.loop() as (stop, index):
            stop(self.compare(">=", index, count))
            yield self.subtract(self.subtract(word(count), 1), index) if down else index

    @contextmanager
    def loop(self) -> Iterator[tuple[Any, Value]]:
        """A loop with its counter, and a function that ends it where a bit is set."""
        b = self.builder
        counter = self.variable(0)
        head, after = b.append_basic_block("loop"), b.append_basic_block("after")
        b.branch(head)
        b.position_at_end(head)
        index = self.read(counter)

        def stop(bit: Value) -> None:
            more = b.append_basic_block("more")
            b.cbranch(bit, after, more)
            b.position_at_end(more)

        yield stop, index
        self.write(counter, self.add(index, 1))
        b.branch(head)
        b.position_at_end(after)

    @contextmanager
    def cases(self, selector: Value, count: int) -> Iterator[list[Any]]:
        """A switch over 0 .. count-1. Each entry of the list is a context for the code of one case."""
        b = self.builder
        blocks = [b.append_basic_block("case") for _ in range(count)]
        after, other = b.append_basic_block("after"), b.append_basic_block("other")
        switch = b.switch(selector, other)
        ir.IRBuilder(other).unreachable()
        for n, block in enumerate(blocks):
            switch.add_case(word(n), block)
        yield [self._case(block, after) for block in blocks]
        b.position_at_end(after)

    @contextmanager
    def _case(self, block: Any, after: Any) -> Iterator[None]:
        self.builder.position_at_end(block)
        yield
        if not self.builder.block.is_terminated:
            self.builder.branch(after)

    # ---------------------------------------------------------------------------------------------------------------- calls

    def call(self, function: Words, *arguments: int | Value) -> Value:
        return self.builder.call(function.function, [word(a) for a in arguments])

    def call_at(self, function: Value, *arguments: Value) -> Value:
        """Calls the function of words at an address."""
        kind = ir.FunctionType(INT64, [INT64] * len(arguments))
        return self.builder.call(self.builder.inttoptr(function, kind.as_pointer()), arguments)

    def python(self, name: str, *arguments: Any) -> Any:
        """Calls a function of Python's C interface, or of the system's."""
        values = [word(a) if isinstance(a, int) else a for a in arguments]
        declared = self.module.globals.get(name)
        if declared is None:
            kind = ir.FunctionType(_RESULTS.get(name, INT64), [v.type for v in values])
            declared = ir.Function(self.module, kind, name)
        result = self.builder.call(declared, values)
        return self.builder.sext(result, INT64) if result.type == INT32 else result

    def type_of(self, obj: Value) -> Value:
        """The type of a Python object; the runtime has checked that it stands there."""
        return self.get(obj, 1)


def word(value: int | Value) -> Value:
    return INT64(int(value)) if isinstance(value, int) else value
