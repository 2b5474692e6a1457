"""Where objects of plain classes keep their attributes, so that the native walk reads them without asking the interpreter.

CPython 3.11 gives an object of a class without `__slots__` an array of values, with one place for each name that objects of the
class have had, which its dictionary takes over when somebody asks for that; with `__slots__`, attributes have places in the
object itself. A place holds for a type as long as the type has the same version, a number that the interpreter changes with
everything that changes how attributes are found. The walk notes objects whose places it does not know; they are learned from
those objects behind the walk. Where nothing can be learned, and in other versions of Python, the walk asks the interpreter.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from enum import Enum
from functools import cache
from types import MemberDescriptorType
from typing import Any

NO_PLACE, NOTED = -1, 64
"""What the table says of attributes without a place; so long the list of what it misses becomes."""
ENTRIES, WORDS = 1024, 4
"""Of the table: entries, a power of two, and the words of an entry: a type, the name's word, the type's version, the place."""
TYPE_VERSION, TYPE_KEYS = 384, 872
"""Where CPython keeps the version of a type, and the names that objects of the type have had: bytes from the type."""
VALUES, DICTIONARY = -32, -24
"""Where it keeps the address of an object's values, and that of its dictionary once somebody has asked for it, as `vars`, `copy`
and `pickle` do: bytes from the object. The dictionary has the values then."""
DICTIONARY_KEYS, DICTIONARY_VALUES = 32, 40
"""Where a dictionary has the names, which are those of the type unless it was some other object's, and the values."""
_TRIES = 64
"""So many walks are learned from at the most: types that take turns in one entry of the table are not worth more."""
_HEAD = 2
"""Words in front of what an object holds."""
_OWN_VALUES = 1 << 4
"""The flag of types whose objects have an array of values."""
_NOTHING = object()
_ENUM = {id(vars(Enum)[name]): f"_{name}_" for name in ("value", "name")}
"""Properties of the standard library's enumerations, with the attributes that they give."""


class Places:
    """A table of the places of attributes. `words` says which word of a frame has which name. `missed` are the objects and names,
    in turns, that the walk did not know places for; it notes no more than `NOTED` of both."""

    def __init__(self, words: Mapping[str, int]) -> None:
        self.missed: list[Any] = []
        self._words = words
        self._table = (ctypes.c_int64 * (ENTRIES * WORDS))()
        self._tries = 0
        self.address = ctypes.addressof(self._table)
        self._allow(_TRIES if _is_known() else 0)

    def learn(self) -> None:
        """Learns from what was missed. Classes may change meanwhile, in another thread."""
        if not self._tries:
            return
        pairs = self.missed[:]
        self.missed.clear()
        for obj, name in zip(pairs[::2], pairs[1::2]):
            kind: type = type(obj)
            version = _version(kind)
            place = place_of(obj, name)
            if place is not None and version and (type(obj), _version(kind)) == (kind, version):
                self._enter(kind, self._words[name], version, place)
        self._allow(max(0, self._tries - 1))

    def _allow(self, tries: int) -> None:
        self._tries = tries
        if not tries:
            self.missed.extend([None] * (NOTED + 1))

    def _enter(self, kind: type, name: int, version: int, place: int) -> None:
        """The type comes last: a walk that another thread interrupts this for must not take half an entry."""
        at = WORDS * entry_of(id(kind), name)
        self._table[at] = 0
        self._table[at + 1], self._table[at + 2], self._table[at + 3] = name, version, place
        self._table[at] = id(kind)


def entry_of(kind: int, name: int) -> int:
    """The number of the entry for a type, by its address, and a name, by its word."""
    return ((kind >> 4) ^ (kind >> 9) ^ name) & (ENTRIES - 1)


def place_of(obj: Any, name: str) -> int | None:
    """Twice the distance in bytes of the attribute from the object, or from its values, then one more; `NO_PLACE` where the class
    has it in no such place, None where this object does not tell."""
    kind = type(obj)
    if _of_class(kind, "__getattribute__") is not vars(object)["__getattribute__"]:
        return NO_PLACE
    of_class = _of_class(kind, name)
    if id(of_class) in _ENUM:
        name = _ENUM[id(of_class)]
        of_class = _of_class(kind, name)
    if type(of_class) is MemberDescriptorType and "__slots__" in vars(of_class.__objclass__):
        values, count = id(obj) + 8 * _HEAD, _of_type(kind, "__basicsize__") // 8 - _HEAD
        found = [n for n in range(count) if _word(values + 8 * n) != 0]
        first, odd = 8 * _HEAD, 0
    elif _of_type(kind, "__flags__") & _OWN_VALUES and not hasattr(type(of_class), "__get__"):
        values = values_of(obj)
        if values == 0:
            return None
        found, first, odd = _places(values), 0, 1
    else:
        return NO_PLACE
    try:
        value = object.__getattribute__(obj, name)
    except (AttributeError, TypeError):
        return None
    found = [n for n in found if _word(values + 8 * n) == id(value)]
    if len(found) == 2 and name == "_value_" and getattr(obj, "_sort_order_", _NOTHING) is value:
        found = found[:1]  # an enumeration's member has its value before it gets its number, which is often the same
    if value is of_class or len(found) != 1 or not _version(kind):
        return None
    return 2 * (first + 8 * found[0]) + odd


def values_of(obj: Any) -> int:
    """The address of the values of an object that has such an array; 0: it has none now."""
    values, dictionary = _word(id(obj) + VALUES), _word(id(obj) + DICTIONARY)
    if values == 0 and dictionary != 0 and _word(dictionary + DICTIONARY_KEYS) == _word(id(type(obj)) + TYPE_KEYS):
        return _word(dictionary + DICTIONARY_VALUES)
    return values


def _of_class(kind: type, name: str) -> Any:
    """What the class itself has of that name."""
    own = (_of_type(k, "__dict__") for k in _of_type(kind, "__mro__"))
    return next((names[name] for names in own if name in names), _NOTHING)


def _of_type(kind: type, name: str) -> Any:
    """What the interpreter itself has of a type, whatever its metaclass says."""
    return vars(type)[name].__get__(kind)


def _places(values: int) -> list[int]:
    """The places of an array of values that are taken: the bytes in front of it say how many, and then which, in their order."""
    count = ctypes.c_uint8.from_address(values - 2).value
    return [ctypes.c_uint8.from_address(values - 3 - n).value for n in range(count)]


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


def _version(kind: type) -> int:
    """0: none."""
    return ctypes.c_uint32.from_address(id(kind) + TYPE_VERSION).value


@cache
def _is_known() -> bool:
    """Whether objects of this Python look as this module takes for granted, by examples of both kinds."""
    if sys.implementation.name != "cpython" or sys.version_info[:2] != (3, 11):
        return False

    class Plain:
        def __init__(self) -> None:
            self.first, self.second = object(), object()

    class Slotted:
        __slots__ = ("first", "second")

        def __init__(self) -> None:
            self.first, self.second = object(), object()

    looked_at = Plain()
    vars(looked_at)
    for obj in (looked_at, Plain(), Slotted()):
        place = place_of(obj, "second")
        if place is None or place < 0:
            return False
        base = values_of(obj) if place % 2 else id(obj)
        before = _version(type(obj))
        type(obj).third = None  # type: ignore[union-attr]
        if _word(base + place // 2) != id(obj.second) or _version(type(obj)) == before:
            return False
    return True
