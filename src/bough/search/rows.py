"""Kernels that run row by row in one phase: each thread takes its block of rows through all of them, without a barrier between.

    max[i] = max(j) x[i, j];  e[i, j] = exp(x[i, j] - max[i]);  sum[i] = sum(j) e[i, j];  y[i, j] = e[i, j] / sum[i]

share the rows `i`: what one kernel writes of a row, the next reads of that row alone, while it is in the nearest cache.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, lcm, prod

from bough.ir.expr import Const, Expr, Extent, Var, as_expr, substitute, variables
from bough.ir.kernel import Kernel
from bough.schedule.access import LARGE, Access, address, load_accesses, store_accesses
from bough.schedule.decisions import Block, Decision, Even, Follow, Schedule, Serial, Serpentine, Tile
from bough.search.chunks import CLAIM_CYCLES, FAR_BYTES, LATE, SHARED_CYCLES, moved_bytes
from bough.search.cost import computed_cycles, expression_cycles, machine_of, nominal, work_of
from bough.search.heuristic import CHUNK_CYCLES, Context

Known = dict[tuple[int, str, int, str], bool]
"""Which kernels, by identity, may follow which others along which rows: asked many times for long runs."""
LEVEL_BYTES = 1 << 15
"""Weights that each thread may as well read whole for its few rows."""
MANY_ROWS = 64
"""Rows that are enough for all threads, where each is enough for a chunk."""
LONGEST_TILE = 48
"""Rows above which the tiles of different kernels are too uneven to share blocks."""
UNEVEN = 0.05
"""The part of its time for which threads may wait for the one with most rows."""
TILE_READS = 1.0
"""What a vector that all rows of a tile share costs, in vectors of a row."""
EVENER = 0.9
"""The part of the time to which smaller tiles must bring a group of kernels to be taken."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A kernel with its schedule."""

    kernel: Kernel
    schedule: Schedule


def group_rows(kernels: list[Planned], context: Context) -> list[list[Planned]]:
    """Cuts a straight run of kernels into groups that share rows, with schedules whose chunks are the same blocks of rows.
    A kernel that shares with no neighbour is a group of its own, unchanged."""
    out: list[list[Planned]] = []
    known: Known = {}
    at = 0
    while at < len(kernels):
        axes = _longest(kernels[at:], context, known)
        if len(axes) > 1:
            out.append(_blocked(kernels[at : at + len(axes)], axes, context))
        else:
            out.append([kernels[at]])
        at += max(1, len(axes))
    return out


def _longest(kernels: list[Planned], context: Context, known: Known) -> list[str]:
    """The row axes of the longest group that starts with the first kernel; at most one axis where there is none."""
    best: list[str] = []
    for first in _row_axes(kernels[0], context):
        axes = [first]
        for n in range(1, len(kernels)):
            row = next((a for a in _row_axes(kernels[n], context) if _joins(kernels[: n + 1], [*axes, a], known)), None)
            if row is None:
                break
            axes.append(row)
        while len(axes) > 1 and not _worthwhile(kernels[: len(axes)], axes, context):
            axes.pop()
        if len(axes) > len(best):
            best = axes
    return best


def _worthwhile(kernels: list[Planned], axes: list[str], context: Context) -> bool:
    """Not all of them run on the calling thread anyway, their tiles fit one block, and threads do not wait for longer than
    phases of their own would take."""
    tile = lcm(*(p.schedule.rows(a) for p, a in zip(kernels, axes)))
    waits = _waiting(kernels, axes, context) > (len(axes) - 1) * SHARED_CYCLES
    return not all(p.schedule.serial for p in kernels) and tile <= LONGEST_TILE and not waits


def _waiting(kernels: list[Planned], axes: list[str], context: Context) -> float:
    """The cycles that threads wait for the one with most rows, where rows are too few to give all of them the same."""
    extent = kernels[0].kernel.axis(axes[0]).extent
    if not isinstance(extent, int) or extent == 0:
        return 0.0
    most = ceil(extent / context.threads)
    longer = most - extent / context.threads
    work = sum(_row_work(p.kernel, a, context) for p, a in zip(kernels, axes))
    return longer * work if longer > UNEVEN * most else 0.0


def _row_axes(planned: Planned, context: Context) -> list[str]:
    """Free axes outside of the vectors, over which what all rows share stays in the private cache."""
    kernel, schedule = planned.kernel, planned.schedule
    if schedule.serpentine is not None:
        return []
    vector = schedule.vector.axis if schedule.vector else None
    found: list[str] = []
    for a in kernel.free:
        others = [x for x in kernel.axes if x.name != a.name]
        if a.name == vector or any(not isinstance(x.extent, int) for x in others):
            continue
        shared = 0
        if _few_rows(kernel, a.name, context):
            continue
        for access in load_accesses(kernel):
            used = {v for i in access.index for v in variables(i)}
            if a.name not in used:
                points = prod(nominal(x.extent, context.sizes) for x in others if x.name in used)
                shared += points * kernel.operands[access.operand].dtype.bytes
        if shared <= machine_of(context.target).near_bytes // 4:
            found.append(a.name)
    return found


def _few_rows(kernel: Kernel, row: str, context: Context) -> bool:
    """Whether a level's few rows share a matrix, or have much work each: then threads share the columns out, not the rows."""
    extent = kernel.axis(row).extent
    if context.defined.isdisjoint(variables(as_expr(extent))):
        return False
    work = prod(nominal(x.extent, context.sizes) for x in kernel.axes if x.name != row) / context.target.lanes
    if work > CHUNK_CYCLES:
        return nominal(extent, context.sizes) < MANY_ROWS
    return any(
        row not in {v for i in x.index for v in variables(i)}
        and 4 * prod(nominal(e, context.sizes) for e in kernel.operands[x.operand].shape) > LEVEL_BYTES
        for x in load_accesses(kernel)
    )


def _joins(kernels: list[Planned], rows: list[str], known: Known) -> bool:
    """Whether the last kernel may follow the others in one phase."""
    *before, last = kernels
    for p, a in zip(before, rows):
        pair = (id(p), a, id(last), rows[-1])
        if pair not in known:
            known[pair] = _follows(p.kernel, a, last.kernel, rows[-1])
        if not known[pair]:
            return False
    return True


def _follows(first: Kernel, a: str, then: Kernel, b: str) -> bool:
    """Whether two kernels have equal rows `a` and `b`, and nothing crosses from row to row."""
    if first.axis(a).extent != then.axis(b).extent:
        return False
    touched = {o.name for o in (*first.inputs, *first.outputs)}
    written = {o.name for o in then.outputs} & touched
    if not all(_same_rows(first, a, then, b, name) for name in written):
        return False
    made = {o.name for o in then.inputs} & {o.name for o in first.outputs} - written
    return all(_next_to(first, a, then, b, name) or _same_rows(first, a, then, b, name) for name in made)


def _next_to(first: Kernel, a: str, then: Kernel, b: str, name: str) -> bool:
    """Whether the rows of an array lie one after the other for both, at the same distance."""
    strides = {_row_stride(first, x, a) for x in store_accesses(first) if x.operand == name}
    strides |= {_row_stride(then, x, b) for x in load_accesses(then) if x.operand == name}
    return len(strides) == 1 and None not in strides


def _same_rows(first: Kernel, a: str, then: Kernel, b: str, name: str) -> bool:
    """Whether both touch, in each row of theirs, one row of an array alone, and the same one. It is another for each, since a
    kernel that stores there stores distinct points to distinct places."""
    both = ((first, a), (then, b))
    rows = {_row_of(x, row) for k, row in both for x in (*load_accesses(k), *store_accesses(k)) if x.operand == name}
    return len(rows) == 1 and None not in rows


def _row_of(access: Access, row: str) -> Expr | None:
    """The first index as an expression of the row, if no other depends on it."""
    if not access.index or row not in variables(access.index[0]) or any(row in variables(i) for i in access.index[1:]):
        return None
    return substitute(access.index[0], {row: Var("#row")})


def _row_stride(kernel: Kernel, access: Access, row: str) -> int | None:
    """The distance between rows, if every other part of the address stays within one row; else None."""
    if access.strides is None:
        return None
    stride = access.strides.get(row, 0)
    start = substitute(address(kernel.operands[access.operand].shape, access.index), {a.name: Const(0) for a in kernel.axes})
    if not isinstance(start, Const) or not stride > 0 or any(abs(s) >= LARGE for s in access.strides.values()):
        return None
    low = high = int(start.value)
    for axis, s in access.strides.items():
        extent: Extent = kernel.axis(axis).extent
        if axis != row:
            assert isinstance(extent, int)
            low, high = low + min(0, s * (extent - 1)), high + max(0, s * (extent - 1))
    return stride if low >= 0 and high < stride else None


def _blocked(kernels: list[Planned], axes: list[str], context: Context) -> list[Planned]:
    own = [p.schedule.rows(a) for p, a in zip(kernels, axes)]
    extent = kernels[0].kernel.axis(axes[0]).extent
    rows = nominal(extent, context.sizes)
    work = [_row_work(p.kernel, a, context) for p, a in zip(kernels, axes)]
    near = machine_of(context.target).near_bytes / 2 / max(1, _row_bytes(kernels, axes, context))
    moved = 0.0
    if not isinstance(extent, int):
        moved = sum(moved_bytes(p.kernel, work_of(p.kernel, context.sizes), {a}) for p, a in zip(kernels, axes)) / FAR_BYTES
    least = CHUNK_CYCLES / max(sum(work) + moved, 1.0)
    wanted = max(min(rows / (8 * context.threads), near), least, 1.0)
    block, tiles = lcm(*own) * max(1, ceil(min(wanted, rows) / lcm(*own))), own
    if isinstance(extent, int):
        block, tiles = _evener(rows, block, own, work, least, context.threads)
    return [Planned(p.kernel, _with_blocks(p, a, t, block, context)) for p, a, t in zip(kernels, axes, tiles)]


def _row_work(kernel: Kernel, row: str, context: Context) -> float:
    """Cycles of a row, where vectors of sums and of what is behind them take as long as their arithmetic, none less than one."""
    extents = {x.name: nominal(x.extent, context.sizes) for x in kernel.axes if x.name != row}
    free = prod(extents[x.name] for x in kernel.free if x.name != row) / context.target.lanes
    sums = sum(prod(extents[a] for a in r.axes) * max(1.0, expression_cycles(r.body)) for _, r in kernel.reductions)
    return free * (sums + max(0.0 if kernel.reductions else 1.0, computed_cycles(kernel)))


def _evener(rows: int, block: int, own: list[int], work: list[float], least: float, threads: int) -> tuple[int, list[int]]:
    """A block of whole tiles, or a smaller one with smaller tiles where that gives threads more equal shares."""

    def time(n: int, tiles: list[int]) -> float:
        """Of the busiest thread, as in `chunks`. What the rows of a tile share is read once for each tile."""
        chunks = ceil(rows / n)
        chunk = n * sum(w * (1.0 + TILE_READS / t) for w, t in zip(work, tiles)) + CLAIM_CYCLES
        return ceil(chunks / threads) * chunk * (1.0 + LATE * threads / chunks)

    blocks = range(max(1, ceil(least)), block)
    choices = [(n, [max(d for d in range(1, t + 1) if n % d == 0) for t in own]) for n in blocks]
    best = min(choices, key=lambda c: time(*c), default=(block, own))
    return best if time(*best) < EVENER * time(block, own) else (block, own)


def _row_bytes(kernels: list[Planned], axes: list[str], context: Context) -> int:
    """What a row reads and writes of arrays that have a part for each."""
    found: dict[str, int] = {}
    for p, row in zip(kernels, axes):
        for x in (*load_accesses(p.kernel), *store_accesses(p.kernel)):
            if any(row in variables(i) for i in x.index):
                o = p.kernel.operands[x.operand]
                found[o.name] = o.dtype.bytes * prod(nominal(e, context.sizes) for e in o.shape[1:])
    return sum(found.values())


def _with_blocks(planned: Planned, row: str, tile: int, rows: int, context: Context) -> Schedule:
    """The schedule with blocks of so many rows, and tiles of so many, which divide them."""
    kernel, old = planned.kernel, planned.schedule
    # Even tiles begin at other rows than the blocks, which must be the same in all kernels.
    decisions: list[Decision] = [
        replace(d, size=tile) if isinstance(d, Tile) and d.axis == row else d
        for d in old.decisions
        if not isinstance(d, (Block, Even, Follow, Serial, Serpentine))
    ]
    for a in kernel.free:
        size = tile if a.name == row else old.rows(a.name)
        if old.vector and a.name == old.vector.axis:
            size = old.vector.lanes * old.vector.count
        tiles = rows // size if a.name == row else ceil(nominal(a.extent, context.sizes) / size)
        if tiles > 1:
            decisions.append(Block(a.name, tiles))
    return Schedule(tuple(decisions))
