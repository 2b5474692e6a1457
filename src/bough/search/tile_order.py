"""In which order the loops over tiles go: so that what each step reads anew is little, and near."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, prod

from bough.ir.kernel import Kernel
from bough.schedule.access import Access
from bough.search.cost import Machine, TileShape, Work, nominal


def tile_order(kernel: Kernel, work: Work, shape: TileShape, machine: Machine, sizes: Mapping[str, int]) -> list[str]:
    """The free axes, outermost first: other axes than those of the tile, then the vectors, then the rows; without reductions
    vectors run innermost."""
    inner = [a for a in (shape.row,) if a]
    outer = [a.name for a in kernel.free if a.name not in inner and a.name != shape.vector]
    if shape.vector is None or shape.vector in kernel.reduced:
        return [*outer, *inner]
    if not kernel.reductions:
        return [*outer, *inner, shape.vector]
    again = _read_again(kernel, work, shape, outer, machine, sizes)
    return [*(a for a in outer if a not in again), shape.vector, *again, *inner]


def _read_again(
    kernel: Kernel, work: Work, shape: TileShape, outer: list[str], machine: Machine, sizes: Mapping[str, int]
) -> list[str]:
    """Those of the outer axes at each point of which a product would read anew all that lies along the vectors: where that does
    not stay near, and is more than all else that each vector tile would read anew if they were inside."""
    assert shape.vector is not None
    reads = [a for a in work.loads if a.reduction is not None]
    panels, others = ([a for a in reads if bool(a.stride(shape.vector)) == along] for along in (True, False))
    again = [a for a in outer if not any(x.stride(a) for x in panels)]
    fixed = {a for a in outer if a not in again}

    def size(access: Access) -> int:
        points = prod(e for a, e in work.extents.items() if a not in fixed and access.stride(a))
        held = kernel.operands[access.operand]
        return held.dtype.bytes * min(points, prod(nominal(e, sizes) for e in held.shape))

    weights, rest = sum(map(size, panels)), sum(map(size, others))
    tiles = ceil(work.extents[shape.vector] / (machine.lanes * shape.count))
    return again if weights > machine.near_bytes / 2 and rest * tiles < weights * work.points(tuple(again)) else []
