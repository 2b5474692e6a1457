"""Emits the first half of the native walk: which activations there are, depth first, with the Python objects at hand.

A stack holds what is still to do, as pairs of a tag and an address: call a function at the object in a word, which then
holds the position of the activation's record; give an activation its level, after all that it calls; give a result its
place in a list. So structures may be as deep as memory allows.
"""

from __future__ import annotations

from typing import Any

from bough.base.visits import Ask, Decision, Fail, Visit, call_order
from bough.codegen.walk_read import Helpers, Reader, keep
from bough.codegen.walk_words import Value, Words, word
from bough.runtime.walker_layout import (
    HEADER,
    LEVEL,
    VARIANT_BITS,
    Layout,
    Status,
    VariantSlots,
    WalkSlots,
    Word,
    holds_objects,
    questions,
)  # fmt: skip


def emit_discover(module: Any, layout: Layout, helpers: Helpers) -> Words:
    """`discover(frame)`: fills the log. Returns a `Status`; then nothing of the current sample is held any more."""
    visits = [_emit_visit(module, layout, helpers, f) for f in layout.visits.functions]
    finishes = [_emit_finish(module, layout, v) for v in layout.variants]
    run = _emit_run(module, layout, visits, finishes)
    return _emit_samples(module, layout, run)


def _emit_samples(module: Any, layout: Layout, run: Words) -> Words:
    code = Words(module, "bough_walk_discover", ("frame",))
    frame = code.frame
    for n in range(layout.counts, layout.starts):
        code.put(frame, n, 0)
    for w in (Word.LOG_USED, Word.STACK_USED, Word.REFERENCES_USED):
        code.put(frame, w, 0)
    samples, roots = code.get(frame, Word.SAMPLE_COUNT), code.get(frame, Word.ROOTS)
    spans = code.get(frame, Word.SPANS)
    stride = code.add(samples, 1)
    for number in range(layout.lists):
        code.put(spans, code.multiply(stride, number), 0)
    with code.each(samples) as sample:
        code.add_to(frame, Word.EPOCH, 1)
        code.put(frame, Word.SEEN, 0)
        arguments = code.python("PyList_GetItem", code.get(frame, Word.SAMPLES), sample)
        code.put(roots, sample, arguments)
        _push(code, layout.functions[layout.visits.entry], code.at(roots, sample))
        status = code.call(run, frame)
        with code.when(code.compare("!=", status, Status.DONE)):
            _forgive(code, layout)
        references = code.get(frame, Word.REFERENCES)
        with code.each(code.get(frame, Word.REFERENCES_USED)) as n:
            code.python("Py_DecRef", code.get(references, n))
        code.put(frame, Word.REFERENCES_USED, 0)
        code.check(status)
        for number in range(layout.lists):
            end = code.add(code.add(code.multiply(stride, number), sample), 1)
            code.put(spans, end, code.get(frame, layout.lengths + number))
    code.end(word(Status.DONE))
    return code


def _forgive(code: Words, layout: Layout) -> None:
    """Clears an ordinary error, which the reference will meet again; an interruption of the program stays."""
    with code.when(code.compare("!=", code.python("PyErr_Occurred"), 0)):
        ordinary = code.python("PyErr_ExceptionMatches", code.get(code.frame, layout.object(Exception)))
        with code.when(code.builder.icmp_signed("!=", ordinary, ordinary.type(0))):
            code.python("PyErr_Clear")


def _emit_run(module: Any, layout: Layout, visits: list[Words], finishes: list[Words | None]) -> Words:
    """`run(frame)`: works off the stack."""
    code = Words(module, "bough_walk_run", ("frame",))
    frame = code.frame
    finishing = [f for f in finishes if f is not None]
    with code.loop() as (stop, _):
        used = code.get(frame, Word.STACK_USED)
        stop(code.compare("==", used, 0))
        code.put(frame, Word.STACK_USED, code.subtract(used, 2))
        top = code.at(code.get(frame, Word.STACK), code.subtract(used, 2))
        tag, place = code.get(top), code.get(top, 1)
        with code.cases(tag, len(visits) + len(finishing) + layout.lists) as cases:
            for case, function in zip(cases, (*visits, *finishing)):
                with case:
                    code.check(code.call(function, frame, place))
            for number, case in enumerate(cases[len(visits) + len(finishing) :]):
                with case:
                    _collect(code, layout, number, place)
    code.end(word(Status.DONE))
    return code


def _collect(code: Words, layout: Layout, number: int, place: Value) -> None:
    code.put(place, 0, code.add_to(code.frame, layout.lengths + number, 1))


def _push(code: Words, tag: int, place: Value) -> None:
    used = code.add_to(code.frame, Word.STACK_USED, 2)
    top = code.at(code.get(code.frame, Word.STACK), used)
    code.put(top, 0, tag)
    code.put(top, 1, place)


def finish_tag(layout: Layout, variant: VariantSlots) -> int:
    return len(layout.functions) + sum(v.step for v in layout.variants[: variant.number])


def collect_tag(layout: Layout, number: int) -> int:
    return len(layout.functions) + sum(v.step for v in layout.variants) + number


def _emit_visit(module: Any, layout: Layout, helpers: Helpers, visit: Visit) -> Words:
    """`visit(frame, slot)`: makes the activation at the object in the word at `slot`, or finds it; the word becomes its
    position in the log."""
    number = layout.functions[visit.name]
    code = Words(module, f"bough_walk_visit_{number}", ("frame", "slot"))
    frame, slot = code.arguments
    obj = code.get(slot)
    position = code.call(helpers.find, frame, obj, word(number))
    with code.when(code.compare(">=", position, 0)):
        # Still open: it waits for its own result.
        code.refuse(code.compare("<", code.get(code.at(code.get(frame, Word.LOG), position), LEVEL), 0))
        code.put(slot, 0, position)
        code.builder.ret(word(Status.DONE))
    code.leave(code.compare("==", position, -2), Status.FULL)
    _need(code, Word.REFERENCES_SIZE, Word.REFERENCES_USED, word(_reads(layout, visit)))
    _emit_decision(Reader(code, layout, helpers, obj), visit.decision, layout.variants_of(visit.name), slot)
    code.end(word(Status.DONE))
    return code


def _reads(layout: Layout, visit: Visit) -> int:
    """At most so many references does an activation take, besides those of its elements."""
    paths = [q.path for q in questions(visit.decision)]
    for v in visit.variants:
        paths += [c.path for c in v.calls] + [e.path for e in v.each] + [p.path or () for p in v.payloads]
    return sum(len(path) + 2 for path in paths)


def _need(code: Words, size: Word, used: Word, more: Value) -> None:
    """Leaves the function where so much memory is not left."""
    frame = code.frame
    code.leave(code.compare(">", code.add(code.get(frame, used), more), code.get(frame, size)), Status.FULL)


def _emit_decision(reader: Reader, decision: Decision, variants: tuple[VariantSlots, ...], slot: Value) -> None:
    match decision:
        case Ask(question, yes, no):
            with reader.code.builder.if_else(reader.answer(question)) as (then, otherwise):
                with then:
                    _emit_decision(reader.below(), yes, variants, slot)
                with otherwise:
                    _emit_decision(reader.below(), no, variants, slot)
        case Fail():
            reader.code.builder.ret(word(Status.REFUSED))
        case int(number):
            _Activation(reader, variants[number], slot).emit()


class _Activation:
    """The code that writes the record of one variant's activation, and puts what it calls on the stack."""

    def __init__(self, reader: Reader, slots: VariantSlots, slot: Value) -> None:
        self.reader, self.slots, self.slot = reader, slots, slot
        self.code, self.layout, self.frame = reader.code, reader.layout, reader.code.frame

    def emit(self) -> None:
        code, frame, slots = self.code, self.frame, self.slots
        walks = [self.begin_walk(e, w) for e, w in enumerate(slots.walks)]
        size = self.make_room(walks)
        position = code.add_to(frame, Word.LOG_USED, size)
        self.record = code.at(code.get(frame, Word.LOG), position)
        code.put(self.record, HEADER, code.add(code.builder.shl(size, word(VARIANT_BITS)), slots.number))
        code.put(self.record, LEVEL, -1 if slots.step else 0)
        code.put(self.slot, 0, position)
        code.add_to(frame, self.layout.counts + slots.number, 1)
        for n, at in slots.payloads.items():
            code.put(self.record, at, self.payload(self.reader, n))
        for n, at in slots.calls.items():
            code.put(self.record, at, self.reader.read(slots.variant.calls[n].path))
        self.fill_walks(walks)
        for n, collect in enumerate(slots.variant.collects):
            if collect.calls == 0:
                _collect(code, self.layout, collect.list, code.at(self.record, slots.places[n]))
        self.push()
        code.builder.ret(word(Status.DONE))

    def begin_walk(self, number: int, walk: WalkSlots) -> tuple[Value, Value]:
        """The list or tuple of a walk, and its length."""
        code = self.code
        each = self.slots.variant.each[number]
        container = self.reader.read(each.path)
        listed = code.call(self.reader.helpers.elements, self.frame, container)
        code.refuse(code.compare("==", listed, 0))
        length = code.python("PySequence_Size", listed)
        code.refuse(code.compare("<", length, 0))
        if each.skip or each.leave:
            length = code.larger(code.add(length, -(each.skip + each.leave)), word(0))
        code.add_to(self.frame, self.layout.elements + self.layout.walk(self.slots, number), length)
        return listed, length

    def make_room(self, walks: list[tuple[Value, Value]]) -> Value:
        """Leaves the function where the log, the stack or the pile of references is too small. Returns the record's size."""
        code, variant = self.code, self.slots.variant
        size, references = word(self.slots.size), word(0)
        pushed = word(2 * (len(self.slots.calls) + len(self.slots.places) + 1))
        for walk, (_, length) in zip(self.slots.walks, walks, strict=True):
            paths = [variant.calls[n].path for n in walk.calls] + [variant.payloads[n].path or () for n in walk.payloads]
            size = code.add(size, code.multiply(length, walk.width))
            references = code.add(references, code.multiply(length, 1 + sum(map(len, paths))))
            pushed = code.add(pushed, code.multiply(length, 2 * len(walk.calls)))
        _need(code, Word.LOG_SIZE, Word.LOG_USED, size)
        _need(code, Word.STACK_SIZE, Word.STACK_USED, pushed)
        if walks:
            _need(code, Word.REFERENCES_SIZE, Word.REFERENCES_USED, references)
        return size

    def fill_walks(self, walks: list[tuple[Value, Value]]) -> None:
        code = self.code
        begin = word(self.slots.size)
        for walk, each, (listed, length) in zip(self.slots.walks, self.slots.variant.each, walks, strict=True):
            code.put(self.record, walk.count, length)
            code.put(self.record, walk.begin, begin)
            if walk.width:
                block = code.at(self.record, begin)
                with code.each(length) as n:
                    self.element(walk, code.at(block, code.multiply(n, walk.width)), listed, code.add(n, each.skip))
            begin = code.add(begin, code.multiply(length, walk.width))

    def element(self, walk: WalkSlots, place: Value, listed: Value, number: Value) -> None:
        code, variant = self.code, self.slots.variant
        item = keep(code, code.python("PySequence_GetItem", listed, number))
        reader = Reader(code, self.layout, self.reader.helpers, item)
        for n in walk.payloads:
            code.put(place, walk.payload(n), self.payload(reader, n))
        for n in walk.calls:
            code.put(place, walk.call(n), reader.read(variant.calls[n].path))

    def payload(self, reader: Reader, number: int) -> Value:
        """What the log holds of a payload: a number, or an object that is kept for its column."""
        code, payload = self.code, self.slots.variant.payloads[number]
        found = reader.read(payload.path or ())
        row = self.layout.payloads[self.slots.number, number]
        if holds_objects(payload):
            self.keep_object(found)
            return found
        result = code.variable(found)
        is_object = code.compare("!=", code.get(self.frame, self.layout.modes + row), 0)
        with code.builder.if_else(is_object) as (as_object, as_number):
            with as_object:
                self.keep_object(found)
            with as_number:
                code.write(result, reader.number(found, payload, Status.UNFIT + row))
        return code.read(result)

    def keep_object(self, found: Value) -> None:
        failed = self.code.python("PyList_Append", self.code.get(self.frame, Word.KEPT), found)
        self.code.refuse(self.code.builder.icmp_signed("<", failed, failed.type(0)))

    def push(self) -> None:
        """What is to be done first goes on the stack last."""
        code, slots = self.code, self.slots
        if slots.step:
            _push(code, finish_tag(self.layout, slots), self.record)
        groups = call_order(slots.variant)
        made = len(slots.variant.calls)
        for group in reversed(groups):
            self.push_collects(made)
            made -= len(group)
            each = slots.variant.calls[group[0]].each
            if each is None:
                for n in reversed(group):
                    _push(code, self.function(n), code.at(self.record, slots.calls[n]))
            else:
                self.push_elements(slots.walks[each], group)

    def push_collects(self, made: int) -> None:
        for n, collect in reversed(list(enumerate(self.slots.variant.collects))):
            if collect.calls == made:
                place = self.code.at(self.record, self.slots.places[n])
                _push(self.code, collect_tag(self.layout, collect.list), place)

    def push_elements(self, walk: WalkSlots, group: tuple[int, ...]) -> None:
        code = self.code
        block = code.at(self.record, code.get(self.record, walk.begin))
        with code.each(code.get(self.record, walk.count), down=True) as n:
            element = code.at(block, code.multiply(n, walk.width))
            for call in reversed(group):
                _push(code, self.function(call), code.at(element, walk.call(call)))

    def function(self, call: int) -> int:
        return self.layout.functions[self.slots.variant.calls[call].function]


def _emit_finish(module: Any, layout: Layout, slots: VariantSlots) -> Words | None:
    """`finish(frame, record)`: the level of an activation whose callees have theirs; None for variants that stand at 0."""
    if not slots.step:
        return None
    code = Words(module, f"bough_walk_finish_{slots.number}", ("frame", "record"))
    frame, record = code.arguments
    log = code.get(frame, Word.LOG)
    stage = {f for s in layout.stages if s.number == slots.stage for f in s.functions}
    level = code.variable(0)

    def above(place: Value) -> None:
        callee = code.at(log, code.get(place))
        code.write(level, code.larger(code.read(level), code.get(callee, LEVEL)))

    inside = {n for n, c in enumerate(slots.variant.calls) if c.function in stage}
    for n, at in slots.calls.items():
        if n in inside:
            above(code.at(record, at))
    for walk in slots.walks:
        if inside.intersection(walk.calls):
            block = code.at(record, code.get(record, walk.begin))
            with code.each(code.get(record, walk.count)) as element:
                for n in sorted(inside.intersection(walk.calls)):
                    above(code.at(block, code.add(code.multiply(element, walk.width), walk.call(n))))
    found = code.add(code.read(level), 1)
    code.put(record, LEVEL, found)
    highest = layout.levels + slots.stage
    code.put(frame, highest, code.larger(code.get(frame, highest), found))
    code.end(word(Status.DONE))
    return code


