"""Emits the first half of the native walk: which activations there are, depth first, with the Python objects at hand.

A stack holds what is still to do, as pairs of a tag and an address: call a function at the object in a word, which then
holds the position of the activation's record; give an activation its level, after all that it calls; give a result its
place in a list. So structures may be as deep as memory allows.
"""

from __future__ import annotations

from typing import Any

from bough.base.visits import Ask, Decision, Fail, Member, Visit, call_order
from bough.codegen.walk_flat import FlatReader
from bough.codegen.walk_library import Library
from bough.codegen.walk_read import Reader, SpanReader
from bough.codegen.walk_words import Value, Words, word
from bough.runtime.forest import FlatType
from bough.runtime.walker_columns import questions
from bough.runtime.walker_layout import (
    HEADER,
    LEVEL,
    TABLE_WORDS,
    VARIANT_BITS,
    Layout,
    Status,
    VariantSlots,
    WalkSlots,
    Word,
)  # fmt: skip

AnyReader = Reader | FlatReader | SpanReader
_WHOLE = -1
"""The bounds of objects that are no parts of lists."""
_PARTED = 1 << 10
"""Samples are walked in parts where the last walk has noted so many words: some tens of microseconds."""


def emit_discover(module: Any, layout: Layout) -> Words:
    """`discover(frame)`: fills the log. Returns a `Status`; then nothing of the last sample is held any more."""
    library = Library(module, layout)
    flat = {name: _emit_flat_visit(module, library, layout.visits.function(name)) for name in layout.flat}
    visits = [_emit_visit(module, library, f, flat.get(f.name)) for f in layout.visits.functions]
    spans = [_emit_span_visit(module, library, layout.visits.function(name)) for name in layout.spanned]
    finishes = [_emit_finish(module, layout, v) for v in layout.variants]
    run = _emit_run(module, library, [*visits, *flat.values(), *spans, *(f for f in finishes if f is not None)])
    samples = _emit_samples(module, library, run)
    _emit_part(module, layout, samples)
    return _emit_discover(module, layout, samples)


def _emit_discover(module: Any, layout: Layout, samples: Words) -> Words:
    """All samples, as one part by the frame itself; or in several parts, by the threads of the team."""
    code = Words(module, "bough_walk_discover", ("frame",))
    frame, count = code.frame, code.get(code.frame, Word.SAMPLE_COUNT)
    with code.each(layout.starts - layout.counts) as n:
        code.put(code.at(frame, layout.counts), n, 0)
    for number in range(layout.lists):
        code.put(code.get(frame, Word.SPANS), code.multiply(code.add(count, 1), number), 0)
        code.put(frame, layout.bases + number, 0)
    before = code.get(frame, Word.LOG_USED)
    for w in (Word.LOG_USED, Word.LOG_BEGIN, Word.STACK_USED, Word.REFERENCES_USED, Word.FIRST_SAMPLE):
        code.put(frame, w, 0)
    many = code.builder.and_(code.compare(">=", before, _PARTED), code.compare("!=", code.get(frame, Word.TEAM), 0))
    apart = code.builder.and_(many, code.compare("==", code.get(frame, Word.OWNED), 0))
    most = code.builder.select(apart, code.get(frame, Word.MOST_PARTS), word(1))
    parts = code.builder.select(code.compare("<", count, most), count, most)
    with code.when(code.compare("<=", parts, 1)):
        code.put(frame, Word.LAST_SAMPLE, count)
        code.put(frame, Word.PARTS, frame)
        code.put(frame, Word.PART_COUNT, 1)
        code.builder.ret(code.call(samples, frame))
    code.put(frame, Word.PARTS, code.get(frame, Word.PHASE_FRAMES))
    code.put(frame, Word.PART_COUNT, parts)
    code.put(frame, Word.PHASE_COUNT, parts)
    with code.each(parts) as part:
        _begin_part(code, layout, part)
    words = [code.get(frame, w) for w in (Word.TEAM, Word.TEAM_PHASE)]
    code.call_at(code.get(frame, Word.TEAM_RUN), *words, code.at(frame, Word.PHASE), word(0))
    code.add_to(frame, Word.EPOCH, count)
    with code.each(parts) as part:
        _end_part(code, layout, part)
    code.end(word(Status.DONE))
    return code


def _frame_of(code: Words, layout: Layout, part: Value) -> Value:
    return code.at(code.get(code.frame, Word.PARTS), code.multiply(part, layout.size))


def _begin_part(code: Words, layout: Layout, part: Value) -> None:
    """A part's frame: its samples, and its share of the memory. It needs none for references."""
    frame, parts, own = code.frame, code.get(code.frame, Word.PART_COUNT), _frame_of(code, layout, part)
    with code.each(layout.size) as n:
        code.put(own, n, code.get(frame, n))

    def share(of: Word) -> tuple[Value, Value]:
        first, last = (code.multiply(code.get(frame, of), n) for n in (part, code.add(part, 1)))
        return code.builder.sdiv(first, parts), code.builder.sdiv(last, parts)

    for of, words in (
        (Word.SAMPLE_COUNT, (Word.FIRST_SAMPLE, Word.LAST_SAMPLE)), (Word.LOG_SIZE, (Word.LOG_BEGIN, Word.LOG_SIZE)),
    ):  # fmt: skip
        for at, value in zip(words, share(of), strict=True):
            code.put(own, at, value)
    code.put(own, Word.LOG_USED, code.get(own, Word.LOG_BEGIN))
    first, last = share(Word.STACK_SIZE)
    code.put(own, Word.STACK, code.at(code.get(frame, Word.STACK), first))
    code.put(own, Word.STACK_SIZE, code.subtract(last, first))
    table = code.multiply(code.get(frame, Word.TABLE_SIZE), code.multiply(part, TABLE_WORDS))
    code.put(own, Word.TABLE, code.at(code.get(frame, Word.TABLE), table))


def _end_part(code: Words, layout: Layout, part: Value) -> None:
    """Adds what a part has found to what those before it have."""
    frame, own = code.frame, _frame_of(code, layout, part)
    code.check(code.get(own, Word.STATUS))
    code.add_to(frame, Word.LOG_USED, code.subtract(code.get(own, Word.LOG_USED), code.get(own, Word.LOG_BEGIN)))
    with code.each(layout.levels - layout.counts) as n:
        at = code.add(n, layout.counts)
        code.add_to(frame, at, code.get(own, at))
    with code.each(layout.lengths - layout.levels) as n:
        at = code.add(n, layout.levels)
        code.put(frame, at, code.larger(code.get(frame, at), code.get(own, at)))
    stride = code.add(code.get(frame, Word.SAMPLE_COUNT), 1)
    first = code.get(own, Word.FIRST_SAMPLE)
    for number in range(layout.lists):
        base = code.add_to(frame, layout.lengths + number, code.get(own, layout.lengths + number))
        code.put(own, layout.bases + number, base)
        ends = code.at(code.get(frame, Word.SPANS), code.add(code.multiply(stride, number), code.add(first, 1)))
        with code.each(code.subtract(code.get(own, Word.LAST_SAMPLE), first)) as n:
            code.add_to(ends, n, base)


def _emit_part(module: Any, layout: Layout, samples: Words) -> None:
    """`bough_walk_part(frames, number)`: a phase of the team. The part's frame gets the status."""
    code = Words(module, "bough_walk_part", ("frames", "number"), internal=False)
    frames, number = code.arguments
    frame = code.at(frames, code.multiply(number, layout.size))
    code.put(frame, Word.STATUS, code.call(samples, frame))
    code.end(word(Status.DONE))


def _emit_samples(module: Any, library: Library, run: Words) -> Words:
    """The samples of a part. Only a walk that owns meets errors of Python's."""
    code, layout = Words(module, "bough_walk_samples", ("frame",)), library.layout
    frame = code.frame
    first, roots, spans = (code.get(frame, w) for w in (Word.FIRST_SAMPLE, Word.ROOTS, Word.SPANS))
    stride = code.add(code.get(frame, Word.SAMPLE_COUNT), 1)
    with code.each(code.subtract(code.get(frame, Word.LAST_SAMPLE), first)) as number:
        sample = code.add(first, number)
        begins = [code.get(frame, layout.lengths + n) for n in range(layout.lists)]
        code.add_to(frame, Word.EPOCH, 1)
        code.put(frame, Word.SEEN, 0)
        code.put(roots, sample, code.python("PyList_GetItem", code.get(frame, Word.SAMPLES), sample))
        code.call(library.push, frame, layout.functions[layout.visits.entry], code.at(roots, sample))
        status = code.call(run, frame)
        with code.when(code.compare("!=", code.get(frame, Word.OWNED), 0)):
            with code.when(code.compare("!=", status, Status.DONE)):
                _forgive(code, library)
            references = code.get(frame, Word.REFERENCES)
            with code.each(code.get(frame, Word.REFERENCES_USED)) as n:
                code.python("Py_DecRef", code.get(references, n))
            code.put(frame, Word.REFERENCES_USED, 0)
        code.check(status)
        _walk_lists(code, layout, code.at(code.get(frame, Word.LOG), code.get(roots, sample)), begins)
        for n in range(layout.lists):
            end = code.add(code.add(code.multiply(stride, n), sample), 1)
            code.put(spans, end, code.get(frame, layout.lengths + n))
    code.end(word(Status.DONE))
    return code


def _walk_lists(code: Words, layout: Layout, record: Value, begins: list[Value]) -> None:
    """What the sample has collected, as elements of its root's walks over lists; `begin` of such a walk is the first of them."""
    frame = code.frame
    entries = [v for v in layout.variants_of(layout.visits.entry) if any(e.list is not None for e in v.variant.each)]
    if not entries:
        return
    variant = code.builder.and_(code.get(record, HEADER), word((1 << VARIANT_BITS) - 1))
    for slots in entries:
        with code.when(code.compare("==", variant, slots.number)):
            for e, (each, walk) in enumerate(zip(slots.variant.each, slots.walks, strict=True)):
                if each.list is None:
                    continue
                begin = begins[each.list]
                count = code.subtract(code.get(frame, layout.lengths + each.list), begin)
                if each.some:
                    code.refuse(code.compare("==", count, 0))
                code.put(record, walk.begin, begin)
                code.put(record, walk.count, count)
                code.add_to(frame, layout.elements + layout.walk(slots, e), count)


def _forgive(code: Words, library: Library) -> None:
    """Clears an ordinary error, which the reference will meet again; an interruption of the program stays."""
    with code.when(code.compare("!=", code.python("PyErr_Occurred"), 0)):
        ordinary = code.python("PyErr_ExceptionMatches", library.constant(code, Exception))
        with code.when(code.compare("!=", ordinary, 0)):
            code.python("PyErr_Clear")


def _emit_run(module: Any, library: Library, functions: list[Words]) -> Words:
    """`run(frame)`: works off the stack."""
    code, layout = Words(module, "bough_walk_run", ("frame",)), library.layout
    frame = code.frame
    with code.loop() as (stop, _):
        used = code.get(frame, Word.STACK_USED)
        stop(code.compare("==", used, 0))
        code.put(frame, Word.STACK_USED, code.subtract(used, 2))
        top = code.at(code.get(frame, Word.STACK), code.subtract(used, 2))
        tag, place = code.get(top), code.get(top, 1)
        with code.cases(tag, len(functions) + layout.lists) as cases:
            for case, function in zip(cases, functions):
                with case:
                    code.check(code.call(function, frame, place))
            for number, case in enumerate(cases[len(functions) :]):
                with case:
                    code.call(library.collect, frame, number, place)
    code.end(word(Status.DONE))
    return code


def _emit_visit(module: Any, library: Library, visit: Visit, flat: Words | None) -> Words:
    """`visit(frame, slot)`: makes the activation at the object in the word at `slot`, or finds it; the word becomes its
    position in the log. `flat` does so at the number of an object of a forest."""
    code = Words(module, f"bough_walk_visit_{library.layout.functions[visit.name]}", ("frame", "slot"))
    frame, slot = code.arguments
    obj = code.get(slot)
    if flat is not None:
        reads_columns = code.compare(">=", code.get(frame, Word.FOREST), 0)
        is_node = code.compare("==", code.type_of(code.type_of(obj)), library.constant(code, FlatType))
        with code.when(code.builder.and_(reads_columns, is_node)):
            code.check(code.call(library.enter, frame, obj, slot))
            code.builder.ret(code.call(flat, frame, slot))
    _activate(code, library, visit, slot, (obj, word(_WHOLE)), Reader(code, library, obj))
    return code


def _emit_span_visit(module: Any, library: Library, visit: Visit) -> Words:
    """As a visit, at the part of a list in three words."""
    code = Words(module, f"bough_walk_span_{library.layout.functions[visit.name]}", ("frame", "slot"))
    slot = code.arguments[1]
    listed, first, last = (code.get(slot, n) for n in range(3))
    bounds = code.builder.or_(code.builder.shl(first, word(32)), last)
    _activate(code, library, visit, slot, (listed, bounds), SpanReader(code, library, listed, first, last))
    return code


def _emit_flat_visit(module: Any, library: Library, visit: Visit) -> Words:
    code = Words(module, f"bough_walk_flat_{library.layout.functions[visit.name]}", ("frame", "slot"))
    slot = code.arguments[1]
    number = code.get(slot)
    # No Python object has an odd address; None is the same object in columns and elsewhere.
    odd = code.add(code.builder.shl(number, word(4)), 1)
    key = code.builder.select(code.compare("<", number, 0), library.constant(code, None), odd)
    _activate(code, library, visit, slot, (key, word(_WHOLE)), FlatReader(code, library, number))
    return code


def _activate(code: Words, library: Library, visit: Visit, slot: Value, key: tuple[Value, Value], reader: AnyReader) -> None:
    """The rest of a visit; `key`, an object and bounds, tells objects apart."""
    frame, layout = code.frame, library.layout
    number = layout.functions[visit.name]
    position = code.call(library.find, frame, number, *key)
    with code.when(code.compare(">=", position, 0)):
        # Still open: it waits for its own result.
        code.refuse(code.compare("<", code.get(code.at(code.get(frame, Word.LOG), position), LEVEL), 0))
        if visit.variants and all(v.repeats for v in visit.variants):
            code.call(library.renew, frame, number, *key)
        else:
            code.put(slot, 0, position)
            code.builder.ret(word(Status.REFUSED if any(v.repeats for v in visit.variants) else Status.DONE))
    code.leave(code.compare("==", position, -2), Status.TABLE_FULL)
    code.check(code.call(library.room, frame, 0, 0, _reads(visit)))
    _Decided(code, library, slot, layout.variants_of(visit.name)).emit(reader, visit.decision)
    code.end(word(Status.DONE))


def _reads(visit: Visit) -> int:
    """At most so many references does an activation take, besides those of its elements."""
    paths = [q.path for q in questions(visit.decision)]
    for v in visit.variants:
        paths += [c.path for c in v.calls] + [e.path for e in v.each] + [p.path or () for p in v.payloads]
    return sum(len(path) + 4 for path in paths)


class _Decided:
    """The code of a decision, with an activation at each of its ends."""

    def __init__(self, code: Words, library: Library, slot: Value, variants: tuple[VariantSlots, ...]) -> None:
        self.code, self.library, self.slot, self.variants = code, library, slot, variants

    def emit(self, reader: AnyReader, decision: Decision) -> None:
        match decision:
            case Ask(question, yes, no):
                with self.code.builder.if_else(reader.answer(question)) as (then, otherwise):
                    with then:
                        self.emit(reader.below(), yes)
                    with otherwise:
                        self.emit(reader.below(), no)
            case Fail():
                self.code.builder.ret(word(Status.REFUSED))
            case int(number):
                _Activation(reader, self.variants[number], self.slot).emit()


class _Activation:
    """The code that writes the record of one variant's activation, and puts what it calls on the stack."""

    def __init__(self, reader: AnyReader, slots: VariantSlots, slot: Value) -> None:
        self.reader, self.slots, self.slot = reader, slots, slot
        self.code, self.library, self.frame = reader.code, reader.library, reader.code.frame
        self.layout = reader.library.layout

    def emit(self) -> None:
        code, frame, slots = self.code, self.frame, self.slots
        walks = [self.begin_walk(e) for e in range(len(slots.walks))]
        size = self.make_room(walks)
        position = code.add_to(frame, Word.LOG_USED, size)
        self.record = code.at(code.get(frame, Word.LOG), position)
        code.put(self.record, HEADER, code.add(code.builder.shl(size, word(VARIANT_BITS)), slots.number))
        code.put(self.record, LEVEL, -1 if slots.step else 0)
        code.put(self.slot, 0, position)
        code.add_to(frame, self.layout.counts + slots.number, 1)
        for n, at in slots.calls.items():
            self.reader.note(slots.variant.calls[n], code.at(self.record, at))
        for n, at in slots.payloads.items():
            self.store(self.reader, n, code.at(self.record, at))
        self.fill_walks(walks)
        for n, collect in enumerate(slots.variant.collects):
            if collect.calls == 0:
                code.call(self.library.collect, frame, collect.list, code.at(self.record, slots.places[n]))
        self.push_all()
        code.builder.ret(word(Status.DONE))

    def begin_walk(self, number: int) -> tuple[Value, Value]:
        """What is walked over, and its length. What is collected is not known before the end of the sample."""
        if self.slots.variant.each[number].list is not None:
            return word(0), word(0)
        listed, length = self.reader.walk(self.slots.variant.each[number])
        self.code.add_to(self.frame, self.layout.elements + self.layout.walk(self.slots, number), length)
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
        code.check(code.call(self.library.room, self.frame, size, pushed, references))
        return size

    def fill_walks(self, walks: list[tuple[Value, Value]]) -> None:
        code = self.code
        begin = word(self.slots.size)
        for each, walk, (listed, length) in zip(self.slots.variant.each, self.slots.walks, walks, strict=True):
            code.put(self.record, walk.count, length)
            code.put(self.record, walk.begin, begin)
            if walk.width or each.members:
                block = code.at(self.record, begin)
                with code.each(length) as n:
                    element = self.reader.item(each, listed, n)
                    self.require(each.members, element)
                    self.element(walk, code.at(block, code.multiply(n, walk.width)), element)
            begin = code.add(begin, code.multiply(length, walk.width))

    def require(self, members: tuple[Member, ...], reader: AnyReader) -> None:
        """Leaves the function at an element whose class lacks one of the members."""
        if members:
            code, at = self.code, self.layout.questions[members]
            kind = code.type_of(reader.object)  # type: ignore[union-attr]
            answer = code.call(self.library.is_instance, self.frame, kind, code.at(self.frame, at))
            code.refuse(code.compare("!=", answer, 1))

    def element(self, walk: WalkSlots, place: Value, reader: AnyReader) -> None:
        code = self.code
        for n, at in walk.payloads.items():
            self.store(reader, n, code.at(place, at))
        for n, at in walk.calls.items():
            reader.note(self.slots.variant.calls[n], code.at(place, at))

    def store(self, reader: AnyReader, number: int, address: Value) -> None:
        reader.store(self.slots.variant.payloads[number], self.layout.payloads[self.slots.number, number], address)

    def push_all(self) -> None:
        """What is to be done first goes on the stack last."""
        slots = self.slots
        if slots.step:
            self.push(self.layout.finish_tag(slots), self.record)
        made = len(slots.variant.calls)
        for group in reversed(call_order(slots.variant)):
            self.push_collects(made)
            made -= len(group)
            each = slots.variant.calls[group[0]].each
            if each is None:
                for n in reversed(group):
                    self.push(self.function(n), self.code.at(self.record, slots.calls[n]))
            else:
                self.push_elements(slots.walks[each], group)

    def push(self, tag: int, address: Value) -> None:
        self.code.call(self.library.push, self.frame, tag, address)

    def push_collects(self, made: int) -> None:
        for n, collect in reversed(list(enumerate(self.slots.variant.collects))):
            if collect.calls == made:
                self.push(self.layout.collect_tag(collect.list), self.code.at(self.record, self.slots.places[n]))

    def push_elements(self, walk: WalkSlots, group: tuple[int, ...]) -> None:
        code = self.code
        block = code.at(self.record, code.get(self.record, walk.begin))
        with code.each(code.get(self.record, walk.count), down=True) as n:
            element = code.at(block, code.multiply(n, walk.width))
            for call in reversed(group):
                self.push(self.function(call), code.at(element, walk.calls[call]))

    def function(self, number: int) -> int:
        return self.reader.tag(self.slots.variant.calls[number])


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
                    above(code.at(block, code.add(code.multiply(element, walk.width), walk.calls[n])))
    found = code.add(code.read(level), 1)
    code.put(record, LEVEL, found)
    highest = layout.levels + slots.stage
    code.put(frame, highest, code.larger(code.get(frame, highest), found))
    code.end(word(Status.DONE))
    return code


