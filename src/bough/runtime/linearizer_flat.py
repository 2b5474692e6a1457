"""The memory of a native walk, and what it gives: pointers and sizes for compiled code."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from bough.base.errors import InputError
from bough.base.visits import Attribute, Names
from bough.runtime.arrays import Array, address, allocate
from bough.runtime.attribute_places import Places
from bough.runtime.forest import Forest
from bough.runtime.linearize import Linearized
from bough.runtime.walker_columns import holds_objects, read_column
from bough.runtime.walker_layout import ROW, TABLE_WORDS, Layout, Word

Samples = list[tuple[Any, ...]]
"""Independent calls, each by its arguments."""
_GROWTH = 4
_PARTS = 8
"""Parts of the samples at the most: more than threads, since they are of unequal size."""
_CHANCES = 64
"""So often is a walk without references refused before it is tried no more."""
# Words that every walk sets; looking them up in the enumeration would take longer.
_SAMPLE_LIST, _SAMPLE_COUNT, _TEAM = int(Word.SAMPLES), int(Word.SAMPLE_COUNT), int(Word.TEAM)
# What a frame starts with: words of the log, entries of the table, bytes of arrays, samples.
_WORDS, _ENTRIES, _BLOCK, _SAMPLES = 1 << 12, 1 << 9, 1 << 16, 8


class Flat:
    """What compiled code takes of some samples: `pointers` in the order of its arrays, `sizes` in that of its sizes.

    Both, and the memory they refer to, are valid until it is filled again.
    """

    def __init__(
        self,
        layout: Layout,
        objects: dict[int, Any],
        places: Places,
        modes: list[int],
        counts: tuple[int, int],
        pointers: int,
        sizes: int,
        phase: tuple[int, int, int] | None = None,
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
        self._rooms: dict[int, Array] = {}
        self._size = _WORDS
        self._memory: list[Any] = []
        self._area: Any = None
        self._block: Any = None
        self._chances = _CHANCES
        self._parts = 1 if phase is None else _PARTS
        self._frames = (ctypes.c_int64 * (layout.size * self._parts))()
        words[Word.MOST_PARTS], words[Word.PHASE_FRAMES] = self._parts, ctypes.addressof(self._frames)
        words[Word.PHASE], words[Word.TEAM_RUN], words[Word.TEAM_PHASE] = phase or (0, 0, 0)
        for position, value in objects.items():
            words[position] = id(value)
        words[Word.PLACES], words[Word.MISSED] = places.address, id(places.missed)
        words[Word.KEPT], words[Word.COLUMNS] = id(self.kept), id(self.columns)
        words[Word.POINTERS], words[Word.SIZES] = ctypes.addressof(self.pointers), ctypes.addressof(self.sizes)
        self.set_modes(modes)
        self._allocate()
        self._allocate_table(_ENTRIES)
        self._allocate_block(_BLOCK)
        self._make_room(_SAMPLES)

    def take(self, samples: Samples, team: int = 0) -> None:
        """Gets ready for a walk over the samples, which must live until it ends. `team` points to a team that may share it."""
        count = len(samples)
        if count > self._room:
            self._make_room(count)
        words = self._words
        words[_SAMPLE_LIST], words[_SAMPLE_COUNT], words[_TEAM] = id(samples), count, team

    @property
    def owns(self) -> bool:
        """Whether this walk takes references to what it reads."""
        return bool(self._words[Word.OWNED])

    def own(self) -> None:
        """This walk takes references: without them it was refused."""
        self._words[Word.OWNED] = 1

    def borrow(self, refused: bool) -> None:
        """The next walk takes none, unless too many were `refused` that then went well with references."""
        self._chances -= refused
        self._words[Word.OWNED] = int(self._chances <= 0)

    def forget(self) -> None:
        """Lets go of all objects that are payloads."""
        self.kept.clear()
        self.columns[:] = [None] * len(self.columns)

    def spans(self, number: int) -> list[int]:
        """The ends of list `number` of each sample, with 0 in front."""
        stride = int(self._words[Word.SAMPLE_COUNT]) + 1
        base = int(self._words[Word.SPANS]) + 8 * stride * number
        return list((ctypes.c_int64 * stride).from_address(base))

    def set_modes(self, modes: Sequence[int]) -> None:
        for row, mode in enumerate(modes):
            self._words[self._layout.modes + row] = mode

    def met(self) -> Forest:
        """The forest that the walk has met, as long as its payloads are kept."""
        forest: Forest = ctypes.cast(int(self._words[Word.FOREST_MET]), ctypes.py_object).value
        return forest

    def enter(self, forest: Forest, modes: Sequence[int], first: bool) -> None:
        """Takes over the columns of a forest that the walk has met. Where they do not fit the walk, or where it is not the
        `first` forest of this walk, objects of forests are read like any others."""
        layout, words = self._layout, self._words
        self.leave(modes, plainly=True)
        found = {column: read_column(forest, column, layout.visits.members) for column in layout.columns}
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

    def room(self, row: int, size: int) -> Array:
        """Memory for the values of payload number `row`, the same as last time where that suffices."""
        held = self._rooms.get(row)
        if held is None or held.size < size:
            held = self._rooms[row] = allocate(size)
        return held

    def set_pointer(self, position: int, pointer: int) -> None:
        self.pointers[position] = pointer

    def grow(self) -> None:
        """More memory for the walk itself. Raises InputError before the machine's own runs out: objects that properties make
        when they are read may have no end."""
        if 8 * _GROWTH * self._size > _memory() // 4:
            if self._words[Word.MOST_PARTS] > 1:
                self._words[Word.MOST_PARTS] = 1  # a part has only its share of the memory
                return
            raise InputError(
                "there is not enough memory to linearize the structure",
                code="BGH-ST-006",
                because="what is noted of its objects would fill a quarter of the machine's memory",
                advice="pass fewer samples at once, or smaller structures",
            )
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
        self._table = np.zeros(TABLE_WORDS * entries * self._parts, np.int64)
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


@cache
def _memory() -> int:
    """Bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
        if column is None or column.shape[1:] != payload.shape or not _is_within(column, payload.range):
            return None
        found[row] = column
    return found


def _is_within(column: Array, bounds: tuple[int, int] | None) -> bool:
    return bounds is None or not column.size or (bounds[0] <= column.min() and column.max() <= bounds[1])
