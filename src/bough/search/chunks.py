"""How many tiles make a chunk: enough that claiming it does not show, few enough that all threads end together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from math import ceil, prod

from bough.ir.kernel import Kernel
from bough.schedule.decisions import Block, Decision, Schedule
from bough.search.cost import Machine, TileShape, Work, nominal

CLAIM_CYCLES = 300.0
"""What a thread spends between two chunks."""
LATE = 0.5
"""The part of a chunk for which the others wait, on average, when a thread was kept from its core."""
SHARED_CYCLES = 2500.0
"""What sharing a phase out costs, from the first thread's start to the last one's end: less work is done sooner by one thread."""
PART_CYCLES = 1500.0
"""The least work of a chunk of few rows."""
NARROW = 8
"""Levels with few rows for each with the nominal number: they decide where a chunk is short."""
EVERY = 1 << 20
"""Tiles of a block that has all there are."""
FAR_BYTES = 8.0
"""Bytes per cycle at which one core reads what is not in its own caches."""


def tile_counts(work: Work, order: list[str], shape: TileShape, machine: Machine) -> dict[str, int]:
    """Tiles of each free axis at nominal sizes, at least one."""
    counts: dict[str, int] = {}
    for a in order:
        size = machine.lanes * shape.count if a == shape.vector else shape.rows if a == shape.row else 1
        counts[a] = max(1, ceil(work.extents[a] / size))
    return counts


def choose_blocks(
    kernel: Kernel, work: Work, shape: TileShape, order: list[str], cost: float, machine: Machine, threads: int,
    few: frozenset[str] = frozenset(),
) -> list[Block]:  # fmt: skip
    """Blocks for the tile loops in `order`: inner loops whole, one in part, outer ones tile by tile.

    `cost` is that of the whole kernel in cycles. The estimate of a choice is the time of the busiest thread, a little
    more where few chunks leave nothing to share out when a thread is late. Axes that are `few` often have but one tile: the
    others give every thread a chunk even then, as far as they can, unless there is too little work in it to share out: then
    chunks have so much work where the innermost of the few has enough tiles.
    """
    counts = tile_counts(work, order, shape, machine)
    each = cost / prod(counts.values())
    narrow = {a: 1 if a in few else n for a, n in counts.items()}
    row = max(1.0, each * prod(narrow.values()) + moved_bytes(kernel, work, few) / FAR_BYTES)
    if few and row < SHARED_CYCLES:
        near = next(a for a in reversed(order) if a in few)
        least = ceil(SHARED_CYCLES / row)
        return [Block(a, least if a == near else n) for a, n in counts.items() if a == near or (a not in few and n > 1)]
    blocks = _cheapest(kernel, work, shape, order, counts, each, machine, threads)
    if few and chunk_count(narrow, blocks) < threads:
        blocks = _cheapest(kernel, work, shape, order, narrow, each, machine, threads)
    if few.isdisjoint(order[-1:]):
        return blocks
    panel = _panel_bytes(kernel, work, shape, machine)

    def cycles(blocks: list[Block], counts: Mapping[str, int]) -> float:
        """The estimate of any blocks."""
        block, chunks = {b.axis: b.tiles for b in blocks}, chunk_count(counts, blocks)
        parts = ceil(counts[order[-1]] / block.get(order[-1], 1))
        reads = panel * min(block.get(shape.vector or "", 1), counts.get(shape.vector or "", 1)) * min(1.0, threads / parts)
        chunk = each * prod(counts.values()) / chunks + reads / FAR_BYTES + CLAIM_CYCLES
        return ceil(chunks / threads) * chunk * (1.0 + LATE * threads / chunks)

    choices = [blocks, *_of_all_rows(kernel, order, counts, threads)]
    return min(choices, key=lambda b: cycles(b, counts) + NARROW * cycles(b, narrow))


def rows_in_parts(decided: list[Decision], counts: Mapping[str, int], row: str, cost: float) -> list[Decision]:
    """The decisions with blocks of as few rows as are worth a claim: threads then have whole blocks where rows are few."""
    blocks = {d.axis: d.tiles for d in decided if isinstance(d, Block)}
    each = cost * prod(min(n, counts[a]) for a, n in blocks.items() if a != row) / prod(counts.values())
    tiles = min(blocks.get(row, 1), ceil(PART_CYCLES / max(1.0, each)))
    others: list[Decision] = [d for d in decided if not (isinstance(d, Block) and d.axis == row)]
    return [*others, Block(row, tiles)] if tiles > 1 else others


def _of_all_rows(kernel: Kernel, order: list[str], counts: Mapping[str, int], threads: int) -> Iterator[list[Block]]:
    """Blocks of all rows of a level, which are the innermost tiles, and of some tiles of the other axes."""
    inner = [Block(order[-1], EVERY)]
    for a in reversed(order[:-1]):
        if not isinstance(kernel.axis(a).extent, int):
            return
        for c in _candidates(counts[a], threads):
            yield [*inner, *([Block(a, c)] if c > 1 else [])]
        inner += [Block(a, counts[a])] if counts[a] > 1 else []


def chunk_count(counts: Mapping[str, int], blocks: list[Block]) -> int:
    """How many chunks there are of so many tiles."""
    return prod(ceil(n / next((b.tiles for b in blocks if b.axis == a), 1)) for a, n in counts.items())


def nominal_chunks(kernel: Kernel, schedule: Schedule, sizes: Mapping[str, int]) -> int:
    """How many chunks a kernel has at nominal sizes."""
    counts: dict[str, int] = {}
    for a in kernel.free:
        size = schedule.rows(a.name)
        if schedule.vector and schedule.vector.axis == a.name:
            size = schedule.vector.lanes * schedule.vector.count
        counts[a.name] = ceil(nominal(a.extent, sizes) / size)
    return chunk_count(counts, [d for d in schedule.decisions if isinstance(d, Block)])


def _cheapest(
    kernel: Kernel, work: Work, shape: TileShape, order: list[str], counts: dict[str, int], each: float, machine: Machine,
    threads: int,
) -> list[Block]:  # fmt: skip
    """`each` is the cost of one tile, `counts` says how many there are."""
    total = 1
    for n in counts.values():
        total *= n
    best: tuple[float, list[Block]] | None = None
    inner: list[Block] = []
    inside = 1
    panels = 1
    behind = shape.vector in order and shape.vector not in kernel.reduced  # the vectors, in the order of loops
    for a in reversed(order):
        behind = behind and a != shape.vector
        for c in _candidates(counts[a], threads):
            chunks = ceil(counts[a] / c) * (total // (inside * counts[a]))
            reads = (c if a == shape.vector else panels) * _panel_bytes(kernel, work, shape, machine)
            if behind:  # the chunks of a thread follow one another along the rows: it reads a panel once
                reads *= min(1.0, threads * c / counts[a])
            chunk = inside * c * each + reads / FAR_BYTES + CLAIM_CYCLES
            estimate = ceil(chunks / threads) * chunk * (1.0 + LATE * threads / chunks)
            if best is None or estimate < best[0]:
                best = (estimate, [*inner, *([Block(a, c)] if c > 1 else [])])
        if not isinstance(kernel.axis(a).extent, int):
            break
        inside *= counts[a]
        panels *= counts[a] if a == shape.vector else 1
        inner += [Block(a, counts[a])] if counts[a] > 1 else []
    return best[1] if best else []


def _candidates(count: int, threads: int) -> list[int]:
    """Numbers of tiles worth trying: few, and those that give each thread the same number of chunks."""
    found = {c for c in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64) if c <= count}
    found |= {ceil(count / (threads * k)) for k in range(1, 17)} | {count}
    return sorted(found)


def moved_bytes(kernel: Kernel, work: Work, few: Set[str]) -> float:
    """What a point of the few axes reads and writes outside of reductions, most of which other threads have or want."""
    total = 0.0
    for a in (*work.loads, *work.stores):
        if a.reduction is None:
            own = tuple(name for name in a.strides or work.extents if name not in few and name not in kernel.reduced)
            total += work.points(own) * kernel.operands[a.operand].dtype.bytes
    return total


def _panel_bytes(kernel: Kernel, work: Work, shape: TileShape, machine: Machine) -> float:
    """What a chunk reads anew for each of its vector tiles, whatever its rows: the operands that rows share."""
    if shape.vector is None or not kernel.reductions or shape.vector in kernel.reduced:
        return 0.0
    total = 0.0
    for a in work.loads:
        if a.reduction is not None and a.stride(shape.vector) and not (shape.row and a.stride(shape.row)):
            reduced = next(r.axes for name, r in kernel.reductions if name == a.reduction)
            total += work.points(reduced) * machine.lanes * shape.count * kernel.operands[a.operand].dtype.bytes
    return total
