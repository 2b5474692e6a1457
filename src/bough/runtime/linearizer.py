"""Linearizes the user's structures by native code; gives what `bough.runtime.linearize` gives, only sooner.

The code is generated for the visits at hand (`bough.codegen.walk`). Whatever it does not take, or only with an error, goes to
the reference, which takes it or explains it. So does everything where there is no such code, or another Python than it
is for.
"""

from __future__ import annotations

import ctypes
import platform
import sys
import sysconfig
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bough.base.errors import InternalError
from bough.base.visits import Attribute, Names, Payload, Visits
from bough.runtime.arrays import Array, address, allocate
from bough.runtime.forest import Forest
from bough.runtime.linearize import Linearized, linearize
from bough.runtime.linearizer_columns import Stacked, stack, take
from bough.runtime.loader import LoadedObject
from bough.runtime.walker_columns import holds_objects, read_column
from bough.runtime.walker_layout import NUMBER, OBJECT, ROW, Layout, Status, Word

Walk = Callable[[int], int]
Samples = list[tuple[Any, ...]]
_GROWTH = 4
_WORDS = 1 << 12
_ENTRIES = 1 << 9
_BLOCK = 1 << 16
_SAMPLES = 8


class Linearizer:
    """Fills pointers and sizes for compiled code that takes `arrays` and `sizes`, names of `bough.base.visits.Names`.

    `program` holds the native walk for the same visits and names; without it the reference does the work. Safe for use by
    several threads, each with a `Flat` of its own.
    """

    def __init__(
        self, visits: Visits, arrays: Sequence[str], sizes: Sequence[str], program: LoadedObject | None = None
    ) -> None:
        self.visits, self.arrays, self.sizes = visits, tuple(arrays), tuple(sizes)
        self.layout = Layout(visits)
        self._objects = _python_objects(self.layout)
        self._modes = [0] * len(self.layout.payloads)
        self._columns: list[tuple[int, int, Payload]] = []
        """Payloads that may hold objects: number, position among the arrays, description."""
        for (variant, number), row in self.layout.payloads.items():
            slots = self.layout.variants[variant]
            payload = slots.variant.payloads[number]
            self._modes[row] = OBJECT if holds_objects(payload) else NUMBER
            name = Names.payload(slots.name, slots.index, number)
            if name in self.arrays:
                self._columns.append((row, self.arrays.index(name), payload))
        self._walk, self._arrange = _functions(program)

    def __call__(self, samples: Sequence[tuple[Any, ...]]) -> Flat:
        """The arrays and sizes of independent calls. Raises InputError for objects that the functions do not take."""
        flat = self.flat()
        self.fill(flat, list(samples))
        return flat

    def flat(self, pointers: int = 0, sizes: int = 0) -> Flat:
        """A place for arrays and sizes; their addresses and values go where `pointers` and `sizes` say, by default to
        memory of its own."""
        return Flat(self.layout, self._objects, self._modes, (len(self.arrays), len(self.sizes)), pointers, sizes)

    def fill(self, flat: Flat, samples: Samples) -> None:
        """Linearizes the samples, in place of what `flat` held before."""
        if self._walk is None:
            return self._refer(flat, samples)
        flat.take(samples)
        status = self._walk(flat.frame)
        if status and not self._again(self._walk, flat, status):
            return self._refer(flat, samples)
        if (flat.kept or flat.forest is not None) and not self._stack(flat):
            self._refer(flat, samples)

    def _again(self, walk: Walk, flat: Flat, status: int) -> bool:
        """Mends what a walk has ended with and repeats it until it is done. False where it cannot be mended."""
        entered = False
        while status:
            flat.kept.clear()
            if status == Status.BLOCK_FULL:
                flat.grow_block()
                status = self._arrange(flat.frame)
                continue
            if status == Status.FULL:
                flat.grow()
            elif status == Status.TABLE_FULL:
                flat.grow_table()
            elif status == Status.FOREST:
                flat.enter(self._modes, first=not entered)
                entered = True
            elif status == Status.REFUSED and flat.forest is not None:
                flat.leave(self._modes, plainly=entered)
            elif status >= Status.UNFIT:
                self._modes[status - Status.UNFIT] = OBJECT
                flat.set_modes(self._modes)
            else:
                return False
            status = walk(flat.frame)
        flat.expect_forests()
        return True

    def _stack(self, flat: Flat) -> bool:
        """Arrays for the payloads that came as objects or as rows of a forest. False where they do not fit."""
        flat.held.clear()
        for row, position, payload in self._columns:
            values = flat.columns[row]
            stacked: Stacked | None
            if values is not None:
                flat.columns[row] = None
                stacked = stack(values, payload)
                if stacked is None:
                    return False
            elif row in flat.rows:
                stacked = take(flat.rows[row], flat.indices(row, position))
            else:
                continue
            flat.set_pointer(position, stacked.pointer)
            flat.held.append(stacked.owner)
        flat.kept.clear()
        return True

    def _refer(self, flat: Flat, samples: Samples) -> None:
        flat.kept.clear()
        flat.copy(linearize(self.visits, samples), self.arrays, self.sizes)


class Flat:
    """What compiled code takes of some samples: `pointers` in the order of its arrays, `sizes` in that of its sizes.

    Both, and the memory they refer to, are valid until it is filled again.
    """

    def __init__(
        self, layout: Layout, objects: dict[int, Any], modes: list[int], counts: tuple[int, int], pointers: int, sizes: int
    ) -> None:
        own_pointers, own_sizes = (ctypes.c_int64 * max(1, counts[0]))(), (ctypes.c_int64 * max(1, counts[1]))()
        self.pointers: Any = (ctypes.c_int64 * counts[0]).from_address(pointers) if pointers else own_pointers
        self.sizes: Any = (ctypes.c_int64 * counts[1]).from_address(sizes) if sizes else own_sizes
        self._layout = layout
        self._words = words = (ctypes.c_int64 * layout.size)()
        self.frame = ctypes.addressof(words)
        self.kept: list[Any] = []
        self.columns: list[list[Any] | None] = [None] * len(modes)
        self.held: list[Any] = []
        self.forest: Forest | None = None
        self.rows: dict[int, Array] = {}
        """Columns of the forest that are payloads, by the payload's number; the walk numbers their rows."""
        self._forest_columns: list[Array] = []
        self._size = _WORDS
        self._memory: list[Any] = []
        self._area: Any = None
        self._block: Any = None
        for position, value in objects.items():
            words[position] = id(value)
        words[Word.KEPT], words[Word.COLUMNS] = id(self.kept), id(self.columns)
        words[Word.POINTERS], words[Word.SIZES] = ctypes.addressof(self.pointers), ctypes.addressof(self.sizes)
        self.set_modes(modes)
        self._allocate()
        self._allocate_table(_ENTRIES)
        self._allocate_block(_BLOCK)
        self._make_room(_SAMPLES)

    def take(self, samples: Samples) -> None:
        """Gets ready for a walk over the samples, which must live until it ends."""
        count = len(samples)
        if count > self._room:
            self._make_room(count)
        words = self._words
        words[Word.SAMPLES], words[Word.SAMPLE_COUNT] = id(samples), count

    def spans(self, number: int) -> list[int]:
        """The ends of list `number` of each sample, with 0 in front."""
        stride = int(self._words[Word.SAMPLE_COUNT]) + 1
        base = int(self._words[Word.SPANS]) + 8 * stride * number
        return list((ctypes.c_int64 * stride).from_address(base))

    def set_modes(self, modes: Sequence[int]) -> None:
        for row, mode in enumerate(modes):
            self._words[self._layout.modes + row] = mode

    def enter(self, modes: Sequence[int], first: bool) -> None:
        """Takes over the columns of the forest that the walk has met. Where they do not fit the walk, or where it is not the
        `first` forest of this walk, objects of forests are read like any others."""
        layout, words = self._layout, self._words
        forest: Any = ctypes.cast(int(words[Word.FOREST_MET]), ctypes.py_object).value
        self.leave(modes, plainly=True)
        found = {column: read_column(forest, column) for column in layout.columns}
        rows = _rows(layout, forest)
        if not first or rows is None or any(c is None for c in found.values()):
            return
        for column, position in layout.columns.items():
            array = found[column]
            if array is not None:
                self._forest_columns.append(array)
                words[position] = address(array)
        self.forest, self.rows = forest, rows
        words[Word.FOREST] = id(forest)
        for row in rows:
            words[layout.modes + row] = ROW

    def expect_forests(self) -> None:
        """The next walk may meet a forest that fits."""
        if self.forest is None:
            self._words[Word.FOREST] = 0

    def leave(self, modes: Sequence[int], plainly: bool = False) -> None:
        """Forgets the forest; `plainly`: until this walk is done, objects of forests are read like any others."""
        self.forest, self.rows = None, {}
        self._forest_columns.clear()
        self._words[Word.FOREST] = -1 if plainly else 0
        self.set_modes(modes)

    def indices(self, row: int, position: int) -> Array:
        """The rows of the forest's column that payload number `row` consists of."""
        layout = self._layout
        variant, number = next(key for key, n in layout.payloads.items() if n == row)
        slots = layout.variants[variant]
        each = slots.variant.payloads[number].each
        at = layout.counts + variant if each is None else layout.elements + layout.walk(slots, each)
        count = int(self._words[at])
        memory: Any = (ctypes.c_int64 * count).from_address(self.pointers[position])
        return np.ndarray(count, np.int64, memory)

    def set_pointer(self, position: int, pointer: int) -> None:
        self.pointers[position] = pointer

    def grow(self) -> None:
        """More memory for the walk itself."""
        self._size *= _GROWTH
        self._allocate()

    def grow_table(self) -> None:
        """More activations in a sample. Apart from the rest, since a table for one sample fits a near cache."""
        self._allocate_table(_GROWTH * int(self._words[Word.TABLE_SIZE]))

    def grow_block(self) -> None:
        """At least as much memory for arrays as the walk has asked for."""
        self._allocate_block(2 * int(self._words[Word.BLOCK_NEEDED]))

    def copy(self, linearized: Linearized, arrays: Sequence[str], sizes: Sequence[str]) -> None:
        """Holds what the reference gave."""
        self.held = [linearized.arrays[name] for name in arrays]
        self.pointers[: len(arrays)] = [address(array) for array in self.held]
        self.sizes[: len(sizes)] = [linearized.sizes[name] for name in sizes]
        spans = [linearized.arrays[Names.spans(n)] for n in range(self._layout.lists)]
        samples = linearized.sizes[Names.samples]
        if samples > self._room:
            self._make_room(samples)
        self._words[Word.SAMPLE_COUNT] = samples
        for number, ends in enumerate(spans):
            begin = self._room + 1 + number * (samples + 1)
            self._area[begin : begin + samples + 1] = ends

    def _allocate(self) -> None:
        """Log, stack and references; the system gives the pages when they are first used."""
        size, words = self._size, self._words
        log, stack_, references = self._memory = [np.empty(size, np.int64) for _ in range(3)]
        words[Word.LOG], words[Word.LOG_SIZE] = address(log), size
        words[Word.STACK], words[Word.STACK_SIZE] = address(stack_), size
        words[Word.REFERENCES], words[Word.REFERENCES_SIZE] = address(references), size

    def _allocate_table(self, entries: int) -> None:
        self._table = np.zeros(4 * entries, np.int64)
        self._words[Word.TABLE], self._words[Word.TABLE_SIZE] = address(self._table), entries

    def _allocate_block(self, size: int) -> None:
        self._block = allocate(size)
        self._words[Word.BLOCK], self._words[Word.BLOCK_SIZE] = address(self._block), size

    def _make_room(self, samples: int) -> None:
        """For the roots, and the ends of the lists."""
        self._room: int = 2 * samples
        room = self._room
        self._area = np.zeros((room + 1) * (1 + self._layout.lists), np.int64)
        self._words[Word.ROOTS] = address(self._area)
        self._words[Word.SPANS] = address(self._area) + 8 * (room + 1)


def _rows(layout: Layout, forest: Forest) -> dict[int, Array] | None:
    """The forest's columns for the payloads that are rows, by the payload's number; None where one does not fit."""
    found: dict[int, Array] = {}
    for (variant, number), row in layout.payloads.items():
        slots = layout.variants[variant]
        payload = slots.variant.payloads[number]
        if slots.name not in layout.flat or not holds_objects(payload):
            continue
        step = (payload.path or ())[0]
        column = read_column(forest, (step.name, "row", payload.dtype)) if isinstance(step, Attribute) else None
        if column is None or column.shape[1:] != payload.shape:
            return None
        found[row] = column
    return found


class _Learned(dict[type, bool]):
    """Which types belong to the classes of a question; types that come up for the first time are looked at then."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.classes = classes

    def __missing__(self, kind: type) -> bool:
        self[kind] = answer = any(f"{c.__module__}.{c.__qualname__}" in self.classes for c in kind.__mro__)
        return answer


def _python_objects(layout: Layout) -> dict[int, Any]:
    """What the words of a frame refer to."""
    found = {position: sys.intern(v) if type(v) is str else v for (_, v), position in layout.objects.items()}
    return {**found, **{position: _Learned(classes) for classes, position in layout.questions.items()}}


def _functions(program: LoadedObject | None) -> tuple[Walk | None, Walk]:
    if program is None or "bough_walk" not in program.symbols or not is_supported():
        return None, _missing
    kind = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
    walk, arrange = (kind(program.symbols[name]) for name in ("bough_walk", "bough_walk_arrange"))
    walk.loaded_object = program  # type: ignore[attr-defined]
    return walk, arrange


def _missing(frame: int) -> int:
    raise InternalError("there is no native walk")


def is_supported() -> bool:
    """Whether objects of this Python have the form that the native walk reads: the type in their second word."""
    if platform.python_implementation() != "CPython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return False
    probes: tuple[Any, ...] = (None, 1, "text", [], (), object())
    return ctypes.sizeof(ctypes.c_void_p) == 8 and all(
        ctypes.c_int64.from_address(id(p) + 8).value == id(type(p)) for p in probes
    )


