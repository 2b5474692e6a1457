"""A compiled function that can be called: object code, constants and manifest put together."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from itertools import pairwise
from typing import Any
from weakref import WeakMethod

import numpy as np

from bough.base.records import Classes, maker
from bough.runtime import processor
from bough.runtime.apart import one_by_one, side_by_side
from bough.runtime.arrays import NUMPY, Array, address, aligned, allocate, to_torch, torch, torch_dtype
from bough.runtime.binding import bind, several
from bough.runtime.caller import Caller, Callers, Library, write_callers
from bough.runtime.errors import LoadError, damaged
from bough.runtime.failures import NO_MEMORY, Capacity, error_of, no_memory
from bough.runtime.loader import LoadedObject
from bough.runtime.manifest import Manifest
from bough.runtime.results import RESULTS
from bough.runtime.samples import Samples
from bough.runtime.team import Provider, Team, team_of
from bough.runtime.tensor_reader import READER, TensorReader

_POINTER = ctypes.c_void_p


class Executable:
    """Calls compiled code with torch tensors or NumPy arrays; results are of the library of the arguments.

    Immutable and re-entrant: calls from several threads run at the same time, one of them on the thread team. Arguments
    are not copied unless they are not contiguous; tensors that require gradients are used without them. `constants` holds
    bf16 as uint16 bit patterns. `threads` and `provider` default to the settings. `classes` are those of objects among
    results; named tuples of the same fields stand for others.
    Raises `LoadError` for code or constants that do not fit the manifest.
    """

    def __init__(
        self,
        manifest: Manifest,
        code: bytes | memoryview,
        constants: Mapping[str, Array],
        *,
        threads: int | None = None,
        provider: Provider | None = None,
        classes: Classes | None = None,
    ) -> None:
        lacking = processor.missing(manifest.features)
        if lacking:
            raise LoadError(
                f"the compiled code uses {', '.join(lacking)}, which this processor lacks",
                code="BGH-LD-006",
                because="it was compiled for another processor",
                advice="compile the model again on this machine, or for a target that it has",
            )
        self.manifest = manifest
        self.code = bytes(code)
        self.constants = {t.name: _constant(t.name, t.dtype, t.shape, constants) for t in manifest.constants}
        self.classes = classes or {}
        self._program = LoadedObject(code)
        self._entry = self._program.function(manifest.entry, ctypes.c_int32, _POINTER, _POINTER, _POINTER)
        self._team: Team | None = None
        if manifest.parallel:
            team = team_of(self._program, provider, threads)
            self._team = team if team.threads > 1 else None
        self._contexts: list[Context] = []
        self.capacity = Capacity()
        self.samples: Samples | None = None
        self._callers: dict[bool, Callers] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raises `InputError` for arguments that the function was not compiled for."""
        return self.call(*args, **kwargs)

    def map(self, inputs: Iterable[Any]) -> list[Any]:
        """`[self(x) for x in inputs]`, bit for bit; where the function takes several arguments, each input is a tuple. Computed
        together where there are `samples`; side by side, each on one thread, where its calls are better kept `apart`.

        Raises `InputError` for inputs that are not several, and what the first input to fail raises.
        """
        rows = several(self.manifest, inputs)
        if self.manifest.apart and len(rows) >= 2 * self.threads > 2:
            return side_by_side(self.on_one_thread.call, rows, self.threads)
        if self.samples is None or len(rows) < 2:
            return one_by_one(self.call, rows)
        return self.samples.map(rows)

    @cached_property
    def on_one_thread(self) -> Executable:
        """The same function, which does not ask for the team."""
        return Executable(self.manifest, self.code, self.constants, threads=1, classes=self.classes)

    @property
    def threads(self) -> int:
        return self._team.threads if self._team else 1

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What to call where every 100 ns count, as long as the executable is kept: `__call__` adds one call to it. The first
        call puts a function written for the manifest in its place."""
        return self._slow(args, kwargs)

    def _slow(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        bound = bind(self.manifest, args, kwargs)
        callers = self._callers.get(bound.of_torch)
        if callers is None:
            callers = self._callers[bound.of_torch] = self._write(bound.of_torch)
            self.__dict__["call"] = callers.quick
        return callers.flat(bound.tensors, bound.given)

    def _write(self, of_torch: bool) -> Callers:
        names = {
            **self.names(of_torch),
            "slow": loosely(self._slow),
            "UNFIT": (AttributeError, KeyError, RuntimeError, TypeError, ValueError),
        }
        return write_callers(self.manifest, library(of_torch), self._team is not None, names)

    def names(self, of_torch: bool) -> dict[str, Any]:
        """What the source of a caller uses of this executable, which it does not hold: weights go with the last name for it."""
        manifest, constants = self.manifest, self.constants
        names: dict[str, Any] = {
            **library(of_torch).names,
            "capacity": self.capacity,
            "take": self._contexts.pop,
            "give": self._contexts.append,
            "make": self._context_maker(),
            "fail": partial(_fail, manifest),
            "record": partial(maker, classes=self.classes),
            "NO_MEMORY": NO_MEMORY,
            "no_memory": no_memory,
            "constant": lambda name: _constant_out(manifest, constants, name, of_torch),
            "entry": self._entry,
            "program": self._program,
        }
        if self._team is not None:
            run = self._program.function("bough_team_run", ctypes.c_int32, _POINTER, _POINTER, _POINTER, _POINTER)
            names |= {
                "run": run,
                "expect": self._program.function("bough_team_expect", None, _POINTER),
                "team": self._team,
                "start": self._team.start,
                "entry": self._program.symbols[self.manifest.entry],
            }
        return names

    def tensor_reader(self) -> TensorReader | None:
        """What copies many tensors into one array, where the object holds it."""
        return TensorReader(self._program, self._team) if READER in self._program.symbols else None

    def _context_maker(self) -> Callable[[], Context]:
        return partial(Context, self.manifest, self.constants)


def loosely(method: Caller) -> Caller:
    """Calls the method of an object without keeping the object alive, for those that the object holds itself."""
    found = WeakMethod(method)

    def call(*args: Any, **kwargs: Any) -> Any:
        alive = found()
        if alive is None:
            raise ReferenceError("the compiled function is gone: keep it, not only its method `call`")
        return alive(*args, **kwargs)

    return call


class Context:
    """What one running call needs to itself: pointers, sizes, arena. Kept for the next call when it ends."""

    __slots__ = ("_fixed", "_storage", "address", "base", "capacity", "pointers", "scalars", "scalars_address")

    def __init__(self, manifest: Manifest, constants: Mapping[str, Array]) -> None:
        self.pointers = (ctypes.c_uint64 * max(1, len(manifest.buffers)))()
        self.scalars = (ctypes.c_int64 * max(1, len(manifest.scalars)))()
        self.address = ctypes.addressof(self.pointers)
        self.scalars_address = ctypes.addressof(self.scalars)
        self._fixed: list[tuple[int, int]] = []
        for position, buffer in enumerate(manifest.buffers):
            if buffer.source == "constant" and isinstance(buffer.offset, int):
                self.pointers[position] = constants[str(buffer.key)].ctypes.data + buffer.offset
            elif buffer.source == "arena" and isinstance(buffer.offset, int):
                self._fixed.append((position, buffer.offset))
        self.grow(manifest.arena if isinstance(manifest.arena, int) else 0)

    def grow(self, size: int) -> None:
        """Makes the arena at least so large; what was in it is lost. Raises `InputError` where there is not so much memory."""
        try:
            self._storage = allocate(size)
        except NO_MEMORY:
            raise no_memory(size) from None
        self.capacity = size
        self.base = address(self._storage)
        for position, offset in self._fixed:
            self.pointers[position] = self.base + offset


def _constant_out(manifest: Manifest, constants: Mapping[str, Array], name: Any, of_torch: bool) -> Any:
    """A copy: the caller may write to it."""
    copy = constants[name].copy()
    dtype = next(t.dtype for t in manifest.constants if t.name == name)
    return to_torch(copy, dtype) if of_torch else copy


def _fail(manifest: Manifest, status: int) -> None:
    raise error_of(manifest, status)


def _constant(name: str, dtype: str, shape: tuple[Any, ...], constants: Mapping[str, Array]) -> Array:
    array = constants.get(name)
    if array is None:
        raise damaged("the compiled function", f"constant {name} is missing")
    if array.dtype != NUMPY[dtype] or array.shape != shape:
        raise damaged(
            "the compiled function",
            f"constant {name} is {array.dtype} of shape {list(array.shape)}, not {dtype} of shape {list(shape)}",
        )
    return aligned(array)


def _cut_array(array: Array, shape: tuple[int, ...]) -> Array:
    return np.ascontiguousarray(array[tuple(map(slice, shape))])


def _cut_tensor(tensor: Any, shape: tuple[int, ...]) -> Any:
    return tensor[tuple(map(slice, shape))].contiguous()


def _array_stack(arrays: Sequence[Array]) -> Array:
    """Arrays of one rank as rows, zero behind the ends of those that are smaller than others."""
    shapes = [a.shape for a in arrays]
    most = tuple(map(max, zip(*shapes, strict=True)))
    if all(shape == most for shape in shapes):
        return np.stack(arrays)
    rows = np.zeros((len(arrays), *most), arrays[0].dtype)
    for row, a in zip(rows, arrays, strict=True):
        row[tuple(map(slice, a.shape))] = a
    return rows


def _tensor_stack(tensors: Sequence[Any]) -> Any:
    shapes = [t.shape for t in tensors]
    most = tuple(map(max, zip(*shapes, strict=True)))
    if all(shape == most for shape in shapes):
        return torch().stack(tensors)
    if len({shape[1:] for shape in shapes}) == 1:
        return torch().nn.utils.rnn.pad_sequence(tensors, batch_first=True)
    rows = tensors[0].new_zeros((len(tensors), *most))
    for row, t in zip(rows, tensors, strict=True):
        row[tuple(map(slice, t.shape))] = t.detach()
    return rows


def _array_rows(array: Array) -> list[Array]:
    return [array[n, ...] for n in range(len(array))]


def _tensor_rows(tensor: Any) -> Any:
    return tensor.unbind(0)


def _array_parts(array: Array, ends: Sequence[int]) -> list[Array]:
    return [array[begin:end] for begin, end in pairwise(ends)]


def _tensor_parts(tensor: Any, ends: Sequence[int]) -> Any:
    return tensor.split_with_sizes([end - begin for begin, end in pairwise(ends)])


_NUMPY_LIBRARY = Library(
    is_quick="type({x}) is ndarray and {x}.dtype == {d} and {x}.flags.c_contiguous and {x}.flags.aligned",
    pointer="address({x})",
    create="empty({shape}, {e})",
    create_fixed="empty({shape}, {e})",
    create_large="large({shape}, {n})",
    example=lambda dtype, _: NUMPY[dtype],
    dtype=NUMPY.__getitem__,
    names={"ndarray": np.ndarray, "empty": np.empty, "address": address, "large": RESULTS.array, "cut": _cut_array,
           "stack": _array_stack, "rows": _array_rows, "parts": _array_parts,
           "numbers": lambda numbers: np.array(numbers, np.int64)},
)


def library(of_torch: bool) -> Library:
    """How results are made: as torch tensors or as NumPy arrays."""
    return _torch_library() if of_torch else _NUMPY_LIBRARY


def _torch_library() -> Library:
    module = torch()
    return Library(
        is_quick="type({x}) in TENSORS and {x}.dtype is {d} and {x}.is_cpu and {x}.is_contiguous() and not {x}.is_neg()",
        pointer="{x}.data_ptr()",
        create="{e}.new_empty({sizes})",
        create_fixed="empty_like({e})",
        create_large="to_torch(large({shape}, {n}), {n})",
        example=lambda dtype, shape: module.empty(shape, dtype=torch_dtype(dtype), device="cpu"),
        dtype=torch_dtype,
        names={"TENSORS": frozenset((module.Tensor, module.nn.Parameter)), "empty_like": module.empty_like,
               "large": RESULTS.array, "to_torch": to_torch, "cut": _cut_tensor, "stack": _tensor_stack, "rows": _tensor_rows,
               "parts": _tensor_parts, "numbers": lambda numbers: module.tensor(numbers, dtype=module.int64)},
    )
