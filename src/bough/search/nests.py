"""Schedules of kernels that a thread takes its rows through: how many rows at a time, and tiles that divide them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import ceil, prod

from bough.ir.kernel import Axis, Kernel
from bough.ir.sequence import Group
from bough.schedule.access import load_accesses, row_places
from bough.schedule.decisions import Block, Decision, Even, Follow, Keep, Order, Schedule, Serial, Serpentine
from bough.search.chunks import CLAIM_CYCLES, FAR_BYTES, LATE
from bough.search.cost import Machine, machine_of, nominal, work_of
from bough.search.heuristic import Context, Strategy, partial_sums

BLOCKS = (64, 48, 32, 16, 8, 4, 2, 1)
"""Rows of a chunk worth trying: with more, what threads keep would leave the nearest cache."""
MOST_KEPT = 1 << 20
"""Bytes that a thread keeps on its stack at the most."""


def finer(group: Group) -> Iterator[Group]:
    """The group, and the same with a row for each point of one more axis, if all its kernels have one: less to keep for each."""
    yield group
    first, *others = group.kernels
    for a in first.free:
        if a.name not in group.rows and all(a in k.free for k in others) and _has_rows(group, (*group.rows, a.name)):
            yield replace(group, rows=(*group.rows, a.name))


def _has_rows(group: Group, rows: tuple[str, ...]) -> bool:
    """Whether each of the private arrays has every row at a dimension of its own."""
    return all(len(row_places(k, rows, n) or {}) == len(rows) for k in group.kernels for n in group.private if n in k.operands)


def choose_rows(group: Group, strategy: Strategy, context: Context) -> list[Schedule] | None:
    """Schedules with the same blocks of rows for kernels that share them; None where sharing the columns out is better."""
    machine = machine_of(context.target)
    block = _best_block(group, machine.near_bytes // 2, machine, context) or _best_block(group, MOST_KEPT, machine, context)
    if block is None:
        return None
    schedules = [_within(k, group, block, strategy, context) for k in group.kernels]
    return None if any(s is None for s in schedules) else [s for s in schedules if s is not None]


def _best_block(group: Group, most: int, machine: Machine, context: Context) -> int | None:
    """The rows of a chunk with which the busiest thread is done first, if `most` bytes suffice for what it keeps."""
    row_bytes = sum(_row_bytes(group, name) for name in group.private)
    row = nominal(group.kernels[0].axis(group.rows[-1]).extent, context.sizes)
    sizes = {*BLOCKS, min(row, BLOCKS[0])}
    times = ((_cycles(group, n, machine, context), -n) for n in sizes if n * row_bytes <= most)
    best = min(((t, n) for t, n in times if t is not None), default=None)
    return None if best is None else -best[1]


def _cycles(group: Group, block: int, machine: Machine, context: Context) -> float | None:
    """The time of the busiest thread if chunks have so many rows; None where they cannot, or would read the same again for longer
    than they compute."""
    row = group.rows[-1]
    extents = {a.name: nominal(a.extent, context.sizes) for a in group.kernels[0].axes}
    if block > max(extents[row], _unit(group, machine)) or block % _unit(group, machine):
        return None
    chunks = ceil(extents[row] / block) * prod(extents[r] for r in group.rows[:-1])
    work = sum(_row_points(k, group.rows, context.sizes) for k in group.kernels) / context.target.lanes
    shared = sum(_shared_bytes(k, group.rows, context) for k in group.kernels)
    if block < extents[row] and shared / FAR_BYTES > block * work:
        return None
    chunk = block * work + shared / FAR_BYTES + CLAIM_CYCLES
    return ceil(chunks / context.threads) * chunk * (1.0 + LATE * context.threads / chunks)


def _unit(group: Group, machine: Machine) -> int:
    """Rows come in whole vectors where private arrays have them side by side."""
    row = group.rows[-1]
    for k in group.kernels:
        for name in group.private:
            shape = k.operands[name].shape if name in k.operands else ()
            if len(shape) > len(group.rows) and (row_places(k, (row,), name) or {}).get(len(shape) - 1) == row:
                return machine.lanes
    return 1


def _row_bytes(group: Group, name: str) -> int:
    kernel = next(k for k in group.kernels if name in k.operands)
    o, places = kernel.operands[name], row_places(kernel, group.rows, name) or {}
    return o.dtype.bytes * prod(e for n, e in enumerate(o.shape) if n not in places and isinstance(e, int))


def _row_points(kernel: Kernel, rows: tuple[str, ...], sizes: Mapping[str, int]) -> int:
    return prod(nominal(a.extent, sizes) for a in kernel.axes if a.name not in rows)


def _shared_bytes(kernel: Kernel, rows: tuple[str, ...], context: Context) -> int:
    """What all rows of a chunk read alike."""
    total = 0
    for x in load_accesses(kernel):
        if x.strides is None or not x.strides.get(rows[-1]):
            used = [a for a in kernel.axes if (x.strides is None or a.name in x.strides) and a.name not in rows]
            total += kernel.operands[x.operand].dtype.bytes * prod(nominal(a.extent, context.sizes) for a in used)
    return total


def _within(kernel: Kernel, group: Group, block: int, strategy: Strategy, context: Context) -> Schedule | None:
    """A schedule of the rows of one chunk, with one block for each chunk; None where it would copy what the group makes."""
    *outer, row = group.rows
    sizes = {**dict.fromkeys(outer, 1), row: block}
    work = work_of(kernel, context.sizes)
    order = kernel.order or partial_sums(kernel, work, machine_of(context.target), context) if kernel.reductions else None
    axes = tuple(Axis(a.name, sizes.get(a.name, a.extent)) for a in kernel.axes)
    chosen = strategy.choose(replace(kernel, axes=axes, order=order), replace(context, threads=1, blocks=sizes))
    loads = load_accesses(kernel)
    made = {o.name for k in group.kernels for o in k.outputs}
    if any(loads[p.load].operand in made or row in (loads[p.load].strides or {}) for p in chosen.packs):
        return None
    gone = (Block, Follow, Order, Serial, Serpentine)
    decisions: list[Decision] = [d for d in chosen.decisions if not isinstance(d, gone) and not _uneven(d, group)]
    decisions.append(Order((*outer, *(a for a in chosen.order(tuple(a.name for a in kernel.free)) if a not in outer))))
    tile = chosen.rows(row)
    if chosen.vector and row == chosen.vector.axis:
        tile = chosen.vector.lanes * chosen.vector.count
    if block > tile:
        decisions.append(Block(row, block // tile))
    return Schedule((*decisions, Keep(group.private, group.rows, block)))


def keeping(schedule: Schedule, private: tuple[str, ...]) -> Schedule:
    """The schedule of the same kernel in a group whose private arrays are these."""
    return Schedule(tuple(replace(d, arrays=private) if isinstance(d, Keep) else d for d in schedule.decisions))


def _uneven(d: Decision, group: Group) -> bool:
    """Even tiles of rows would begin at other rows than the blocks."""
    return isinstance(d, Even) and d.axis in group.rows
