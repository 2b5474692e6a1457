"""Where the native walk over the user's objects keeps what: shared by the code that is generated and the runtime that calls it.

The walk works on 64-bit words. Its *frame* holds addresses and sizes of its memory, addresses of Python objects (names, keys,
types), and counters. Its *log* holds one record for every activation, in the order of discovery.

    record   | variant and length | level, or -1 | state | fixed slots ... | elements of walk 0 ... | elements of walk 1 ... |

A call has one word there, for its object and then for the position of its activation; a call at a part of a list has three: the
list and its bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from bough.base.spans import Index
from bough.base.visits import Attribute, Call, Item, Member, Path, Question, Slice, Stage, Variant, Visits, stages
from bough.runtime.forest import FlatType
from bough.runtime.walker_columns import Column, flat_functions, questions


class Word(IntEnum):
    """The first words of a frame. Sizes of memory are in words; the log's and the stack's `_USED` too."""

    LOG = 0
    LOG_SIZE = 1
    LOG_USED = 2
    TABLE = 3
    """Hash table of activations: object, stamp, position in the log, bounds. The stamp is EPOCH * functions + function; the
    bounds are -1, or for a part of a list both in one word."""
    TABLE_SIZE = 4
    """Entries: a power of two."""
    EPOCH = 5
    """Another one for each sample, so that nothing need be cleared."""
    SEEN = 6
    """Activations of the current sample."""
    STACK = 7
    """What is still to do: pairs of a tag and the address of a word of the log."""
    STACK_SIZE = 8
    STACK_USED = 9
    REFERENCES = 10
    """Python objects of the current sample that are kept alive until its end."""
    REFERENCES_SIZE = 11
    REFERENCES_USED = 12
    BLOCK = 13
    """The arrays that come out."""
    BLOCK_SIZE = 14
    """In bytes, as is the next."""
    BLOCK_NEEDED = 15
    ROOTS = 16
    """Word i: the root activation of sample i; its state in the end."""
    SPANS = 17
    """List after list: samples + 1 ends."""
    SAMPLES = 18
    """The Python list of argument tuples."""
    SAMPLE_COUNT = 19
    KEPT = 20
    """A Python list of objects that are payloads."""
    COLUMNS = 21
    """A Python list that gets, for each payload of objects, the list of its values in order."""
    POINTERS = 22
    """Where the addresses of the arrays go."""
    SIZES = 23
    """Where the sizes go."""
    FOREST = 24
    """The forest whose columns the frame has; 0: none yet, -1: nodes of forests are read like any objects."""
    FOREST_MET = 25
    """Another forest that the walk has come to."""
    PLACES = 26
    """The table of the places of attributes (`bough.runtime.attribute_places`): entries of a type, the word of the name, the
    type's version, the place."""
    MISSED = 27
    """A Python list of objects and names that the table has no entry for, in turns."""
    OWNED = 28
    """1: the walk takes references to what it reads. 0: it borrows, and refuses where code of Python's might run; nothing else
    can take an object away while it has Python's lock, so that parts of the samples may be walked by several threads."""
    PARTS = 29
    """The frames of the parts, one after another: copies of this one with memory of their own, or this one itself."""
    PART_COUNT = 30
    MOST_PARTS = 31
    """So many frames there is memory for; 1: the samples are not parted."""
    FIRST_SAMPLE = 32
    LAST_SAMPLE = 33
    """A part's samples; the last is the first that is not its own."""
    LOG_BEGIN = 34
    """The first word of a part's log; positions count from the beginning of the whole log."""
    STATUS = 35
    """How the walk of a part ended."""
    TEAM = 36
    """The thread team, `bough_team_run`, and `bough_team_one_phase`."""
    TEAM_RUN = 37
    TEAM_PHASE = 38
    PHASE = 39
    """What the team is to do: `bough_walk_part`, the frames, and how many there are."""
    PHASE_FRAMES = 40
    PHASE_COUNT = 41


class Status(IntEnum):
    """How a walk ends. From `UNFIT` on: payload number `status - UNFIT` is no plain number, but some other object."""

    DONE = 0
    REFUSED = 1
    """Something that only the reference linearizer takes, or explains."""
    FULL = 2
    """The walk needs more memory of its own."""
    BLOCK_FULL = 3
    FOREST = 4
    """The walk has come to a forest whose columns it does not have."""
    TABLE_FULL = 5
    """A sample has too many activations for the table."""
    UNFIT = 16


HEADER, LEVEL, STATE, FIXED = 0, 1, 2, 3
"""Words of a record."""
_PART = 3
"""Words of a call at a part of a list: the list and the part's bounds."""
VARIANT_BITS = 16
TABLE_WORDS = 4
"""Words of an entry of the table."""
TYPE_CACHE = 64
"""Entries of the cache of a question for types: a type, and twice its version plus the answer."""
NUMBER, OBJECT, ROW = 0, 1, 2
"""Modes of payloads: the log holds a number, the address of an object, or a row of a forest's column."""

KNOWN: tuple[Any, ...] = (
    None, True, False, int, float, list, tuple, dict, Exception, AttributeError, FlatType, "forest", "index",
)  # fmt: skip
"""Python objects that every walk refers to, in the order of their words."""


@dataclass(frozen=True, slots=True)
class WalkSlots:
    """Of one walk of a variant: the slot of its count and of its elements' position; what each element holds."""

    count: int
    begin: int
    calls: dict[int, int]
    """Calls and payloads by their numbers, each with its word in an element."""
    payloads: dict[int, int]
    width: int


@dataclass(frozen=True, slots=True)
class VariantSlots:
    """One variant of one function, and where its record holds what. `number` counts all variants."""

    number: int
    function: int
    name: str
    index: int
    variant: Variant
    step: bool
    stage: int
    calls: dict[int, int] = field(default_factory=dict)
    payloads: dict[int, int] = field(default_factory=dict)
    places: tuple[int, ...] = ()
    walks: tuple[WalkSlots, ...] = ()
    size: int = FIXED


@dataclass(slots=True)
class Layout:
    """All words of the frame and of the records, by the visits alone."""

    visits: Visits
    functions: dict[str, int] = field(init=False)
    stages: tuple[Stage, ...] = field(init=False)
    variants: tuple[VariantSlots, ...] = field(init=False)
    payloads: dict[tuple[int, int], int] = field(init=False)
    """All payloads that are read, in one row: numbers of variant and payload, and the number in the row."""
    objects: dict[Any, int] = field(init=False)
    """Python objects by a key of their kind and value, with their word."""
    questions: dict[tuple[Any, ...], int] = field(init=False)
    """Names of classes asked for, or members that elements have to have, with the word of what answers; the cache follows."""
    spanned: tuple[str, ...] = field(init=False)
    """Functions that are called at parts of lists."""
    flat: tuple[str, ...] = field(init=False)
    """Functions that take objects of forests by their numbers."""
    columns: dict[Column, int] = field(init=False)
    """Columns of forests that they read, with the word of their address."""
    lists: int = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.functions = {f.name: n for n, f in enumerate(self.visits.functions)}
        self.stages = stages(self.visits)
        self.spanned = tuple(_spanned(self.visits))
        self.variants = tuple(self._variants())
        read = [(v.number, n) for v in self.variants for n, p in enumerate(v.variant.payloads) if p.path is not None]
        self.payloads = {key: n for n, key in enumerate(read)}
        self.lists = max((c.list + 1 for v in self.variants for c in v.variant.collects), default=0)
        position = len(Word)
        self.objects = {}
        for key in (*((type(o), o) for o in KNOWN), *self._constants()):
            if key not in self.objects:
                self.objects[key] = position
                position += 1
        self.questions = {}
        asked: list[tuple[str, ...] | tuple[Member, ...]] = [
            q.value for q in self._questions() if q.test == "is_instance" and isinstance(q.value, tuple)
        ]
        for asked_for in dict.fromkeys([*asked, *(e.members for v in self.variants for e in v.variant.each if e.members)]):
            self.questions[asked_for] = position
            position += 1 + 2 * TYPE_CACHE
        flat = flat_functions(self.visits)
        self.flat = tuple(flat)
        self.columns = {c: position + n for n, c in enumerate(sorted(set().union(*flat.values())))}
        self.modes = position + len(self.columns)
        self.counts = self.modes + len(self.payloads)
        self.elements = self.counts + len(self.variants)
        self.levels = self.elements + sum(len(v.walks) for v in self.variants)
        self.lengths = self.levels + len(self.stages)
        self.starts = self.lengths + self.lists
        self.cursors = self.starts + len(self.variants)
        self.bases = self.cursors + len(self.variants)
        self.size = self.bases + self.lists

    modes: int = field(init=False)
    """Of each payload its mode."""
    counts: int = field(init=False)
    """Counters from here up to `starts` are cleared by every walk: activations of each variant, ..."""
    elements: int = field(init=False)
    """... elements of each walk of each variant, ..."""
    levels: int = field(init=False)
    """... the highest level of each stage, ..."""
    lengths: int = field(init=False)
    """... and what each list has collected."""
    starts: int = field(init=False)
    """Addresses: of each variant's first activation of each level, ..."""
    cursors: int = field(init=False)
    """... and of the next one to be numbered."""
    bases: int = field(init=False)
    """What each list has collected in earlier parts."""

    def flat_tag(self, function: str) -> int:
        """What the stack calls a function at an object of a forest."""
        return len(self.functions) + self.flat.index(function)

    def span_tag(self, function: str) -> int:
        """What the stack calls a function at a part of a list."""
        return len(self.functions) + len(self.flat) + self.spanned.index(function)

    def finish_tag(self, variant: VariantSlots) -> int:
        """What the stack calls the end of an activation."""
        visits = len(self.functions) + len(self.flat) + len(self.spanned)
        return visits + sum(v.step for v in self.variants[: variant.number])

    def collect_tag(self, number: int) -> int:
        """What the stack calls an addition to a list."""
        visits = len(self.functions) + len(self.flat) + len(self.spanned)
        return visits + sum(v.step for v in self.variants) + number

    def walk(self, variant: VariantSlots, each: int) -> int:
        """The number of a walk among all."""
        return sum(len(v.walks) for v in self.variants[: variant.number]) + each

    def variants_of(self, function: str) -> tuple[VariantSlots, ...]:
        return tuple(v for v in self.variants if v.name == function)

    def object(self, value: Any) -> int:
        """The word of a Python object that the walk refers to."""
        return self.objects[type(value), value]

    def _variants(self) -> Iterator[VariantSlots]:
        step = {member: s.number for s in self.stages for member in s.step}
        stage = {f: s.number for s in self.stages for f in s.functions}
        number = 0
        for f in self.visits.functions:
            for n, variant in enumerate(f.variants):
                slots = VariantSlots(number, self.functions[f.name], f.name, n, variant, (f.name, n) in step, stage[f.name])
                yield _with_slots(slots, f.name in self.spanned)
                number += 1

    def _questions(self) -> Iterator[Question]:
        for f in self.visits.functions:
            yield from questions(f.decision)

    def _constants(self) -> Iterator[tuple[type, Any]]:
        for question in self._questions():
            yield from _steps(question.path)
            if question.value is not None and question.test != "is_instance":
                yield type(question.value), question.value
        for v in self.variants:
            for each in v.variant.each:
                yield from _steps(each.path)
            for call in v.variant.calls:
                yield from _steps(call.path)
            for payload in v.variant.payloads:
                yield from _steps(payload.path or ())


def _steps(path: Path) -> Iterator[tuple[type, Any]]:
    for step in path:
        if isinstance(step, Attribute):
            yield str, step.name
        elif isinstance(step, Item) and not isinstance(step.key, Index):
            yield type(step.key), step.key


def is_part(call: Call) -> bool:
    """Whether a call is made at a part of a list."""
    return bool(call.path) and isinstance(call.path[-1], Slice)


def is_same(call: Call) -> bool:
    """Whether a call is made at the object of its activation, which may be a part of a list, too."""
    return not call.path and call.each is None


def _spanned(visits: Visits) -> list[str]:
    """The functions that are called at parts of lists."""
    calls = {f.name: [c for v in f.variants for c in v.calls] for f in visits.functions}
    found = list(dict.fromkeys(c.function for of in calls.values() for c in of if is_part(c)))
    for name in found:
        found += dict.fromkeys(c.function for c in calls[name] if is_same(c) and c.function not in found)
    return found


def _with_slots(slots: VariantSlots, spanned: bool) -> VariantSlots:
    variant, at = slots.variant, FIXED
    calls: dict[int, int] = {}
    payloads: dict[int, int] = {}
    for n, call in enumerate(variant.calls):
        if call.each is None:
            calls[n], at = at, at + (_PART if is_part(call) or (spanned and is_same(call)) else 1)
    for n, payload in enumerate(variant.payloads):
        if payload.each is None and payload.path is not None:
            payloads[n], at = at, at + 1
    places = tuple(range(at, at + len(variant.collects)))
    at += len(places)
    walks: list[WalkSlots] = []
    for e in range(len(variant.each)):
        walks.append(_walk_slots(variant, e, at))
        at += 2
    return replace(slots, calls=calls, payloads=payloads, places=places, walks=tuple(walks), size=at)


def _walk_slots(variant: Variant, each: int, at: int) -> WalkSlots:
    calls: dict[int, int] = {}
    payloads: dict[int, int] = {}
    width = 0
    for n, call in enumerate(variant.calls):
        if call.each == each:
            calls[n], width = width, width + (_PART if is_part(call) else 1)
    for n, payload in enumerate(variant.payloads):
        if payload.each == each and payload.path is not None:
            payloads[n], width = width, width + 1
    return WalkSlots(at, at + 1, calls, payloads, width)
