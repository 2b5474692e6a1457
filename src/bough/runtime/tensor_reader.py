"""Reads tensors that are payloads by DLPack's interface for C programs, which PyTorch offers: no Python between the elements.

A tensor is described by the words of `Described`, which are DLPack's `DLTensor`; what it has to be, by those of `Form`.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from enum import IntEnum
from itertools import accumulate
from math import prod
from typing import Any

from bough.base.visits import Payload
from bough.runtime.arrays import NUMPY, Array, address, torch
from bough.runtime.linearizer_columns import Stacked
from bough.runtime.loader import LoadedObject
from bough.runtime.team import Team

READER = "bough_walk_tensors"
"""The native function that does it."""
CHUNK = 1 << 14
"""Bytes that a thread copies at a time, at least: a few microseconds."""
KEPT = 64
"""Forms that are kept: functions of many sizes meet many shapes."""
_ALIGNMENT = 64
_MAJOR, _CONVERTER, _CPU = 1, 5, 1
"""Version of the interface, the word of its table that is the function called here, and the number of the device."""
_DLPACK = {"i8": (0, 8), "i16": (0, 16), "i32": (0, 32), "i64": (0, 64), "u8": (1, 8), "f16": (2, 16), "f32": (2, 32),
           "f64": (2, 64), "bf16": (4, 16), "bool": (6, 8)}  # fmt: skip
"""Element types: DLPack's code, and bits."""


class Described(IntEnum):
    """The words of a `DLTensor`."""

    DATA = 0
    DEVICE = 1
    """Its kind and its number, as two numbers of 32 bits."""
    KIND = 2
    """The rank as a number of 32 bits, then the element type: code and bits of 8 bits each, lanes of 16."""
    SIZES = 3
    STRIDES = 4
    OFFSET = 5


class Form(IntEnum):
    """What tensors have to be; behind these words, their sizes and strides."""

    CONVERTER = 0
    TENSOR = 1
    PARAMETER = 2
    """The addresses of the two types."""
    DEVICE = 3
    KIND = 4
    RANK = 5
    BYTES = 6


class Order(IntEnum):
    """The words of an order to copy tensors into one array, in chunks of some tensors each. What changes meanwhile has a cache
    line of its own."""

    VALUES = 0
    """The Python list of them."""
    COUNT = 1
    FORM = 2
    """The address of the words of their `Form`."""
    SOURCES = 3
    """Where there is room for the addresses of their elements."""
    TARGET = 4
    BYTES = 5
    """Of a tensor."""
    STEP = 6
    """Tensors of a chunk."""
    OWNER = 7
    """The thread that holds Python's lock, as POSIX calls it."""
    LOOKED = 16
    """How many have been looked at; negative: one of them is not of the form."""
    END = 24


class TensorReader:
    """Copies tensors by the native code of a program that has `bough_walk_tensors`, on `team` if it is given and started."""

    def __init__(self, program: LoadedObject, team: Team | None = None) -> None:
        chunk, run = (ctypes.PYFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * n) for n in (2, 4))
        self._chunk = chunk(program.symbols[READER])
        self._run = run(program.symbols["bough_team_run"]) if team else None
        self._program, self._team = program, team
        self._forms: dict[Payload, Any] = {}

    def read(self, values: list[Any], payload: Payload, room: Callable[[int], Array]) -> Stacked | None:
        """The values one after another in memory that `room` gives for so many bytes; None where one of them is no plain tensor
        of the payload's element type and shape."""
        form = self._form(payload)
        if form is None:
            return None
        count, size = len(values), form[Form.BYTES]
        rows = -(-count * size // _ALIGNMENT) * _ALIGNMENT
        target = room(rows + 8 * count)
        pointer = address(target)
        if not self._copy(values, form, pointer + rows, pointer):
            return None
        return Stacked(pointer, target)

    def read_into(self, values: list[Any], payload: Payload, target: int) -> bool:
        """The same into memory at the address `target`, whatever its alignment; False where one of them is of another form."""
        form = self._form(payload)
        sources = (ctypes.c_int64 * len(values))()
        return form is not None and self._copy(values, form, ctypes.addressof(sources), target)

    def _form(self, payload: Payload) -> Any:
        form = self._forms.get(payload)
        if form is None and (form := form_of(payload)) is not None:
            if len(self._forms) >= KEPT:
                self._forms.clear()
            self._forms[payload] = form
        return form

    def _copy(self, values: list[Any], form: Any, sources: int, target: int) -> bool:
        """Whether all values are of the form. Holds Python's lock, so that no other thread takes the memory of one away."""
        count, size = len(values), form[Form.BYTES]
        step = -(-CHUNK // size)
        chunks = -(-count // step)
        words = (id(values), count, ctypes.addressof(form), sources, target, size, step, threading.get_ident())
        order = (ctypes.c_int64 * Order.END)(*words)
        team = self._team
        if self._run and team and team.pointer and chunks >= team.threads:  # no fewer: the others wait for this thread
            symbols = self._program.symbols
            phase = (ctypes.c_int64 * 3)(symbols[READER], ctypes.addressof(order), chunks)
            self._run(team.pointer, symbols["bough_team_one_phase"], ctypes.addressof(phase), 0)
        else:
            for number in range(chunks):
                self._chunk(ctypes.addressof(order), number)
        return bool(order[Order.LOOKED] == count)


def form_of(payload: Payload) -> ctypes.Array[ctypes.c_int64] | None:
    """The form of tensors with this payload's element type and shape; None where they have to be read otherwise.

    DLPack does not tell of a tensor whose elements are to be negated, as in the imaginary part of a conjugate. That has every
    other element of its memory, so it takes more than one element to see by the strides that it is none.
    """
    module = torch()
    if module is None or payload.range is not None or prod(payload.shape) <= 1 or payload.dtype not in _DLPACK:
        return None
    converter = _converter(module)
    if converter is None:
        return None
    rank, (code, bits) = len(payload.shape), _DLPACK[payload.dtype]
    kind = rank | code << 32 | bits << 40 | 1 << 48
    size = NUMPY[payload.dtype].itemsize * prod(payload.shape)
    strides = [1, *accumulate(reversed(payload.shape[1:]), lambda a, b: a * b)][::-1]
    words = [converter, id(module.Tensor), id(module.nn.Parameter), _CPU, kind, rank, size, *payload.shape, *strides]
    return (ctypes.c_int64 * len(words))(*words)


def _converter(module: Any) -> int | None:
    """The address of `dltensor_from_py_object_no_sync(object, DLTensor*)`."""
    table = getattr(module.Tensor, "__dlpack_c_exchange_api__", None)
    if table is None:
        return None
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))
    start = pointer(table, b"dlpack_exchange_api")
    if ctypes.c_uint32.from_address(start).value != _MAJOR:
        return None
    return int(ctypes.c_int64.from_address(start + 8 * _CONVERTER).value) or None
