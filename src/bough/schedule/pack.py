"""Layout change of an operand for a schedule, as kernels: one that copies, and the kernel that reads the copy.

    y[i, j] = sum(k) x[i, k] * w[j, k]
      ->  w.pack[t, k, l] = select(t*32 + l < 512, w[t*32 + l, k], 0)
          y[i, j] = sum(k) x[i, k] * w.pack[j // 32, k, j % 32]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bough.base.names import fresh
from bough.ir.dtypes import BOOL
from bough.ir.expr import (
    Apply,
    Const,
    Expr,
    Extent,
    Load,
    Var,
    add,
    as_expr,
    ceildiv,
    floordiv,
    mod,
    mul,
    select,
    substitute,
    variables,
)
from bough.ir.kernel import Axis, Kernel, Operand, Store
from bough.ir.sequence import map_loads, map_statement, outer_scalars
from bough.runtime.arrays import Room
from bough.schedule.access import Access, load_accesses
from bough.schedule.decisions import Pack, Schedule


@dataclass(frozen=True, slots=True)
class Packed:
    """`copy` makes `operand` from `source`; `access` is how the kernel read the source before."""

    copy: Kernel
    source: Operand
    operand: Operand
    access: Access
    decision: Pack

    @property
    def groups(self) -> tuple[str, ...]:
        """The axis behind the lanes, if there is one."""
        return (self.decision.group,) if self.decision.group else ()


def pack_operands(kernel: Kernel, schedule: Schedule, prefix: str) -> tuple[tuple[Packed, ...], Kernel]:
    """Applies the `Pack` decisions of a schedule. New operands are named `<prefix>.pack<n>`."""
    accesses = load_accesses(kernel)
    packed = tuple(_pack(kernel, accesses[d.load], d, f"{prefix}.pack{d.load}") for d in schedule.packs)
    if not packed:
        return (), kernel
    by_load = {(p.access.operand, p.access.index): p for p in packed}

    def change(load: Load) -> Expr:
        p = by_load.get((load.source, load.index))
        if p is None:
            return load
        outer, inner = _axes(kernel, p.access, p.decision)
        v = Var(p.decision.axis)
        last = [Var(g) for g in p.groups]
        index = (*map(Var, outer), floordiv(v, p.decision.width), *map(Var, inner), mod(v, p.decision.width), *last)
        return Load(p.operand.name, index, load.dtype)

    body = tuple(map_statement(s, lambda e: map_loads(e, change)) for s in kernel.body)
    still = {a.operand for a in accesses if (a.operand, a.index) not in by_load}
    inputs = (*(i for i in kernel.inputs if i.name in still), *(p.operand for p in packed))
    return packed, replace(kernel, inputs=inputs, body=body)


def _axes(kernel: Kernel, access: Access, decision: Pack) -> tuple[list[str], list[str]]:
    """The other free axes and the reduced axes that the access depends on, but for the group."""
    names = {n for i in access.index for n in variables(i)}
    reduced = kernel.reduced
    outer = [a.name for a in kernel.free if a.name in names and a.name != decision.axis]
    return outer, [a for a in reduced if a in names and a != decision.group]


def _pack(kernel: Kernel, access: Access, decision: Pack, name: str) -> Packed:
    source = kernel.operands[access.operand]
    outer, inner = _axes(kernel, access, decision)
    extent = as_expr(kernel.axis(decision.axis).extent)
    tiles = ceildiv(extent, decision.width)
    groups = (decision.group,) if decision.group else ()
    taken = outer_scalars(kernel) | {*outer, *inner, *groups}
    tile, lane = (fresh(name, taken) for name in ("t", "l"))
    where = add(mul(Var(tile), decision.width), Var(lane))
    value: Expr = Load(source.name, tuple(substitute(i, {decision.axis: where}) for i in access.index), source.dtype)
    exact = isinstance(extent, Const) and int(extent.value) % decision.width == 0
    if not exact:
        value = select(Apply("lt", (where, extent), BOOL), value, Const(0, source.dtype))
    count: Extent = int(tiles.value) if isinstance(tiles, Const) else tiles
    axes = (
        *(kernel.axis(a) for a in outer),
        Axis(tile, count),
        *(kernel.axis(a) for a in inner),
        Axis(lane, decision.width),
        *map(kernel.axis, groups),
    )
    operand = Operand(name, source.dtype, tuple(a.extent for a in axes))
    store = Store(name, tuple(Var(a.name) for a in axes), value)
    copy = Kernel(f"pack.{source.name}", axes, (source,), (operand,), (store,), kernel.location, kernel.origins)
    return Packed(copy, source, operand, access, decision)


@dataclass(frozen=True, slots=True)
class ConstantPack:
    """How `Packed.copy` reads a constant, in elements: equal for kernels that read it alike, whatever they call their axes.
    Sizes and strides are those of the outer axes, of the inner ones and of the group."""

    source: str
    base: int
    extent: int
    width: int
    stride: int
    outer: tuple[tuple[int, int], ...]
    inner: tuple[tuple[int, int], ...]
    groups: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, packed: Packed, kernel: Kernel) -> ConstantPack:
        """`kernel` is the kernel before packing."""
        d, strides = packed.decision, packed.access.strides or {}
        outer, inner = _axes(kernel, packed.access, d)

        def size(axis: str) -> int:
            e = kernel.axis(axis).extent
            assert isinstance(e, int)
            return e

        def read(axes: Iterable[str]) -> tuple[tuple[int, int], ...]:
            return tuple((size(a), strides.get(a, 0)) for a in axes)

        base, stride = _constant_part(packed, kernel), strides.get(d.axis, 0)
        return cls(packed.source.name, base, size(d.axis), d.width, stride, read(outer), read(inner), read(packed.groups))

    def room(self, dtype: np.dtype[Any], room: Room) -> np.ndarray[Any, Any]:
        """Zeros of the shape of the copy."""
        outer, inner, groups = ([size for size, _ in part] for part in (self.outer, self.inner, self.groups))
        return room.zeros([*outer, -(-self.extent // self.width), *inner, self.width, *groups], dtype)

    def fill(self, out: np.ndarray[Any, Any], source: np.ndarray[Any, Any]) -> None:
        """Writes into zeros what the copy computes, by strided copies."""
        flat = np.ascontiguousarray(source).reshape(-1)

        def view(start: int, tiles: int, width: int) -> np.ndarray[Any, Any]:
            dims = (*self.outer, (tiles, self.stride * self.width), *self.inner, (width, self.stride), *self.groups)
            shape, steps = [size for size, _ in dims], [step * flat.itemsize for _, step in dims]
            return np.lib.stride_tricks.as_strided(flat[self.base + self.stride * start :], shape, steps, writeable=False)

        whole, rest = divmod(self.extent, self.width)
        every, rows = (slice(None),) * len(self.outer), (slice(None),) * len(self.inner)
        if whole:
            out[(*every, slice(0, whole))] = view(0, whole, self.width)
        if rest:
            out[(*every, slice(whole, whole + 1), *rows, slice(0, rest))] = view(whole * self.width, 1, rest)


def _constant_part(packed: Packed, kernel: Kernel) -> int:
    """The address at which all axes are 0."""
    zero: dict[str, Expr] = {a.name: Const(0) for a in kernel.axes}
    flat: Expr = Const(0)
    for size, i in zip(packed.source.shape, packed.access.index):
        flat = add(mul(flat, size), substitute(i, zero))
    assert isinstance(flat, Const), "a constant is read at a symbolic address"
    return int(flat.value)
