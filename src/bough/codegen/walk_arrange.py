"""Emits the second half of the native walk: the log to the arrays of `bough.base.visits.Names`. No user code runs here.

Each pass reads the log from front to back; what it writes is in runs, one for each variant and level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bough.base.visits import Names
from bough.codegen.llvm_types import DOUBLE, INT64
from bough.codegen.walk_read import STORED, kind_of
from bough.codegen.walk_words import Value, Words, word
from bough.runtime.arrays import NUMPY
from bough.runtime.walker_columns import holds_objects
from bough.runtime.walker_layout import (
    HEADER,
    LEVEL,
    OBJECT,
    STATE,
    VARIANT_BITS,
    Layout,
    Status,
    VariantSlots,
    Word,
)

_ALIGNMENT = 64


def emit_arrange(module: Any, layout: Layout, arrays: Sequence[str], sizes: Sequence[str]) -> Words:
    """`bough_walk_arrange(frame)`: fills the block, the pointers and the sizes. Returns a `Status`."""
    code = Words(module, "bough_walk_arrange", ("frame",), internal=False)
    arrangement = _Arrangement(code, layout, frozenset(arrays))
    arrangement.emit()
    for n, name in enumerate(arrays):
        code.put(code.get(code.frame, Word.POINTERS), n, arrangement.addresses[name])
    for n, name in enumerate(sizes):
        code.put(code.get(code.frame, Word.SIZES), n, arrangement.sizes[name])
    code.end(word(Status.DONE))
    return code


class _Sums:
    """Functions over arrays of words.

    sum_up(frame, array, count): turns [0, a, b, ...] of count + 1 elements into running sums. copy(frame, source, target, count).
    largest_step(frame, array, count): the largest difference of neighbours among count + 1 elements, at least 0.
    largest_jump(frame, array, index, count): the same of array[index[n]].
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.sum_up = self._sum_up()
        self.copy = self._copy()
        self.largest_step = self._largest("largest_step")
        self.largest_jump = self._largest("largest_jump", "index")

    def _function(self, name: str, *parameters: str) -> Words:
        code = Words(self.module, f"bough_walk_{name}", ("frame", *parameters))
        code.function.attributes.add("noinline")
        return code

    def _sum_up(self) -> Words:
        code = self._function("sum_up", "array", "count")
        _, array, count = code.arguments
        total = code.variable(0)
        with code.each(count) as n:
            after = code.add(n, 1)
            code.write(total, code.add(code.read(total), code.get(array, after)))
            code.put(array, after, code.read(total))
        code.end(word(Status.DONE))
        return code

    def _copy(self) -> Words:
        code = self._function("copy", "source", "target", "count")
        _, source, target, count = code.arguments
        with code.each(count) as n:
            code.put(target, n, code.get(source, n))
        code.end(word(Status.DONE))
        return code

    def _largest(self, name: str, *index: str) -> Words:
        code = self._function(name, "array", *index, "count")
        array, count = code.arguments[1], code.arguments[-1]

        def value(n: Value) -> Value:
            return code.get(array, code.get(code.arguments[2], n) if index else n)

        largest = code.variable(0)
        with code.each(count) as n:
            step = code.subtract(value(code.add(n, 1)), value(n))
            code.write(largest, code.larger(code.read(largest), step))
        code.end(code.read(largest))
        return code


class _Arrangement:
    """`addresses` and `sizes` are values by the names of `Names`."""

    def __init__(self, code: Words, layout: Layout, wanted: frozenset[str]) -> None:
        self.code, self.layout, self.frame, self.wanted = code, layout, code.frame, wanted
        self.sums = _Sums(code.module)
        self.addresses: dict[str, Value] = {}
        self.sizes: dict[str, Value] = {}
        self.position = word(0)
        self.part = self.frame
        """The frame of the part whose records are at hand."""
        self.before: dict[int, Value] = {}
        self.first: dict[tuple[int, int], Value] = {}

    def emit(self) -> None:
        self.read_sizes()
        self.lay_out()
        self.count_levels()
        self.number()
        for slots in self.layout.variants:
            for e in range(len(slots.walks)):
                self.code.call(self.sums.sum_up, self.frame, self.first[slots.number, e], self.count(slots))
        self.measure()
        self.write_arrays()
        self.write_roots()

    # ---------------------------------------------------------------------------------------------------------------- sizes

    def read_sizes(self) -> None:
        code, layout = self.code, self.layout
        self.sizes[Names.samples] = code.get(self.frame, Word.SAMPLE_COUNT)
        for stage in layout.stages:
            highest = code.get(self.frame, layout.levels + stage.number)
            self.sizes[Names.levels(stage.number)] = code.add(highest, 1)
        for slots in layout.variants:
            count = code.get(self.frame, layout.counts + slots.number)
            self.sizes[Names.count(slots.name, slots.index)] = count
            for e in range(len(slots.walks)):
                elements = code.get(self.frame, layout.elements + layout.walk(slots, e))
                self.sizes[Names.elements(slots.name, slots.index, e)] = elements
        for name in layout.functions:
            state = word(0)
            for slots in layout.variants_of(name):
                self.before[slots.number] = state
                state = code.add(state, self.count(slots))

    def count(self, slots: VariantSlots) -> Value:
        return self.sizes[Names.count(slots.name, slots.index)]

    def levels(self, slots: VariantSlots) -> Value:
        """How many levels the activations of a variant are spread over."""
        return self.sizes[Names.levels(slots.stage)] if slots.step else word(1)

    def rows(self, slots: VariantSlots, each: int | None) -> Value:
        return self.count(slots) if each is None else self.sizes[Names.elements(slots.name, slots.index, each)]

    # --------------------------------------------------------------------------------------------------------------- memory

    def lay_out(self) -> None:
        """Addresses of all arrays. Leaves the function where the block is too small for them."""
        code, layout = self.code, self.layout
        levels = [self.levels(v) for v in layout.variants]
        starts = [self.take(code.add(n, 1), 8, 8) for n in levels]
        self.begin_of_levels, self.end_of_starts = code.get(self.frame, Word.BLOCK), self.position
        cursors = [self.take(n, 8, 8) for n in levels]
        self.take(word(0), 1)
        for slots, start in zip(layout.variants, starts, strict=True):
            f, v = slots.name, slots.index
            self.addresses[Names.start(f, v)] = start
            for e in range(len(slots.walks)):
                self.first[slots.number, e] = self.take(code.add(self.count(slots), 1), 8)
                self.addresses[Names.first(f, v, e)] = self.first[slots.number, e]
                self.claim(Names.parent(f, v, e), self.rows(slots, e), 8)
                if slots.variant.each[e].list is not None:
                    self.claim(Names.member(f, v, e), self.rows(slots, e), 8)
            for c, call in enumerate(slots.variant.calls):
                self.claim(Names.target(f, v, c), self.rows(slots, call.each), 8)
            self.claim(Names.root(f, v), self.count(slots), 8)
            for c in range(len(slots.variant.collects)):
                self.claim(Names.place(f, v, c), self.count(slots), 8)
            for p, payload in enumerate(slots.variant.payloads):
                # Rows of forests are numbered here, and read where they are known to be wanted.
                width = 8 if holds_objects(payload) else NUMPY[payload.dtype].itemsize
                self.claim(Names.payload(f, v, p), self.rows(slots, payload.each), width)
        self.addresses[Names.roots] = code.get(self.frame, Word.ROOTS)
        stride = code.add(self.sizes[Names.samples], 1)
        for number in range(layout.lists):
            self.addresses[Names.spans(number)] = code.at(code.get(self.frame, Word.SPANS), code.multiply(stride, number))
        code.put(self.frame, Word.BLOCK_NEEDED, self.position)
        code.leave(code.compare(">", self.position, code.get(self.frame, Word.BLOCK_SIZE)), Status.BLOCK_FULL)
        for slots in layout.variants:
            code.put(self.frame, layout.starts + slots.number, starts[slots.number])
            code.put(self.frame, layout.cursors + slots.number, cursors[slots.number])

    def claim(self, name: str, count: Value, width: int) -> None:
        if name in self.wanted:
            self.addresses[name] = self.take(count, width)

    def take(self, count: Value, width: int, alignment: int = _ALIGNMENT) -> Value:
        """The address of so many elements of `width` bytes."""
        code = self.code
        address = code.add(code.get(self.frame, Word.BLOCK), self.position)
        end = code.add(self.position, code.add(code.multiply(count, width), alignment - 1))
        self.position = code.builder.and_(end, word(-alignment))
        return address

    # --------------------------------------------------------------------------------------------------------------- passes

    @contextmanager
    def records(self) -> Iterator[tuple[Value, Value]]:
        """A loop over the log, part by part: the address and the header of each record."""
        code = self.code
        log, parts = code.get(self.frame, Word.LOG), code.get(self.frame, Word.PARTS)
        with code.each(code.get(self.frame, Word.PART_COUNT)) as number:
            self.part = code.at(parts, code.multiply(number, self.layout.size))
            at = code.variable(code.at(log, code.get(self.part, Word.LOG_BEGIN)))
            end = code.at(log, code.get(self.part, Word.LOG_USED))
            with code.loop() as (stop, _):
                record = code.read(at)
                stop(code.compare(">=", record, end))
                header = code.get(record, HEADER)
                yield record, header
                code.write(at, code.at(record, code.builder.lshr(header, word(VARIANT_BITS))))

    def variant_of(self, header: Value) -> Value:
        return self.code.builder.and_(header, word((1 << VARIANT_BITS) - 1))

    def count_levels(self) -> None:
        """The starts of the levels of each variant, and the cursors at them."""
        code, layout = self.code, self.layout
        with code.each(code.builder.lshr(self.end_of_starts, word(3))) as n:
            code.put(self.begin_of_levels, n, 0)
        with self.records() as (record, header):
            start = code.get(code.at(self.frame, self.variant_of(header)), layout.starts)
            code.add_to(start, code.add(code.get(record, LEVEL), 1), 1)
        for slots in layout.variants:
            start, levels = self.start(slots), self.levels(slots)
            code.call(self.sums.sum_up, self.frame, start, levels)
            code.call(self.sums.copy, self.frame, start, code.get(self.frame, layout.cursors + slots.number), levels)

    def start(self, slots: VariantSlots) -> Value:
        return self.addresses[Names.start(slots.name, slots.index)]

    def number(self) -> None:
        """The rank of each activation in its variant; the lengths of its walks behind it in `first`."""
        code, layout = self.code, self.layout
        for array in self.first.values():
            code.put(array, 0, 0)
        with self.records() as (record, header):
            variant = self.variant_of(header)
            cursor = code.get(code.at(self.frame, variant), layout.cursors)
            rank = code.add_to(cursor, code.get(record, LEVEL), 1)
            with code.cases(variant, len(layout.variants)) as cases:
                for slots, case in zip(layout.variants, cases, strict=True):
                    with case:
                        code.put(record, STATE, code.add(rank, self.before[slots.number]))
                        for e, walk in enumerate(slots.walks):
                            code.put(self.first[slots.number, e], code.add(rank, 1), code.get(record, walk.count))

    def measure(self) -> None:
        """The sizes of the widest levels and of the longest walks."""
        code, frame, sums = self.code, self.frame, self.sums
        for slots in self.layout.variants:
            f, v, start, levels = slots.name, slots.index, self.start(slots), self.levels(slots)
            self.sizes[Names.widest(f, v)] = code.call(sums.largest_step, frame, start, levels)
            for e in range(len(slots.walks)):
                first = self.first[slots.number, e]
                self.sizes[Names.widest_elements(f, v, e)] = code.call(sums.largest_jump, frame, first, start, levels)
                self.sizes[Names.longest(f, v, e)] = code.call(sums.largest_step, frame, first, self.count(slots))

    def write_arrays(self) -> None:
        code, layout = self.code, self.layout
        columns = {
            row: self.object_column(row, key) for key, row in layout.payloads.items() if self.payload_name(key) in self.wanted
        }
        root = code.variable(0)  # a sample's records follow that of its root
        with self.records() as (record, header), code.cases(self.variant_of(header), len(layout.variants)) as cases:
            for slots, case in zip(layout.variants, cases, strict=True):
                with case:
                    if slots.name == layout.visits.entry:
                        code.write(root, code.get(record, STATE))
                    if Names.root(slots.name, slots.index) in self.wanted:
                        rank = code.subtract(code.get(record, STATE), self.before[slots.number])
                        code.put(self.addresses[Names.root(slots.name, slots.index)], rank, code.read(root))
                    rank = code.subtract(code.get(record, STATE), self.before[slots.number])
                    self.write_record(slots, record, rank, columns)

    def payload_name(self, key: tuple[int, int]) -> str:
        slots = self.layout.variants[key[0]]
        return Names.payload(slots.name, slots.index, key[1])

    def object_column(self, row: int, key: tuple[int, int]) -> Value:
        """A new Python list for a payload that holds objects, owned by the list of columns; 0 for others. Nothing may take
        objects away until it holds them, so no garbage is collected meanwhile."""
        code, slots = self.code, self.layout.variants[key[0]]
        payload = slots.variant.payloads[key[1]]
        column = code.variable(0)
        with code.when(code.compare("==", code.get(self.frame, self.layout.modes + row), OBJECT)):
            collects = code.python("PyGC_Disable")
            made = code.python("PyList_New", self.rows(slots, payload.each))
            with code.when(code.compare("!=", collects, 0)):
                code.python("PyGC_Enable")
            code.refuse(code.compare("==", made, 0))
            code.python("PyList_SetItem", code.get(self.frame, Word.COLUMNS), word(row), made)
            code.write(column, made)
        return code.read(column)

    def write_record(self, slots: VariantSlots, record: Value, rank: Value, columns: dict[int, Value]) -> None:
        code, f, v = self.code, slots.name, slots.index
        for n, at in slots.calls.items():
            self.write_target(Names.target(f, v, n), rank, code.get(record, at))
        for n, at in slots.payloads.items():
            self.write_payload(slots, n, rank, code.get(record, at), columns)
        for n, at in enumerate(slots.places):
            if Names.place(f, v, n) in self.wanted:
                base = code.get(self.part, self.layout.bases + slots.variant.collects[n].list)
                code.put(self.addresses[Names.place(f, v, n)], rank, code.add(code.get(record, at), base))
        for e, walk in enumerate(slots.walks):
            begin = code.get(self.first[slots.number, e], rank)
            first = code.get(record, walk.begin)
            block = code.at(record, first)
            with code.each(code.get(record, walk.count)) as n:
                row, element = code.add(begin, n), code.at(block, code.multiply(n, walk.width))
                if Names.parent(f, v, e) in self.wanted:
                    code.put(self.addresses[Names.parent(f, v, e)], row, rank)
                listed = slots.variant.each[e].list
                if listed is not None and Names.member(f, v, e) in self.wanted:
                    base = code.get(self.part, self.layout.bases + listed)
                    code.put(self.addresses[Names.member(f, v, e)], row, code.add(code.add(first, n), base))
                for c, at in walk.calls.items():
                    self.write_target(Names.target(f, v, c), row, code.get(element, at))
                for p, at in walk.payloads.items():
                    self.write_payload(slots, p, row, code.get(element, at), columns)
                for p, payload in enumerate(slots.variant.payloads):
                    if payload.path is None and payload.each == e and Names.payload(f, v, p) in self.wanted:
                        self.write_position(Names.payload(f, v, p), payload.dtype, row, n)

    def write_target(self, name: str, row: Value, position: Value) -> None:
        code = self.code
        if name in self.wanted:
            callee = code.at(code.get(self.frame, Word.LOG), position)
            code.put(self.addresses[name], row, code.get(callee, STATE))

    def write_payload(self, slots: VariantSlots, number: int, row: Value, held: Value, columns: dict[int, Value]) -> None:
        code, name = self.code, Names.payload(slots.name, slots.index, number)
        if name not in self.wanted:
            return
        payload = slots.variant.payloads[number]
        column = columns[self.layout.payloads[slots.number, number]]
        with code.builder.if_else(code.compare("!=", column, 0)) as (as_object, other):
            with as_object:
                code.python("Py_IncRef", held)
                code.python("PyList_SetItem", column, row, held)
            with other:
                if holds_objects(payload):
                    code.put(self.addresses[name], row, held)
                else:
                    self.write_number(name, payload.dtype, row, held)

    def write_position(self, name: str, dtype: str, row: Value, position: Value) -> None:
        b = self.code.builder
        held = b.bitcast(b.sitofp(position, DOUBLE), INT64) if kind_of(dtype) == "f" else position
        self.write_number(name, dtype, row, held)

    def write_number(self, name: str, dtype: str, row: Value, held: Value) -> None:
        b, stored = self.code.builder, STORED[dtype]
        value = b.bitcast(held, DOUBLE) if kind_of(dtype) == "f" else held
        if dtype == "f32":
            value = b.fptrunc(value, stored)
        elif stored not in (DOUBLE, INT64):
            value = b.trunc(value, stored)
        self.code.store(self.addresses[name], row, value)

    def write_roots(self) -> None:
        code = self.code
        roots, log = code.get(self.frame, Word.ROOTS), code.get(self.frame, Word.LOG)
        with code.each(self.sizes[Names.samples]) as n:
            code.put(roots, n, code.get(code.at(log, code.get(roots, n)), STATE))
