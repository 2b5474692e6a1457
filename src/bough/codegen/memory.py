"""Loads and stores: where an element lies, and which vector operation reaches the elements of all lanes."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from math import gcd
from typing import Any

from llvmlite import ir

from bough.base.errors import InternalError
from bough.codegen import llvm_types as t
from bough.codegen.arithmetic import from_memory, to_memory
from bough.codegen.indices import as_operand, materialize, product
from bough.codegen.linear import LANE, ZERO, Linear
from bough.codegen.state import Emission, Lanes, Operand, Scope, Storage
from bough.ir.dtypes import I64
from bough.ir.loops import Buffer

CACHE_LINE = 64
SLOT = 8
"""Bytes of one entry of the arrays of buffers, scalars and captured values."""
WIDEST_STEP = 4
"""The largest distance of the elements of neighbouring lanes at which whole vectors are read for them."""


class Place:
    """The elements that the lanes address: `start` from the buffer's first, and, off it, `scattered` or by `step`."""

    def __init__(self, storage: Storage, index: Sequence[Operand], em: Emission, lanes: int) -> None:
        if len(index) != len(storage.strides):
            raise InternalError(f"{storage.buffer.name} has {len(storage.strides)} dimensions, indexed by {len(index)}")
        self.storage = storage
        start, self.scattered = ZERO, None
        for i, stride in zip(index, storage.strides, strict=True):
            product = _times(em, i, stride, lanes)
            if isinstance(product, Linear):
                start = start + product
            else:
                self.scattered = product if self.scattered is None else em.builder.add(self.scattered, product)
        self.start, self.step = start.uniform, start.lane
        if self.scattered is not None and self.step:
            steps = t.iota(t.INT64, lanes, self.step)
            self.scattered, self.step = em.builder.add(self.scattered, steps), 0

    @property
    def uniform(self) -> bool:
        """Whether all lanes address one element."""
        return self.scattered is None and self.step == 0

    @property
    def contiguous(self) -> bool:
        return self.scattered is None and self.step == 1

    def moved(self, elements: int) -> Place:
        """The place so many elements further on."""
        other = copy(self)
        other.start = self.start + Linear(elements)
        return other

    @property
    def align(self) -> int:
        """The alignment in bytes that is known of the first element."""
        return gcd(self.start.factor() * self.storage.buffer.dtype.bytes, self.storage.buffer.align)

    def in_padding(self, lanes: int) -> bool:
        """Whether the elements of all lanes are known to lie in private memory, though not all in the buffer."""
        s = self.storage
        return s.private and s.size is not None and self.start.within(0, s.size, 0) and lanes * s.buffer.dtype.bytes <= 256


@dataclass(frozen=True, slots=True)
class WaitingStore:
    """The first `lanes` elements of a vector go to places that are a step apart; maybe later."""

    place: Place
    value: Any
    lanes: int


def _times(em: Emission, index: Operand, stride: Operand, lanes: int) -> Operand:
    if isinstance(index, Linear) and isinstance(stride, Linear):
        if stride.is_constant:
            return index.scaled(stride.const)
        if not index.lane:
            whole = stride.scaled(index.const) + Linear(0, index.terms).scaled(stride.const)
            return whole + product(em, index.terms, stride.terms) if index.terms else whole
    wide = t.splat(em.builder, materialize(em, index, lanes), lanes)
    return em.builder.mul(wide, t.splat(em.builder, materialize(em, stride, lanes), lanes))


def load(em: Emission, scope: Scope, name: str, index: Sequence[Operand]) -> Operand:
    """The element at `index` of a buffer, in each lane; lanes that the mask leaves out may hold anything."""
    storage = scope.buffer(name)
    dtype, lanes = storage.buffer.dtype, scope.lanes
    place = Place(storage, index, em, scope.lane_count)
    kind = t.memory_type(dtype, 0 if place.uniform else scope.lane_count)
    if place.uniform:
        if lanes is None or lanes.certain or place.in_padding(1):
            if dtype == I64 and storage.fixed:  # its address will be asked for again, to the element
                number: Operand = em.once(("load", storage, place.start), lambda: as_operand(_load(em, scope, place, kind)))
                return number
            raw = _load(em, scope, place, kind)
        else:
            raw = em.merge(
                em.any_lane(lanes.mask), lambda: _load(em, scope.child(), place, kind), lambda: ir.Constant(kind, None)
            )
    elif place.contiguous:
        assert lanes is not None
        if lanes.mask is None or place.in_padding(lanes.count):
            raw = _load(em, scope, place, kind)
        else:
            raw = _masked_load(em, scope, place, kind, lanes.mask)
    elif 2 <= place.step <= WIDEST_STEP and scope.lanes is not None and scope.lanes.mask is None:
        raw = _strided_load(em, scope, place, kind)
    else:
        assert lanes is not None
        raw = _gather(em, scope, place, kind, lanes.mask)
    value = from_memory(em.builder, raw, dtype)
    return as_operand(value) if dtype == I64 else value


def store(em: Emission, scope: Scope, name: str, index: Sequence[Operand], value: Operand) -> None:
    """Writes `value` to the element at `index` of a buffer, in the lanes that the mask lets run."""
    storage = scope.buffer(name)
    dtype, lanes = storage.buffer.dtype, scope.lanes
    place = Place(storage, index, em, scope.lane_count)
    raw = to_memory(em.builder, materialize(em, value, scope.lane_count), dtype)
    if lanes is None or (place.uniform and not t.lanes_of(raw)):
        if lanes is None or lanes.certain:
            store_at(em, scope, place, raw)
        else:
            with em.when(em.any_lane(lanes.mask)):
                store_at(em, scope.child(), place, raw)
        return
    wide = t.splat(em.builder, raw, lanes.count)
    if place.scattered is None and place.step > 1 and (active := _active(lanes)):
        strided = WaitingStore(place, wide, active)
        if em.waiting is None:
            store_by_element(em, scope, strided)
        else:
            em.waiting.append(strided)
    elif not place.contiguous:
        _scatter(em, scope, place, wide, lanes.mask)
    elif lanes.mask is None:
        store_at(em, scope, place, wide)
    elif place.in_padding(lanes.count):
        before = _load(em, scope, place, wide.type)
        store_at(em, scope, place, em.builder.select(lanes.mask, wide, before))
    else:
        _masked_store(em, scope, place, wide, lanes.mask)


def fetch(em: Emission, scope: Scope, name: str, index: Sequence[Operand]) -> None:
    """Begins to move the cache line of an element to the second of the caches: it waits there for longer than in the first."""
    place = Place(scope.buffer(name), index, em, 0)
    to_read, kept, data = t.int32(0), t.int32(2), t.int32(1)
    t.call(em.builder, "llvm.prefetch.p0", t.VOID, [address(em, scope, place), to_read, kept, data])


def address(em: Emission, scope: Scope, place: Place) -> Any:
    """The pointer to the first element. What code on different constants shares is worked out once.

    Nothing is claimed about its staying inside the buffer: under a mask, and on the way, it may leave it.
    """
    storage, terms, b = place.storage, place.start.terms, em.builder
    kind = t.memory_type(storage.buffer.dtype)
    pointer = base_pointer(em, storage)
    if terms:
        base = pointer
        pointer = em.once((storage, terms), lambda: b.gep(base, [materialize(em, Linear(0, terms))], source_etype=kind))
    if place.start.const:
        whole, step = pointer, t.int64(place.start.const)
        pointer = em.once((storage, place.start), lambda: b.gep(whole, [step], source_etype=kind))
    return pointer


def base_pointer(em: Emission, storage: Storage) -> Any:
    """The pointer to a buffer's first element; the host reads those of its arguments where it uses them."""
    if storage.pointer is not None:
        return storage.pointer
    assert em.host is not None
    return slot_value(em, em.host.arrays, em.host.positions[storage.buffer.name], t.POINTER)


def part_of(em: Emission, scope: Scope, buffer: Buffer, whole: str, start: Operand) -> Storage:
    """A buffer in the bytes of another."""
    strides, count = constant_strides(buffer)
    base = base_pointer(em, scope.buffer(whole))
    pointer = em.builder.gep(base, [materialize(em, start)], inbounds=True, source_etype=t.INT8)
    return Storage(buffer, pointer, strides, count, False)


def constant_strides(buffer: Buffer) -> tuple[tuple[Operand, ...], int]:
    """The distances between neighbours in a buffer of constant size, and how many elements it has."""
    count, strides = 1, list[Operand]()
    for extent in reversed(buffer.shape):
        if not isinstance(extent, int):
            raise InternalError(f"{buffer.name} is allocated with a size that is not constant")
        strides.append(Linear(count))
        count *= extent
    return tuple(reversed(strides)), count


def _load(em: Emission, scope: Scope, place: Place, kind: Any) -> Any:
    return _tag(em.builder.load(address(em, scope, place), align=place.align, typ=kind), place, "loads")


def _strided_load(em: Emission, scope: Scope, place: Place, kind: Any) -> Any:
    """Every second, third or fourth element: whole vectors, which end with the last one, and shuffles."""
    count, step = kind.count, place.step
    last, taken = (step - 1) * (count - 1), step
    raw = _load(em, scope, place, kind)
    for start in [*range(count, last, count), last]:
        part = _load(em, scope, place.moved(start), kind)
        picks = [n * taken if n * step < start else count + n * step - start for n in range(count)]
        raw = em.builder.shuffle_vector(raw, part, t.constant_vector([p if p < 2 * count else 0 for p in picks]))
        taken = 1
    return raw


def store_at(em: Emission, scope: Scope, place: Place, raw: Any) -> None:
    """Writes a value, scalar or vector, to memory from the place on."""
    _tag(em.builder.store(raw, address(em, scope, place), align=place.align), place, "stores")


def store_by_element(em: Emission, scope: Scope, strided: WaitingStore) -> None:
    """One element after the other: what processors do when they scatter, in a third of the time."""
    place = strided.place
    for n in range(strided.lanes):
        store_at(em, scope, place.moved(n * place.step), em.builder.extract_element(strided.value, t.int32(n)))


def _active(lanes: Lanes) -> int:
    """How many lanes run, if they are known to stand before those that do not; else 0."""
    if lanes.mask is None:
        return lanes.count
    bits = [bool(b.constant) for b in lanes.mask.constant] if t.is_constant(lanes.mask) else []
    return sum(bits) if bits == sorted(bits, reverse=True) else 0


def _tag(instruction: Any, place: Place, role: str) -> Any:
    for use, name, node in place.storage.tags:
        if use == role:
            instruction.set_metadata(name, node)
    return instruction


def _masked_load(em: Emission, scope: Scope, place: Place, kind: Any, mask: Any) -> Any:
    rest = ir.Constant(kind, None)
    args = [address(em, scope, place), t.int32(place.align), mask, rest]
    return t.call(em.builder, f"llvm.masked.load.{t.mangle(kind)}.p0", kind, args)


def _masked_store(em: Emission, scope: Scope, place: Place, raw: Any, mask: Any) -> None:
    if isinstance(raw.type.element, ir.IntType) and raw.type.element.width < 64:
        mask = _opaque(em, mask)
    args = [raw, address(em, scope, place), t.int32(place.align), mask]
    t.call(em.builder, f"llvm.masked.store.{t.mangle(raw.type)}.p0", t.VOID, args)


def _opaque(em: Emission, mask: Any) -> Any:
    """The same mask, of which LLVM knows nothing.

    LLVM 22 for x86 makes a store of one lane, known when it compiles, of a narrowed vector as wide as before it was narrowed.
    """
    count = mask.type.count
    bits, word = ir.IntType(count), ir.IntType(max(32, count))
    value = em.builder.bitcast(mask, bits)
    value = value if bits == word else em.builder.zext(value, word)
    value = em.builder.asm(ir.FunctionType(word, [word]), "", "=r,0", [value], False)
    return em.builder.bitcast(value if bits == word else em.builder.trunc(value, bits), mask.type)


def _gather(em: Emission, scope: Scope, place: Place, kind: Any, mask: Any) -> Any:
    count = kind.count
    args = [_pointers(em, scope, place, count), t.int32(place.storage.buffer.dtype.bytes), _full(mask, count)]
    name = f"llvm.masked.gather.{t.mangle(kind)}.v{count}p0"
    return t.call(em.builder, name, kind, [*args, ir.Constant(kind, None)])


def _scatter(em: Emission, scope: Scope, place: Place, raw: Any, mask: Any) -> None:
    count = raw.type.count
    align = t.int32(place.storage.buffer.dtype.bytes)
    name = f"llvm.masked.scatter.{t.mangle(raw.type)}.v{count}p0"
    t.call(em.builder, name, t.VOID, [raw, _pointers(em, scope, place, count), align, _full(mask, count)])


def _full(mask: Any, count: int) -> Any:
    return t.filled(t.bit(True), count) if mask is None else mask


def _pointers(em: Emission, scope: Scope, place: Place, count: int) -> Any:
    """A vector of pointers, one per lane."""
    base = address(em, scope, place)
    index = place.scattered if place.scattered is not None else materialize(em, LANE.scaled(place.step), count)
    kind = t.memory_type(place.storage.buffer.dtype)
    pointers = em.builder.gep(base, [t.splat(em.builder, index, count)], source_etype=kind)
    pointers.type = ir.VectorType(t.POINTER, count)
    return pointers


def slot(em: Emission, array: Any, position: int) -> Any:
    """The address of an entry of an array of slots."""
    if not position:
        return array
    return em.builder.gep(array, [t.int64(position * SLOT)], inbounds=True, source_etype=t.INT8)


def slot_value(em: Emission, array: Any, position: int, kind: Any) -> Any:
    """An entry of an array of slots."""
    return em.builder.load(slot(em, array, position), align=SLOT, typ=kind)
