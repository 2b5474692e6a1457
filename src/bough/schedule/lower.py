"""Kernel and schedule to loops.

One scheme serves every kernel. The free axes are cut into tiles; a chunk of tiles is one iteration of a parallel loop. A
register tile has `rows` of one axis and `count` vectors of another; its accumulators stay in registers while the reduced
axes run; then the epilogue turns them into the stored values. Pointwise kernels are the case without reductions, row sums
the case in which the vectors lie along a reduced axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bough.ir import loops
from bough.ir.dtypes import BOOL, DType
from bough.ir.expr import (
    Apply,
    Cast,
    Const,
    Expr,
    Extent,
    Load,
    Var,
    add,
    apply,
    as_expr,
    ceildiv,
    children,
    floordiv,
    loads,
    minimum,
    mod,
    mul,
    rebuild,
    select,
    sub,
    substitute,
    variables,
)
from bough.ir.kernel import Kernel, Let, Reduce, Store
from bough.schedule.decisions import Schedule

ACCUMULATORS, STAGED = "acc", "staged"
UNITS: dict[str, float] = {"sum": 0.0, "prod": 1.0, "max": float("-inf"), "min": float("inf"), "any": 0.0, "all": 1.0}
COMBINE = {"sum": "add", "prod": "mul", "max": "max", "min": "min", "any": "or", "all": "and"}
Stmts = tuple[loops.Stmt, ...]


def lower_kernel(kernel: Kernel, schedule: Schedule) -> loops.For:
    """The loops of one kernel: a parallel loop over its chunks, or a serial one if the schedule says so.

    Operands become flat buffers of the same names, indexed by row-major addresses.
    """
    return _Lowering(kernel, schedule).run()


@dataclass(frozen=True, slots=True)
class _Point:
    """Where an axis stands: `start` of its tile (tile number times size) plus an `offset` smaller than `size`."""

    tile: Expr
    size: int
    offset: Expr

    @property
    def value(self) -> Expr:
        return add(mul(self.tile, self.size), self.offset)


class _Lowering:
    def __init__(self, kernel: Kernel, schedule: Schedule) -> None:
        self.kernel, self.schedule = kernel, schedule
        self.extents: dict[str, Extent] = {a.name: a.extent for a in kernel.axes}
        self.free = tuple(a.name for a in kernel.free)
        self.reductions = kernel.reductions
        self.vector = schedule.vector
        self.across = self.vector is not None and self.vector.axis in kernel.reduced
        self.lanes = self.vector.lanes if self.vector else 1
        self.count = self.vector.count if self.vector else 1
        self.row = next((a for a in self.free if schedule.rows(a) > 1), None)
        self.shapes = {o.name: o.shape for o in (*kernel.inputs, *kernel.outputs)}
        self.bounded = False
        self.locals: dict[str, Expr] = {}  # pointwise locals, down to reductions and loads
        for s in kernel.body:
            if isinstance(s, Let) and not isinstance(s.value, Reduce):
                self.locals[s.name] = substitute(s.value, self.locals)

    # Tiles and chunks

    def tile(self, axis: str) -> int:
        if self.vector and axis == self.vector.axis:
            return self.lanes * self.count
        return self.schedule.rows(axis)

    def run(self) -> loops.For:
        order = self.schedule.order(self.free)
        body: Callable[[], Stmts] = self.tiles
        for axis in reversed(order):
            body = self.tile_loop(axis, body)
        inner = body()
        chunks: Expr = Const(1)
        lets: list[loops.Stmt] = []
        blocks = {a: self.blocks(a) for a in order}
        index = self.chunk(blocks.values())
        for axis in reversed(order):
            n = blocks[axis]
            if n == Const(1):
                lets.append(loops.Let(f"{axis}.block", Const(0)))
                continue
            outermost = all(blocks[b] == Const(1) for b in order[: order.index(axis)])
            lets.append(loops.Let(f"{axis}.block", index if outermost else mod(index, n)))
            index = floordiv(index, n)
            chunks = mul(chunks, n)
        kind: loops.LoopKind = "serial" if self.schedule.serial else "parallel"
        return loops.For("chunk", Const(0), chunks, (*lets, *inner), kind, location=self.kernel.location)

    def chunk(self, blocks: Iterable[Expr]) -> Expr:
        """The number of the chunk that an iteration of the parallel loop runs."""
        here, serpentine = Var("chunk"), self.schedule.serpentine
        if serpentine is None:
            return here
        count: Expr = Const(1)
        for n in blocks:
            count = mul(count, n)
        base = mul(floordiv(here, serpentine.segment), serpentine.segment)
        last = sub(minimum(add(base, serpentine.segment), count), 1)
        odd = apply("eq", mod(Var(serpentine.loop), 2), Const(1))
        return select(odd, sub(add(base, last), here), here)

    def blocks(self, axis: str) -> Expr:
        return ceildiv(as_expr(self.extents[axis]), self.tile(axis) * self.schedule.block(axis))

    def tile_loop(self, axis: str, body: Callable[[], Stmts]) -> Callable[[], Stmts]:
        """for tile of the axis in this chunk: body"""
        per = self.schedule.block(axis)
        tiles = ceildiv(as_expr(self.extents[axis]), self.tile(axis))

        def build() -> Stmts:
            block = Var(f"{axis}.block")
            if per == 1:
                return (loops.Let(f"{axis}.tile", block), *body())
            start = mul(block, per)
            stop = minimum(add(start, per), tiles)
            return (loops.For(f"{axis}.tile", start, stop, body()),)

        return build

    def tiles(self) -> Stmts:
        """Register tiles for whole vectors; where loads must not run over the end, other code for the last vectors."""
        if self.vector is None or self.across or self.whole_vectors() or not self.runs_over():
            return self.rows()
        width = self.lanes * self.count
        left = sub(as_expr(self.extents[self.vector.axis]), mul(Var(f"{self.vector.axis}.tile"), width))
        self.bounded = False
        whole = self.rows()
        self.bounded = True
        rest = self.rows()
        return (loops.If(apply("ge", left, Const(width)), whole, rest),)

    def whole_vectors(self) -> bool:
        assert self.vector is not None
        extent = self.extents[self.vector.axis]
        return isinstance(extent, int) and extent % (self.lanes * self.count) == 0

    def runs_over(self) -> bool:
        """Whether a reduction loads along the vector axis from an operand that is not padded to whole tiles."""
        assert self.vector is not None
        width = self.lanes * self.count
        for _, reduce in self.reductions:
            for load in loads(reduce.body):
                for i in load.index:
                    if self.vector.axis in variables(i) and not _padded(i, self.vector.axis, width):
                        return True
        return False

    def rows(self) -> Stmts:
        """The register tile, whole where the rows fit; smaller tiles of 1, 2, 4, ... rows for what is left."""
        if self.row is None:
            return self.register_tile(1, Const(0))
        size, extent = self.schedule.rows(self.row), as_expr(self.extents[self.row])
        first = mul(Var(f"{self.row}.tile"), size)
        whole = self.register_tile(size, Const(0))
        if isinstance(extent, Const) and int(extent.value) % size == 0:
            return whole
        left = sub(extent, first)
        if isinstance(extent, Const):
            if int(extent.value) < size:
                return self.register_tile(int(extent.value), Const(0))
            return (loops.If(apply("ge", left, Const(size)), whole, self.register_tile(int(extent.value) % size, Const(0))),)
        parts: list[loops.Stmt] = []
        part = 1 << (size - 1).bit_length() - 1
        while part:
            at = Const(0) if 2 * part >= size else mul(floordiv(left, 2 * part), 2 * part)
            present = apply("ge", left, Const(part)) if 2 * part >= size else apply(
                "eq", mod(floordiv(left, part), 2), Const(1)
            )  # fmt: skip
            parts.append(loops.If(present, self.register_tile(part, at)))
            part //= 2
        return (loops.If(apply("ge", left, Const(size)), whole, tuple(parts)),)

    # Inside a tile

    def point(self, row: Expr, vector: Expr, reduced: Mapping[str, Expr]) -> dict[str, _Point]:
        """The point of all axes at row `row` and position `vector` of the tile."""
        at: dict[str, _Point] = {}
        for axis in self.free:
            offset: Expr = Const(0)
            if axis == self.row:
                offset = row
            elif self.vector and axis == self.vector.axis:
                offset = vector
            at[axis] = _Point(Var(f"{axis}.tile"), self.tile(axis), offset)
        for axis, value in reduced.items():
            at[axis] = _Point(Const(0), 1, value)
        return at

    def register_tile(self, rows: int, base: Expr) -> Stmts:
        width = self.lanes
        body: list[loops.Stmt] = []
        place = "register" if self.vector else "scratch"
        for name, reduce in self.reductions:
            shape = (rows, self.count, width)
            body.append(loops.Alloc(loops.Buffer(f"{ACCUMULATORS}.{name}", reduce.body.dtype, shape, place, 64)))
            unit = unit_of(reduce.op, reduce.body.dtype)

            def start(r: Expr, v: Expr, lane: Expr, name: str = name, unit: Expr = unit) -> Stmts:
                return (loops.Store(f"{ACCUMULATORS}.{name}", (r, v, lane), unit),)

            body.append(self.each(rows, start))
        for group in self.groups():
            body.extend(self.reduce_loops(group, rows, base))
            if self.across:
                body.extend(self.combine_lanes(group, rows))
        if self.across:
            body.append(self.unrolled("r", rows, self.scalar_epilogue(base)))
        elif self.schedule.staged and self.reductions:
            body.extend(self.staged_epilogue(rows, base))
        else:
            body.append(self.each(rows, lambda r, v, lane: self.epilogue(r, v, lane, base, ACCUMULATORS), bounded=True))
        return tuple(body)

    def unrolled(self, name: str, extent: int, body: Stmts) -> loops.Stmt:
        return loops.For(name, Const(0), Const(extent), body, "unroll")

    def each(
        self, rows: int, body: Callable[[Expr, Expr, Expr], Stmts], *, bounded: bool = False, kind: loops.LoopKind = "unroll"
    ) -> loops.Stmt:
        """Unrolled loops over rows and vectors around one vector loop. `bounded` keeps lanes inside the vector's axis."""
        inner = body(Var("r"), Var("v"), Var("lane"))
        if self.vector is None:
            nest: Stmts = (loops.Let("lane", Const(0)), *inner)
        else:
            nest = (loops.For("lane", Const(0), self.lane_stop(bounded), inner, "vector", lanes=self.lanes),)
        by_vector = loops.For("v", Const(0), Const(self.count), nest, kind)
        return loops.For("r", Const(0), Const(rows), (by_vector,), kind)

    def lane_stop(self, bounded: bool) -> Expr:
        assert self.vector is not None
        if not bounded or self.across:
            return Const(self.lanes)
        extent = as_expr(self.extents[self.vector.axis])
        width = self.lanes * self.count
        if isinstance(extent, Const) and int(extent.value) % width == 0:
            return Const(self.lanes)
        start = add(mul(Var(f"{self.vector.axis}.tile"), width), mul(Var("v"), self.lanes))
        return minimum(Const(self.lanes), sub(extent, start))

    def groups(self) -> list[list[tuple[str, Reduce]]]:
        """Reductions over the same box run in one loop nest, unless one needs the result of another."""
        out: list[list[tuple[str, Reduce]]] = []
        for name, reduce in self.reductions:
            box = [self.extents[a] for a in reduce.axes]
            needed = variables(substitute(reduce.body, self.locals))
            last = max((n for n, group in enumerate(out) if any(other in needed for other, _ in group)), default=-1)
            for group in out[last + 1 :]:
                if [self.extents[a] for a in group[0][1].axes] == box:
                    group.append((name, reduce))
                    break
            else:
                out.append([(name, reduce)])
        return out

    def element(self, reduce: Reduce, where: Mapping[str, _Point], at: tuple[Expr, Expr, Expr]) -> Expr:
        """The reduced expression at a point; what earlier reductions gave is read from their accumulators at `at`."""
        body = substitute(reduce.body, self.locals)
        r, v, lane = at
        values: dict[str, Expr] = {}
        for name, earlier in self.reductions:
            place, index = (STAGED, (r, Const(0))) if self.across else (ACCUMULATORS, (r, v, lane))
            values[name] = Load(f"{place}.{name}", index, earlier.body.dtype)
        return self.at(body, where, values)

    def reduce_loops(self, group: list[tuple[str, Reduce]], rows: int, base: Expr) -> Stmts:
        axes = group[0][1].axes
        at: dict[str, Expr] = {a: Var(a) for a in axes}
        if self.across:
            return self.across_loops(group, rows, base)
        body = self.accumulate(group, rows, base, at)
        inner = axes[-1]
        factor, extent = self.schedule.unroll(inner), as_expr(self.extents[inner])
        if factor > 1:
            step = self.accumulate(group, rows, base, {**at, inner: add(Var(inner), Var("u"))})
            whole = mul(floordiv(extent, factor), factor)
            nest: Stmts = (loops.For(inner, Const(0), whole, (self.unrolled("u", factor, step),), step=factor),)
            if whole != extent:
                nest = (*nest, loops.For(inner, whole, extent, body))
        else:
            nest = (loops.For(inner, Const(0), extent, body),)
        for axis in reversed(axes[:-1]):
            nest = (loops.For(axis, Const(0), as_expr(self.extents[axis]), nest),)
        return nest

    def accumulate(self, group: list[tuple[str, Reduce]], rows: int, base: Expr, at: Mapping[str, Expr]) -> Stmts:
        """One step of the reductions of a group for all rows and vectors of the tile."""
        out: list[loops.Stmt] = []
        first = group[0][1].axes
        for name, reduce in group:
            mine = {a: at[b] for a, b in zip(reduce.axes, first)}
            instruction = self.schedule.instruction(name)
            if instruction is not None and not self.bounded:
                out.extend(self.invoke(name, reduce, instruction, rows, base, mine))
                continue

            def step(r: Expr, v: Expr, lane: Expr, name: str = name, reduce: Reduce = reduce,
                     mine: dict[str, Expr] = mine) -> Stmts:  # fmt: skip
                where = self.point(add(base, r), add(mul(v, self.lanes), lane), mine)
                target = (r, v, lane)
                value = self.element(reduce, where, target)
                acc = Load(f"{ACCUMULATORS}.{name}", target, reduce.body.dtype)
                return (loops.Store(f"{ACCUMULATORS}.{name}", target, combine(reduce.op, acc, value)),)

            out.append(self.each(rows, step, bounded=self.bounded))
        return tuple(out)

    def invoke(
        self, name: str, reduce: Reduce, instruction: str, rows: int, base: Expr, at: dict[str, Expr]
    ) -> list[loops.Stmt]:
        """One step of a sum of products on a multiply-add instruction of the target: the operand that varies along the
        vector axis is moved to registers once for all rows that share it, the other is read as a scalar."""
        assert self.vector is not None and isinstance(reduce.body, Apply)
        prefix = instruction.rpartition(".")[0]
        r, v = Var("r"), Var("v")
        where = self.point(add(base, r), mul(v, self.lanes), at)
        operands = [x for x in reduce.body.args if isinstance(x, Load)]
        assert len(operands) == 2, f"{instruction} multiplies two elements"
        varying = [self.varies(x, self.vector.axis) for x in operands]
        moves: dict[bool, list[loops.Stmt]] = {True: [], False: []}
        slices: list[loops.Slice] = []
        for n, (x, vector) in enumerate(zip(operands, varying)):
            place = self.at(x, where)
            assert isinstance(place, Load)
            if not vector:
                slices.append(loops.Slice(place.source, place.index))
                continue
            per_row = self.row is not None and self.varies(x, self.row)
            register = f"{'ab'[n]}.{name}"
            moves[per_row].append(loops.Alloc(loops.Buffer(register, x.dtype, (self.count, self.lanes), "register", 64)))
            target = loops.Slice(register, (v, Const(0)), (1,))
            load = loops.Invoke(f"{prefix}.load", (loops.Slice(place.source, place.index, (0,)), target))
            moves[per_row].append(self.unrolled("v", self.count, (load,)))
            slices.append(target)
        if varying == [True, False]:
            slices.reverse()
        acc = loops.Slice(f"{ACCUMULATORS}.{name}", (r, v, Const(0)), (2,))
        step = loops.Invoke(instruction, (acc, *slices))
        return [*moves[False], self.unrolled("r", rows, (*moves[True], self.unrolled("v", self.count, (step,))))]

    def varies(self, load: Load, axis: str) -> bool:
        return any(axis in variables(i) for i in load.index)

    def across_loops(self, group: list[tuple[str, Reduce]], rows: int, base: Expr) -> Stmts:
        """The vectors run along a reduced axis: whole vectors first, then one masked step for what is left."""
        assert self.vector is not None
        axes, width = group[0][1].axes, self.lanes * self.count
        position = next(n for n, _ in enumerate(axes) if self.is_vector_axis(group, n))
        extent = as_expr(self.extents[axes[position]])

        def steps(start: Expr, stop: Callable[[Expr], Expr]) -> Stmts:
            out: list[loops.Stmt] = []
            for name, reduce in group:
                r, v, lane = Var("r"), Var("v"), Var("lane")
                mine: dict[str, Expr] = {a: Var(b) for a, b in zip(reduce.axes, axes)}
                mine[reduce.axes[position]] = add(add(start, mul(v, self.lanes)), lane)
                value = self.element(reduce, self.point(add(base, r), Const(0), mine), (r, v, lane))
                acc = f"{ACCUMULATORS}.{name}"
                store = loops.Store(acc, (r, v, lane), combine(reduce.op, Load(acc, (r, v, lane), value.dtype), value))
                vec = loops.For("lane", Const(0), stop(v), (store,), "vector", lanes=self.lanes)
                out.append(self.unrolled("r", rows, (self.unrolled("v", self.count, (vec,)),)))
            return tuple(out)

        whole = mul(floordiv(extent, width), width)
        axis = axes[position]
        nest: Stmts = (loops.For(axis, Const(0), whole, steps(Var(axis), lambda v: Const(self.lanes)), step=width),)
        if whole != extent:
            left = sub(extent, whole)
            nest = (*nest, *steps(whole, lambda v: minimum(Const(self.lanes), sub(left, mul(v, self.lanes)))))
        for n in reversed([n for n in range(len(axes)) if n != position]):
            nest = (loops.For(axes[n], Const(0), as_expr(self.extents[axes[n]]), nest),)
        return nest

    def is_vector_axis(self, group: list[tuple[str, Reduce]], n: int) -> bool:
        assert self.vector is not None
        return any(r.axes[n] == self.vector.axis for _, r in group)

    def combine_lanes(self, group: list[tuple[str, Reduce]], rows: int) -> Stmts:
        """Folds the vectors of each accumulator into its first element, by halving."""
        out: list[loops.Stmt] = []
        for name, reduce in group:
            acc, staged, dtype = f"{ACCUMULATORS}.{name}", f"{STAGED}.{name}", reduce.body.dtype
            out.append(loops.Alloc(loops.Buffer(staged, dtype, (rows, self.lanes), "scratch", 64)))
            r, lane = Var("r"), Var("lane")
            total: Expr = Load(acc, (r, Const(0), lane), dtype)
            for v in range(1, self.count):
                total = combine(reduce.op, total, Load(acc, (r, Const(v), lane), dtype))
            fold: list[loops.Stmt] = [
                loops.For("lane", Const(0), Const(self.lanes), (loops.Store(staged, (r, lane), total),), "vector",
                          lanes=self.lanes)
            ]  # fmt: skip
            half = self.lanes // 2
            while half:
                pair = combine(reduce.op, Load(staged, (r, lane), dtype), Load(staged, (r, add(lane, half)), dtype))
                store = loops.Store(staged, (r, lane), pair)
                fold.append(loops.For("lane", Const(0), Const(half), (store,), "vector", lanes=half))
                half //= 2
            out.append(self.unrolled("r", rows, tuple(fold)))
        return tuple(out)

    def scalar_epilogue(self, base: Expr) -> Stmts:
        return self.statements(
            self.point(add(base, Var("r")), Const(0), {}), lambda name, t: Load(f"{STAGED}.{name}", (Var("r"), Const(0)), t)
        )

    def staged_epilogue(self, rows: int, base: Expr) -> Stmts:
        out: list[loops.Stmt] = []
        for name, reduce in self.reductions:
            dtype = reduce.body.dtype
            shape = (rows, self.count, self.lanes)
            out.append(loops.Alloc(loops.Buffer(f"{STAGED}.{name}", dtype, shape, "scratch", 64)))

            def move(r: Expr, v: Expr, lane: Expr, name: str = name, dtype: DType = dtype) -> Stmts:
                at = (r, v, lane)
                return (loops.Store(f"{STAGED}.{name}", at, Load(f"{ACCUMULATORS}.{name}", at, dtype)),)

            out.append(self.each(rows, move))
        out.append(
            self.each(rows, lambda r, v, lane: self.epilogue(r, v, lane, base, STAGED), bounded=True, kind="serial")
        )
        return tuple(out)

    def epilogue(self, r: Expr, v: Expr, lane: Expr, base: Expr, source: str) -> Stmts:
        where = self.point(add(base, r), add(mul(v, self.lanes), lane), {})
        return self.statements(where, lambda name, t: Load(f"{source}.{name}", (r, v, lane), t))

    def statements(self, where: dict[str, _Point], result: Callable[[str, DType], Expr]) -> Stmts:
        """The body of the kernel behind its reductions, at one point."""
        values: dict[str, Expr] = {name: result(name, r.body.dtype) for name, r in self.reductions}
        out: list[loops.Stmt] = []
        for s in self.kernel.body:
            if isinstance(s, Let) and not isinstance(s.value, Reduce):
                out.append(loops.Let(s.name, self.at(s.value, where, values)))
            elif isinstance(s, Store):
                address = self.address(s.target, tuple(self.at(i, where, values) for i in s.index))
                out.append(loops.Store(s.target, (address,), self.at(s.value, where, values)))
        return tuple(out)

    # Expressions at a point

    def at(self, e: Expr, where: Mapping[str, _Point], values: Mapping[str, Expr] | None = None) -> Expr:
        """The expression with axes at their point, locals of reductions by their accumulators, loads by flat addresses."""
        if isinstance(e, Var):
            if e.name in where:
                return where[e.name].value
            return values.get(e.name, e) if values else e
        if isinstance(e, Apply) and e.function in ("floordiv", "mod") and isinstance(e.args[0], Var):
            point = where.get(e.args[0].name)
            if point is not None and point.size > 1 and e.args[1] == Const(point.size):
                return point.tile if e.function == "floordiv" else point.offset
        kids = children(e)
        new = rebuild(e, tuple(self.at(k, where, values) for k in kids)) if kids else e
        if isinstance(new, Load):
            return Load(new.source, (self.address(new.source, new.index),), new.dtype)
        return new

    def address(self, operand: str, index: tuple[Expr, ...]) -> Expr:
        """The row-major address of an element."""
        flat: Expr = Const(0)
        for size, i in zip(self.shapes[operand], index):
            flat = add(mul(flat, size), i)
        return flat


def _padded(index: Expr, axis: str, width: int) -> bool:
    """Whether the axis occurs only as `axis // width` and `axis % width`: the operand has whole tiles."""
    if isinstance(index, Apply) and index.function in ("floordiv", "mod") and index.args == (Var(axis), Const(width)):
        return True
    return index != Var(axis) and all(_padded(k, axis, width) for k in children(index))


def unit_of(op: str, dtype: DType) -> Const:
    """The value that leaves a reduction unchanged."""
    if dtype == BOOL:
        return Const(bool(UNITS[op]), BOOL)
    if dtype.is_integer:
        low, high = -(2 ** (dtype.bits - 1)), 2 ** (dtype.bits - 1) - 1
        if dtype.kind == "uint":
            low, high = 0, 2**dtype.bits - 1
        return Const({"sum": 0, "prod": 1, "max": low, "min": high, "any": 0, "all": 1}[op], dtype)
    return Const(UNITS[op], dtype)


def combine(op: str, acc: Expr, value: Expr) -> Expr:
    """One step of a reduction. A sum of float products takes one rounding per step (fused multiply-add)."""
    if op == "sum" and isinstance(value, Apply) and value.function == "mul" and value.dtype.is_float:
        return Apply("fma", (value.args[0], value.args[1], acc), acc.dtype)
    if op == "sum" and isinstance(value, Cast) and value.dtype != acc.dtype:
        return Apply("add", (acc, Cast(value, acc.dtype)), acc.dtype)
    return Apply(COMBINE[op], (acc, value), acc.dtype)
