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
from functools import partial
from typing import Any

from bough.base.errors import InternalError
from bough.base.reading import belongs, check_members
from bough.base.visits import Member, Names, Payload, Visits
from bough.runtime.attribute_places import NOTED, Places
from bough.runtime.linearize import linearize
from bough.runtime.linearizer_columns import Stacked, stack, take
from bough.runtime.linearizer_flat import Flat, Samples
from bough.runtime.loader import LoadedObject
from bough.runtime.team import Team
from bough.runtime.tensor_reader import READER, TensorReader
from bough.runtime.walker_columns import holds_objects
from bough.runtime.walker_layout import NUMBER, OBJECT, Layout, Status

Walk = Callable[[int], int]


class Linearizer:
    """Fills pointers and sizes for compiled code that takes `arrays` and `sizes`, names of `bough.base.visits.Names`.

    `program` holds the native walk for the same visits and names; without it the reference does the work. `team` copies
    tensors, if the program has one. Safe for use by several threads, each with a `Flat` of its own.
    """

    def __init__(
        self,
        visits: Visits,
        arrays: Sequence[str],
        sizes: Sequence[str],
        program: LoadedObject | None = None,
        team: Team | None = None,
    ) -> None:
        self.visits, self.arrays, self.sizes = visits, tuple(arrays), tuple(sizes)
        self.layout = Layout(visits)
        self._objects = _python_objects(self.layout)
        self._places = Places({name: word for (kind, name), word in self.layout.objects.items() if kind is str})
        self._missed = self._places.missed
        self._modes = [NUMBER] * len(self.layout.payloads)
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
        self._team = team
        self._phase = _phase(program) if self._walk and team else None
        reads_tensors = self._walk and program and READER in program.symbols
        self._tensors = TensorReader(program, team) if program and reads_tensors else None

    def __call__(self, samples: Sequence[tuple[Any, ...]]) -> Flat:
        """The arrays and sizes of independent calls. Raises InputError for objects that the functions do not take."""
        flat = self.flat()
        self.fill(flat, list(samples))
        return flat

    def flat(self, pointers: int = 0, sizes: int = 0) -> Flat:
        """A place for arrays and sizes; their addresses and values go where `pointers` and `sizes` say, by default to
        memory of its own."""
        counts = len(self.arrays), len(self.sizes)
        return Flat(self.layout, self._objects, self._places, self._modes, counts, pointers, sizes, self._phase)

    def fill(self, flat: Flat, samples: Samples) -> None:
        """Linearizes the samples, in place of what `flat` held before."""
        if self._walk is None:
            return self._refer(flat, samples)
        flat.take(samples, self._team.pointer if self._team else 0)
        status = self._walk(flat.frame)
        done = not status or self._mended(self._walk, flat, status)
        if 0 < len(self._missed) <= NOTED:
            self._places.learn()
        if not done:
            return self._refer(flat, samples)
        if (flat.forest is not None or any(flat.columns)) and not self._stack(flat):
            self._refer(flat, samples)

    def _mended(self, walk: Walk, flat: Flat, status: int) -> bool:
        """What `_again` says; the next walk is one without references again."""
        owned, done = flat.owns, False
        try:
            done = self._again(walk, flat, status)
        finally:
            flat.borrow(refused=done and flat.owns and not owned)
        return done

    def _again(self, walk: Walk, flat: Flat, status: int) -> bool:
        """Mends what a walk has ended with and repeats it until it is done. False where it cannot be mended."""
        entered = False
        while status:
            if status == Status.BLOCK_FULL:
                flat.grow_block()
                status = self._arrange(flat.frame) if flat.owns else walk(flat.frame)
                continue
            forest = flat.met() if status == Status.FOREST else None
            flat.forget()
            if forest is not None:
                flat.enter(forest, self._modes, first=not entered)
                entered = True
            elif status == Status.REFUSED and not flat.owns:
                flat.own()
            elif status == Status.FULL:
                flat.grow()
            elif status == Status.TABLE_FULL:
                flat.grow_table()
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
                stacked = self._tensors.read(values, payload, partial(flat.room, row)) if self._tensors else None
                stacked = stacked or stack(values, payload)
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
        flat.forget()
        flat.expect_forests()
        flat.copy(linearize(self.visits, samples), self.arrays, self.sizes)


class _Classes:
    """`question[type]`: whether a type belongs to the classes of a question, by their names. Raises InputError for types without
    the `members`."""

    def __init__(self, names: tuple[str, ...], members: tuple[Member, ...]) -> None:
        self.names, self.members = names, members

    def __getitem__(self, kind: type) -> bool:
        """The walk keeps the answer for as long as the type has the same version, which it gets when somebody looks into it."""
        getattr(kind, "__hash__", None)
        check_members(kind, self.members)
        return belongs(kind, self.names)


def _python_objects(layout: Layout) -> dict[int, Any]:
    """What the words of a frame refer to."""
    found: dict[int, Any] = {position: sys.intern(v) if type(v) is str else v for (_, v), position in layout.objects.items()}
    for asked, position in layout.questions.items():
        of_elements = isinstance(asked[0], Member)
        found[position] = _Classes(("builtins.object",), asked) if of_elements else _Classes(asked, layout.visits.members)
    return found


def _functions(program: LoadedObject | None) -> tuple[Walk | None, Walk]:
    if program is None or "bough_walk" not in program.symbols or not is_supported():
        return None, _missing
    kind = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
    walk, arrange = (kind(program.symbols[name]) for name in ("bough_walk", "bough_walk_arrange"))
    walk.loaded_object = program  # type: ignore[attr-defined]
    return walk, arrange


def _phase(program: LoadedObject | None) -> tuple[int, int, int] | None:
    """What a team needs to walk parts of the samples: the function for a part, and how it is called."""
    names = ("bough_walk_part", "bough_team_run", "bough_team_one_phase")
    if program is None or any(name not in program.symbols for name in names):
        return None
    return program.symbols[names[0]], program.symbols[names[1]], program.symbols[names[2]]


def _missing(frame: int) -> int:
    raise InternalError("there is no native walk")


def is_supported() -> bool:
    """Whether objects of this Python have the form that the native walk reads: the type in their second word, the length of lists
    and tuples in their third, and behind it the items of a tuple, or the address of those of a list."""
    if platform.python_implementation() != "CPython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return False
    probes: tuple[Any, ...] = (None, 1, "text", [], (), object())
    pair: tuple[Any, ...] = (probes, is_supported)
    listed = [*pair]
    if ctypes.sizeof(ctypes.c_void_p) != 8 or any(_words(id(p), 2)[1] != id(type(p)) for p in probes):
        return False
    if _words(id(pair), 5)[2:] != [2, *map(id, pair)]:
        return False
    count, items = _words(id(listed), 4)[2:]
    return count == 2 and _words(items, 2) == [*map(id, pair)]


def _words(address: int, count: int) -> list[int]:
    return list((ctypes.c_int64 * count).from_address(address))
