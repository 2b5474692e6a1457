"""Schedules without measuring: enumerate the register tiles that fit, price each with the cost model, take the cheapest."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

from bough.ir.expr import Load, as_expr, loads, variables
from bough.ir.kernel import Kernel
from bough.mapping import Mapping, enumerate_mappings
from bough.schedule.decisions import (
    Ahead,
    Block,
    Decision,
    Even,
    Follow,
    Order,
    Pack,
    Schedule,
    Serial,
    Serpentine,
    Stage,
    Tile,
    Unroll,
    Use,
    Vectorize,
)
from bough.schedule.places import late_reductions
from bough.search.chunks import choose_blocks, rows_in_parts, tile_counts
from bough.search.cost import (
    LONG_ELEMENT,
    LONG_EPILOGUE,
    Machine,
    TileShape,
    Work,
    computed_cycles,
    expression_cycles,
    is_large,
    is_long,
    is_transposed,
    machine_of,
    tile_cycles,
    work_of,
)
from bough.search.tile_order import tile_order
from bough.targets.description import Instruction, Target

ROWS = (1, 2, 3, 4, 5, 6, 7, 8)
"""Rows of a register tile. Rows are often a power of two apart: more than eight would compete for one set of the first-level
cache."""
COUNTS = (1, 2, 3, 4, 6)
PHASE_CYCLES = 8000.0
"""Below this much work a kernel stays on the calling thread: others, if asleep, would wake when it is done."""
TILES = 2
"""Vector tiles for each thread in a level of few rows: a late thread then keeps the others waiting for less."""
UNROLLED = 12
"""Vectors of a tile from which on a step hides what the loop around it costs."""
FEW_LANES = 2.0
"""How much longer vectors take that are often not full."""
CHUNK_CYCLES = 6000.0
"""The least work of a block of rows."""
FEW_TILES, MANY_TILES = 4, 64
"""Tiles of rows below which fetching weights ahead shows where they are near, and above which waiting for them does not."""
Tiled = tuple[TileShape, frozenset[int]]
"""A register tile, and the loads that are packed for it."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a strategy may look at besides the kernel. `constants` are operands known at compile time; `sizes` are the
    nominal values of symbolic sizes."""

    target: Target
    threads: int
    constants: frozenset[str]
    sizes: Dictionary[str, int]
    loop: str | None = None
    """The host loop around the kernel."""
    weights: int = 0
    """Bytes of constants that the products of that loop read in each turn, or of all products where there is none."""
    defined: frozenset[str] = frozenset()
    """Numbers that the host works out as it goes: no array has a size that depends on them."""
    blocks: Dictionary[str, int] = field(default_factory=dict)
    """Points of free axes that make blocks of a size fixed before: tiles divide them."""


class Strategy(Protocol):
    """Chooses a schedule for a kernel. It decides speed only: every schedule of a kernel computes the same bits as long
    as its vector axis is the same kind (free or reduced), and so is its use of instructions with a tolerance."""

    def choose(self, kernel: Kernel, context: Context) -> Schedule: ...


class CostModel(Protocol):
    """Cycles of one register tile of a kernel; infinite for a tile that does not fit."""

    def __call__(
        self, kernel: Kernel, work: Work, shape: TileShape, packed: frozenset[int], machine: Machine, /
    ) -> float: ...


@dataclass(frozen=True, slots=True)
class Heuristic:
    """The default strategy. See the module's text. `cost` prices register tiles."""

    cost: CostModel = tile_cycles

    def __repr__(self) -> str:
        """The same in every process for the cost models that ship, so that it can be part of a cache's key."""
        shipped = self.cost is tile_cycles
        return f"Heuristic(cost={tile_cycles.__qualname__ if shipped else repr(self.cost)})"

    def choose(self, kernel: Kernel, context: Context) -> Schedule:
        machine = machine_of(context.target)
        work = work_of(kernel, context.sizes)
        mappings = vector_mappings(kernel, context.target)
        best: tuple[float, float, TileShape, frozenset[int]] | None = None
        for shape, packed in _tiles(kernel, work, machine, context, mappings):
            tile = self.cost(kernel, work, shape, packed, machine)
            if shape.vector and _gathers(kernel, work, shape.vector, context):
                tile *= FEW_LANES
            tiles, copies = tile_count(kernel, work, shape, machine.lanes, context), copy_cycles(kernel, work, packed, context)
            cost = tile * tiles + copies
            shared = context.threads * tile * ceil(tiles / context.threads) + copies  # threads without a tile are idle
            price = cost if cost < PHASE_CYCLES else shared
            if best is None or price < best[0]:
                best = (price, cost, shape, packed)
        assert best is not None, "scalar code always fits"
        _, cost, shape, packed = best
        used = uses(kernel, mappings, work, shape, packed)
        return Schedule(tuple(decide(kernel, work, shape, packed, used, cost, machine, context)))


def _tiles(kernel: Kernel, work: Work, machine: Machine, context: Context, mappings: list[Mapping]) -> list[Tiled]:
    """The register tiles worth pricing, each with what it packs. Sums of products in groups are rounded otherwise: where a tile
    can have them, only those are taken that have most, whatever they cost for how many rows."""
    tiles = [(shape, packable(kernel, work, shape, context)) for shape in shapes(kernel, work, machine, context)]
    grouped = [m for m in mappings if len(m.axes) > 1]
    if not grouped:
        return tiles
    numbers = [len(uses(kernel, grouped, work, *tile)) for tile in tiles]
    return [tile for tile, number in zip(tiles, numbers, strict=True) if number == max(numbers)]


def shapes(kernel: Kernel, work: Work, machine: Machine, context: Context) -> list[TileShape]:
    """All register tiles worth pricing.

    Whether the vectors lie along a free or a reduced axis decides the order of the sums, so it is read off the kernel's
    strides and the sizes of reduced axes, never off the number of rows: a row gives the same bits alone and in a batch.
    """
    uneven = {v for a in kernel.ragged for v in variables(as_expr(a.extent))}
    free = [a.name for a in kernel.free if a.name not in uneven]
    rows_of = [a.name for a in kernel.free] if late_reductions(kernel) else free
    scalar = TileShape(None, 1, None, 1)
    if machine.lanes == 1:
        return [scalar]
    across, count = kernel.order or partial_sums(kernel, work, machine, context)
    if across:
        tiles = [TileShape(across, count, None, 1)]
        tiles += [
            TileShape(across, count, u, r) for u in free for r in (2, 4) if work.extents[u] >= r and _divides(r, u, context)
        ]
        return tiles
    out = [scalar]
    for v in free:
        gathers = _gathers(kernel, work, v, context)
        shared = [a for a in rows_of if a != v and (kernel.reductions or _crosses(kernel, work, v, a, machine))]
        rows = [None, *reversed(shared)] if not gathers else [None]  # of equal ones, those that are nearest in memory
        for count in (1,) if gathers else COUNTS:
            if count > 1 and (count - 1) * machine.lanes >= work.extents[v]:
                continue
            if not _divides(machine.lanes * count, v, context):
                continue
            columns = ceil(work.extents[v] / (machine.lanes * count))
            for row in rows:
                if row and count > 1 and columns < TILES * context.threads and _unknown(kernel, row, context):
                    continue  # a level's few rows leave nothing else to share out
                for r in ROWS if row else (1,):
                    if row is not None and (r == 1 or (r > work.extents[row] and not _unknown(kernel, row, context))):
                        continue
                    if row is None or _divides(r, row, context):
                        out.append(TileShape(v, count, row, r))
    return out


def _crosses(kernel: Kernel, work: Work, vector: str, row: str, machine: Machine) -> bool:
    """Whether something is stored across the vectors, which rows of a tile lie along."""
    tile = TileShape(vector, 1, row, 2)
    return computed_cycles(kernel) < LONG_ELEMENT and any(is_transposed(a, tile, machine.lanes) for a in work.stores)


def _divides(size: int, axis: str, context: Context) -> bool:
    return context.blocks.get(axis, 0) % size == 0


def partial_sums(kernel: Kernel, work: Work, machine: Machine, context: Context) -> tuple[str, int]:
    """The reduced axis along which the vectors lie, and how many; none where they lie along a free one."""
    across = None if _contiguous_free(kernel, work, context) else _reduced_vector(kernel, work)
    return (across, min(4, ceil(work.extents[across] / machine.lanes))) if across else ("", 0)


def _long_sums(kernel: Kernel) -> bool:
    """Whether working out what is summed takes so long that a copy which makes its loads cheaper gains nothing."""
    return all(expression_cycles(r.body) >= LONG_EPILOGUE for _, r in kernel.reductions)


def _unknown(kernel: Kernel, axis: str, context: Context) -> bool:
    """Whether the extent is worked out by the host as it goes: small and different each time."""
    return not context.defined.isdisjoint(variables(as_expr(kernel.axis(axis).extent)))


def _gathers(kernel: Kernel, work: Work, axis: str, context: Context) -> bool:
    """Whether vectors along an axis of unknown extent are gathered: often with few lanes, and wide tiles would be much code."""
    return _unknown(kernel, axis, context) and any(x.stride(axis) not in (0, 1) for x in work.loads)


def _contiguous_free(kernel: Kernel, work: Work, context: Context) -> bool:
    """Whether some free axis lets every load of the reductions be uniform, contiguous or packed, not all uniform."""
    if not kernel.reductions:
        return True
    long = _long_sums(kernel)
    for a in kernel.free:
        packed = packable(kernel, work, TileShape(a.name, 1, None, 1), context)
        if long:
            packed = frozenset(n for n in packed if work.loads[n].operand in context.constants)
        along = [
            1 if n in packed else x.stride(a.name) for n, x in enumerate(work.loads) if x.reduction is not None
        ]  # fmt: skip
        if along and all(s in (0, 1) for s in along) and any(along):
            return True
    return False


def _reduced_vector(kernel: Kernel, work: Work) -> str | None:
    """A long reduced axis, common to all reductions, along which some load is contiguous and none jumps."""
    for a in reversed(kernel.reduced):
        if kernel.axis(a) in kernel.ragged:
            continue
        if work.extents[a] >= 8 and all(a in r.axes for _, r in kernel.reductions):
            along = [x.stride(a) for x in work.loads if x.reduction is not None]
            if all(s in (0, 1) for s in along) and any(along):
                return a
    return None


def packable(kernel: Kernel, work: Work, shape: TileShape, context: Context) -> frozenset[int]:
    """Loads in reductions that a copy makes contiguous along the vector axis."""
    if shape.vector is None or shape.vector in kernel.reduced:
        return frozenset()
    found: set[int] = set()
    axes = {a.name for a in kernel.axes}
    for n, a in enumerate(work.loads):
        along = a.stride(shape.vector)
        if a.reduction is None or a.strides is None or along == 0 or any(loads(i) for i in a.index):
            continue
        constant = a.operand in context.constants
        reuse = work.points(tuple(x.name for x in kernel.free if x.name not in a.strides))
        if {v for i in a.index for v in variables(i)} - axes:
            continue
        if any(not context.defined.isdisjoint(variables(as_expr(kernel.axis(x).extent))) for x in a.strides):
            continue
        if not any(is_large(s) for s in a.strides.values()) if constant else along != 1 and reuse >= 8:
            found.add(n)
    return frozenset(found)


def copy_cycles(kernel: Kernel, work: Work, packed: frozenset[int], context: Context) -> float:
    """What the copies at run time cost: each element is read or written alone."""
    total = 0.0
    for n in packed:
        a = work.loads[n]
        if a.operand not in context.constants:
            total += 2.0 * work.points(tuple(a.strides or {}))
    return total


def tile_count(kernel: Kernel, work: Work, shape: TileShape, lanes: int, context: Context) -> float:
    """Tiles of the whole kernel; a rest of rows counts with what it costs. Even tiles count by their rows."""
    total = 1.0
    for a in kernel.free:
        e = work.extents[a.name]
        if a.name == shape.vector:
            total *= ceil(e / (lanes * shape.count))
        elif a.name == shape.row:
            if _unknown(kernel, a.name, context):
                total *= e / shape.rows
                continue
            whole, rest = divmod(e, shape.rows)
            total *= whole + (0.15 + 0.85 * rest / shape.rows if rest else 0.0)
        else:
            total *= e
    return total


def decide(
    kernel: Kernel, work: Work, shape: TileShape, packed: frozenset[int], used: list[Use], cost: float, machine: Machine,
    context: Context,
) -> list[Decision]:  # fmt: skip
    """The decisions for a register tile: packing, tile, order of the tile loops, chunks, unrolling."""
    out: list[Decision] = []
    across = shape.vector in kernel.reduced if shape.vector else False
    width = machine.lanes * shape.count
    groups = {use.reduction: use.group for use in used}
    for n in sorted(packed):
        assert shape.vector is not None
        out.append(Pack(n, shape.vector, width, groups.get(work.loads[n].reduction or "", "")))
    if shape.vector:
        out.append(Vectorize(shape.vector, machine.lanes, shape.count))
    if shape.row:
        out.append(Tile(shape.row, shape.rows))
        if _unknown(kernel, shape.row, context):
            out.append(Even(shape.row))
    out += used
    order = tile_order(kernel, work, shape, machine, context.sizes)
    out.append(Order(tuple(order)))
    if cost < PHASE_CYCLES and not _symbolic(kernel):
        out.append(Serial())
        out += [Block(a, n) for a, n in tile_counts(work, order, shape, machine).items() if n > 1]
    else:
        few = frozenset(a for a in order if _unknown(kernel, a, context))
        out += choose_blocks(kernel, work, shape, order, cost, machine, context.threads, few)
        if _follows_rows(kernel, work, order, shape, machine):
            if 2 * context.weights <= machine.near_bytes:
                out = rows_in_parts(out, tile_counts(work, order, shape, machine), order[-1], cost)
            out.append(Follow(order[-1], context.threads))
        elif context.loop and (segment := serpentine_segment(kernel, work, out, order, shape, machine, context)):
            out.append(Serpentine(context.loop, segment))
    if least := tiles_to_fetch(kernel, work, packed, order, shape, machine, context):
        out.append(Ahead(least))
    for _, reduce in kernel.reductions:
        last = reduce.axes[-1]
        together = sum(r.axes == reduce.axes for _, r in kernel.reductions)
        vectors = shape.rows * shape.count * together
        steps = 1 if vectors >= UNROLLED else 2 if vectors >= 8 else 4
        if steps == 1 or across or any(isinstance(d, Unroll) and d.axis == last for d in out):
            continue
        if work.extents[last] >= 4 * steps:
            out.append(Unroll(last, steps))
    if kernel.reductions and shape.rows * shape.count > 2 and is_long(kernel, work, shape, machine.lanes):
        out.append(Stage())
    return out


def uses(kernel: Kernel, mappings: list[Mapping], work: Work, shape: TileShape, packed: frozenset[int]) -> list[Use]:
    """The reductions that run on multiply-adds of the target: of those, the one that takes most products at once."""
    mappings = sorted(mappings, key=lambda m: -len(m.axes))
    found = (use_of(name, mappings, work, shape, packed) for name, _ in kernel.reductions)
    return [use for use in found if use]


def vector_mappings(kernel: Kernel, target: Target) -> list[Mapping]:
    """Every way in which a multiply-add of the target's full vectors embeds in the kernel, along a single axis; one that adds up
    several products takes another axis of just as many points."""
    found: list[Mapping] = []
    for i in target.instructions:
        vector, *group = i.kernel.axes
        if vector.extent != target.lanes or target.lanes == 1 or len(group) > 1 or not kernel.reductions:
            continue
        found += [m for m in enumerate_mappings(kernel, i) if _whole(kernel, i, m)]
    return found


def _whole(kernel: Kernel, instruction: Instruction, mapping: Mapping) -> bool:
    """Whether each axis of the instruction is one axis of the kernel, a group all of it."""
    own = [kernel.axis(axes[0]) for _, axes in mapping.axes if len(axes) == 1]
    return len(own) == len(mapping.axes) and all(
        mine.extent == its.extent for mine, its in zip(own[1:], instruction.kernel.axes[1:])
    )


def use_of(reduction: str, mappings: list[Mapping], work: Work, shape: TileShape, packed: frozenset[int]) -> Use | None:
    """The instruction that some mapping runs the reduction on, with the tile's vector axis as its own and every vector
    operand where it can be loaded: contiguous already, or packed by this schedule; for a group, packed."""
    places = {(a.operand, a.index): n for n, a in enumerate(work.loads)}
    for m in mappings:
        (_, along), *rest = m.axes
        if along != (shape.vector,):
            continue
        for part in m.parts:
            if part.reduction == reduction and all(
                isinstance(b.value, Load)
                and (not (b.packed or (rest and along[0] in b.axes)) or places.get((b.value.source, b.value.index)) in packed)
                for b in part.bindings
            ):
                load = f"{m.instruction.name.rpartition('.')[0]}.load"
                return Use(reduction, m.instruction.name, f"{load}_pairs" if rest else load, rest[0][1][0] if rest else "")
    return None


def _symbolic(kernel: Kernel) -> bool:
    return any(not isinstance(a.extent, int) for a in kernel.axes)


def tiles_to_fetch(
    kernel: Kernel, work: Work, packed: frozenset[int], order: list[str], shape: TileShape, machine: Machine, context: Context
) -> int:
    """From how many tiles of rows on weights are fetched ahead, because they do not stay near: fewer where that is sure. 0 where
    they stay, or where rows are so many that waiting for weights does not show."""
    if shape.row is None or not _rows_of_panels(order, shape, work):
        return 0
    weights = [work.loads[n] for n in packed if work.loads[n].operand in context.constants]
    read = sum(kernel.operands[a.operand].dtype.bytes * work.points(tuple(a.strides or ())) for a in weights)
    room = machine.near_bytes * context.threads
    least = 0 if 2 * read <= room else FEW_TILES if read <= 2 * room else 2
    return least if least <= work.extents[shape.row] / shape.rows <= MANY_TILES else 0


def _rows_of_panels(order: list[str], shape: TileShape, work: Work) -> bool:
    """Whether the loops are over panels of vectors and, in each, over tiles of rows."""
    return shape.row is not None and order[-2:] == [shape.vector, shape.row] and all(work.extents[a] == 1 for a in order[:-2])


def _follows_rows(kernel: Kernel, work: Work, order: list[str], shape: TileShape, machine: Machine) -> bool:
    """Whether what all rows share has room in each thread's cache: threads then need not read each other's rows."""
    if not _rows_of_panels(order, shape, work) or not kernel.reductions:
        return False
    shared = [a for a in work.loads if a.reduction is not None and not a.stride(shape.row or "")]
    read = sum(kernel.operands[a.operand].dtype.bytes * work.points(tuple(a.strides or ())) for a in shared)
    return 4 * read <= machine.near_bytes


def serpentine_segment(
    kernel: Kernel, work: Work, decided: list[Decision], order: list[str], shape: TileShape, machine: Machine, context: Context
) -> int:
    """Chunks with which each thread starts, where the constants that a run reads crowd the private caches; else 0."""
    read = sum(
        4 * work.points(tuple(a.strides or ())) for a in work.loads if a.operand in context.constants and a.reduction is not None
    )
    if 2 * read <= machine.near_bytes * context.threads or context.threads < 2:
        return 0
    schedule, chunks = Schedule(tuple(decided)), 1
    for a, n in tile_counts(work, order, shape, machine).items():
        chunks *= ceil(n / schedule.block(a))
    return ceil(chunks / context.threads)
