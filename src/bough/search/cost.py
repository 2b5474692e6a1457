"""The analytic cost model: cycles of a register tile, bytes it moves, and what the described machine does with both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from bough.ir.expr import Apply, Cast, Const, Expr, Extent, Load, Var, children, loads
from bough.ir.kernel import Kernel, Let, Reduce, Store
from bough.schedule.access import LARGE, Access, lies_across, load_accesses, store_accesses
from bough.targets import Grouping, Target, groupings

GATHER = 1.5
"""Cycles per lane of a load that is neither contiguous nor uniform."""

CROWDED, ROOMY = 0.1, 0.75
"""Up to this part of the registers a tile leaves room for loads ahead of their use; what time it costs to have none. Measured on
one core of a Zen 4, products of 128 to 1024 rows: 5 rows by 4 vectors are 3 to 5 % faster than 4 by 6, whose loads do more."""

LINE, PAGE = 16, 1024
"""Elements in a cache line and in a page."""

FAR_ROWS, FAR_PAGES = 1.2, 8
"""What vectors of rows cost that lie in different pages, often in the same sets of the first-level cache, too; so many pages
apart they cost as much again."""

RAGGED = 4
"""What a loaded extent counts as."""

FUNCTION_CYCLES: dict[str, float] = {
    "exp": 14, "exp2": 14, "expm1": 22, "log": 18, "log1p": 24, "log2": 18, "log10": 18, "tanh": 24, "sigmoid": 16,
    "silu": 18, "gelu": 40, "gelu_tanh": 30, "erf": 30, "erfc": 40, "sin": 30, "cos": 30, "tan": 50, "pow": 60, "div": 8,
    "sqrt": 10, "rsqrt": 16, "reciprocal": 8, "mod": 24, "floordiv": 16, "asin": 40, "acos": 40, "atan": 40, "atan2": 60,
    "sinh": 40, "cosh": 40, "asinh": 60, "acosh": 60, "atanh": 60,
    "lgamma": 120,
}  # fmt: skip
"""Cycles per vector of the functions that take more than one, on a core that starts one vector operation per cycle."""

LONG_EPILOGUE, LONG_ELEMENT = 12.0, 48.0
"""Cycles of arithmetic for one vector from which on code for a whole tile is too much: behind reductions, and without any."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the model needs of a target: all per core, vectors as wide as generic code uses them."""

    lanes: int
    registers: int
    fma_issue: float
    fma_latency: float
    load_issue: float
    frequency: float
    near_bytes: int
    """Capacity of the private cache in which a chunk's operands should stay."""
    stream: float
    """Bytes per cycle that one core reads from that cache: what a step that uses each element once is bound by."""
    groupings: tuple[Grouping, ...] = ()


def machine_of(target: Target) -> Machine:
    """Reads the model's parameters from a target's description."""
    place = target.memory(target.vector_place)
    fma = next((i for i in target.instructions if i.name.endswith(".fma")), None)
    load = next((i for i in target.instructions if i.name.endswith(".load")), None)
    private = [m for m in target.memories if m.kind == "cache" and not m.shared and m.bytes]
    near = max(private, key=lambda m: m.bytes or 0, default=None)
    return Machine(
        target.lanes, place.count, fma.issue if fma else 1.0, fma.latency if fma else 8.0, load.issue if load else 1.0,
        3.0e9, (near.bytes if near else None) or 1 << 18, (near.bandwidth if near else 0.0) or 32.0,
        groupings(target),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Work:
    """A kernel at nominal sizes."""

    extents: Mapping[str, int]
    loads: list[Access]
    stores: list[Access]

    def points(self, axes: tuple[str, ...]) -> int:
        total = 1
        for a in axes:
            total *= self.extents[a]
        return total


def work_of(kernel: Kernel, sizes: Mapping[str, int]) -> Work:
    return Work({a.name: nominal(a.extent, sizes) for a in kernel.axes}, load_accesses(kernel), store_accesses(kernel))


def nominal(extent: Extent, sizes: Mapping[str, int]) -> int:
    """The extent with symbolic sizes at their nominal values."""
    if isinstance(extent, int):
        return extent
    if loads(extent):
        return RAGGED
    match extent:
        case Const(value, _):
            return int(value)
        case Var(name, _):
            return sizes.get(name, 64)
        case Apply(function, (a, b), _):
            x, y = nominal(a, sizes), nominal(b, sizes)
            match function:
                case "add":
                    return x + y
                case "sub":
                    return x - y
                case "mul":
                    return x * y
                case "floordiv":
                    return x // max(y, 1)
                case "mod":
                    return x % max(y, 1)
                case "min":
                    return min(x, y)
                case "max":
                    return max(x, y)
    return 64


@dataclass(frozen=True, slots=True)
class TileShape:
    """A register tile: `count` vectors along `vector` (None: scalar code), `rows` points of `row`."""

    vector: str | None
    count: int
    row: str | None
    rows: int


def tile_cycles(kernel: Kernel, work: Work, shape: TileShape, packed: frozenset[int], m: Machine) -> float:
    """Cycles of one register tile, its reductions and its epilogue; infinite where the registers do not suffice."""
    lanes = m.lanes if shape.vector else 1
    reduced = kernel.reduced
    across = shape.vector in reduced if shape.vector else False
    cycles, nests = 0.0, Counter[tuple[str, ...]]()
    for name, reduce in kernel.reductions:
        steps = work.points(reduce.axes)
        if across and shape.vector in reduce.axes:
            e = work.extents[shape.vector or ""]
            steps = steps // max(e, 1) * ceil(e / (lanes * shape.count))
        mine = [(n, a) for n, a in enumerate(work.loads) if a.reduction == name]
        operations = max(1.0, expression_cycles(reduce.body))
        fused = reduce.op == "sum" and isinstance(reduce.body, Apply) and reduce.body.function == "mul"
        arithmetic = operations if fused else operations + 1.0
        if (size := _group(kernel, reduce, mine, packed, shape, m)) > 1:
            steps, arithmetic = steps // size, 1.0
        vectors = shape.rows * shape.count
        nests[reduce.axes] += vectors
        load = sum(load_cycles(a, n in packed, shape, lanes) for n, a in mine)
        busy = max(arithmetic * vectors / m.fma_issue, load / m.load_issue)
        latency = m.fma_latency / max(1, _chains(kernel, reduce, vectors))
        streamed = sum(_streamed(kernel, a, n in packed, shape, lanes) for n, a in mine)
        cycles += steps * max(busy + 0.1 * load, latency, streamed / m.stream)
        if across:
            cycles += 20.0 * shape.rows
    together = Counter(reduce.axes for _, reduce in kernel.reductions)
    live = max((vectors + together[axes] * shape.count + 1 for axes, vectors in nests.items()), default=0)
    if live > m.registers:
        return float("inf")
    cycles *= 1.0 + CROWDED * max(0.0, live / m.registers - ROOMY)
    return cycles + epilogue_cycles(kernel, work, shape, 1 if across else lanes)


def _group(
    kernel: Kernel, reduce: Reduce, mine: list[tuple[int, Access]], packed: frozenset[int], shape: TileShape, m: Machine
) -> int:
    """How many products of the sum one instruction adds up: all along its last axis, or 1."""
    types = {kernel.operands[a.operand].dtype for _, a in mine}
    along = [n for n, a in mine if shape.vector and a.stride(shape.vector) != 0]
    if len(mine) == 2 and len(along) == 1 and along[0] in packed:
        for g in m.groupings:
            if types == {g.dtype} and kernel.axis(reduce.axes[-1]).extent == g.size:
                return g.size
    return 1


def _streamed(kernel: Kernel, access: Access, packed: bool, shape: TileShape, lanes: int) -> float:
    """Bytes that a step of the tile reads along the vector axis."""
    along = access.stride(shape.vector) if shape.vector else 0
    if along == 0:
        return 0.0
    rows = shape.rows if shape.row and access.stride(shape.row) != 0 else 1
    return float(rows * shape.count * lanes * kernel.operands[access.operand].dtype.bytes)


def _chains(kernel: Kernel, reduce: Reduce, vectors: int) -> int:
    """Independent chains of additions in one loop nest."""
    return vectors * sum(r.axes == reduce.axes for _, r in kernel.reductions)


def load_cycles(access: Access, packed: bool, shape: TileShape, lanes: int) -> float:
    """Loads of one access in one step of a tile, in load operations."""
    along = access.stride(shape.vector) if shape.vector else 0
    per_row = shape.rows if shape.row and (access.stride(shape.row) != 0) else 1
    if packed and along:
        along = 1
    if access.strides is None or is_large(along):  # each lane's element in a cache line of its own
        return per_row * shape.count * lanes * GATHER * 2
    if along == 0:
        return per_row * _distance(access, shape)
    if along == 1:
        return per_row * shape.count * (_apart(access, shape) if per_row > 1 else 1.0)
    return per_row * shape.count * lanes * GATHER


def _distance(access: Access, shape: TileShape) -> float:
    """What scalars of several rows cost more that share no cache line, or no page."""
    step = _step(access, shape)
    return 1.0 if step < LINE else 1.1 if step < PAGE else 1.2


def _apart(access: Access, shape: TileShape) -> float:
    """What vectors of several rows cost more that share no page."""
    step = _step(access, shape)
    return 1.0 if step < PAGE else FAR_ROWS if step < FAR_PAGES * PAGE else FAR_ROWS**2


def _step(access: Access, shape: TileShape) -> int:
    """How far rows are from each other."""
    return abs(access.stride(shape.row) or 0) if shape.row else 0


def epilogue_cycles(kernel: Kernel, work: Work, shape: TileShape, lanes: int) -> float:
    """Everything behind the reductions, for all rows and vectors of a tile."""
    vectors = shape.rows * (shape.count if lanes > 1 or shape.vector is None else 1)
    total = computed_cycles(kernel)
    total += sum(_moved_cycles(a, shape, lanes) for a in work.loads if a.reduction is None)
    total += sum(_stored_cycles(a, shape, lanes) for a in work.stores)
    return total * vectors + 2.0


def is_long(kernel: Kernel, work: Work, shape: TileShape, lanes: int) -> bool:
    """Whether the epilogue of a vector is so long that a tile's is better not unrolled. That of a tile which is transposed is,
    unless it computes much."""
    if any(is_transposed(a, shape, lanes) for a in work.stores) and computed_cycles(kernel) < LONG_EPILOGUE:
        return False
    return epilogue_cycles(kernel, work, TileShape(shape.vector, 1, None, 1), lanes) >= LONG_EPILOGUE


def computed_cycles(kernel: Kernel) -> float:
    """The arithmetic behind the reductions, for a vector."""
    total = 0.0
    for s in kernel.body:
        if (isinstance(s, Let) and not isinstance(s.value, Reduce)) or isinstance(s, Store):
            assert not isinstance(s.value, Reduce)
            total += expression_cycles(s.value)
    return total


def _moved_cycles(access: Access, shape: TileShape, lanes: int) -> float:
    """A vector of the epilogue from or to memory, element by element where they do not lie side by side."""
    along = access.stride(shape.vector) if shape.vector and lanes > 1 else 0
    near = shape.row is None or (along is not None and abs(access.stride(shape.row) or 0) <= 1)
    return 1.0 if along in (0, 1) else lanes * GATHER * (1 if near else 2)


def _stored_cycles(access: Access, shape: TileShape, lanes: int) -> float:
    """A vector that is stored; where rows lie side by side in memory, the tile is transposed, and stored in parts of a power of
    two."""
    if not is_transposed(access, shape, lanes):
        return _moved_cycles(access, shape, lanes)
    parts = shape.rows.bit_count() / shape.rows
    return (shape.rows - 1).bit_length() + lanes * parts


def is_transposed(access: Access, shape: TileShape, lanes: int) -> bool:
    """Whether the rows of a tile, and not its vectors, lie side by side in memory."""
    if shape.vector is None or shape.row is None or lanes == 1 or shape.rows == 1:
        return False
    return lies_across(access, shape.vector, shape.row)


def expression_cycles(e: Expr) -> float:
    """Operations of an expression, in cycles per vector; index arithmetic inside loads is free."""
    match e:
        case Apply(function, args, dtype):
            own = FUNCTION_CYCLES.get(function, 1.0)
            if dtype.name == "i64" and function in ("add", "mul", "sub"):
                own = 0.5
            return own + sum(expression_cycles(a) for a in args)
        case Cast(value, _):
            return 1.0 + expression_cycles(value)
        case Load() | Const() | Var():
            return 0.0
    return sum(expression_cycles(k) for k in children(e))


def is_large(stride: int | None) -> bool:
    """Whether a stride depends on a symbolic size."""
    return stride is None or abs(stride) >= LARGE
