"""Kernel and schedule to loops.

One scheme serves every kernel. The free axes are cut into tiles; a chunk of tiles is one iteration of a parallel loop. A
register tile has `rows` of one axis and `count` vectors of another; its accumulators stay in registers while the reduced
axes run; then the epilogue turns them into the stored values. Pointwise kernels are the case without reductions, row sums
the case in which the vectors lie along a reduced axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from bough.ir import loops
from bough.ir.dtypes import I64, DType
from bough.ir.expr import (
    Apply,
    Cast,
    Const,
    Expr,
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
    select,
    sub,
    substitute,
    variables,
)
from bough.ir.kernel import Kernel, Reduce
from bough.schedule.ahead import Ahead
from bough.schedule.decisions import Schedule, Use
from bough.schedule.epilogue import ACCUMULATORS, STAGED, Stmts
from bough.schedule.places import Point
from bough.schedule.reductions import SUM_BLOCK, combine, unit_of

TOTAL = "total"


def lower_kernel(kernel: Kernel, schedule: Schedule) -> loops.For:
    """The loops of one kernel: a parallel loop over its chunks, or a serial one if the schedule says so.

    Operands become flat buffers of the same names, indexed by row-major addresses. Axes on which a loaded extent depends are
    neither rows nor vectors of a tile, nor is the axis of that extent.
    """
    return _Lowering(kernel, schedule).run()


class _Lowering(Ahead):
    # Tiles and chunks

    def run(self) -> loops.For:
        order = self.schedule.order(self.free)
        body: Callable[[], Stmts] = self.tiles
        for axis in reversed(order):
            body = self.tile_loop(axis, body)
        inner = body()
        chunks: Expr = Const(1)
        lets: list[loops.Stmt] = []
        blocks = {a: self.blocks(a) for a in order}
        index = self.chunk(blocks)
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
        return loops.For("chunk", Const(0), chunks, (*self.kept_rows(), *lets, *inner), kind, location=self.kernel.location)

    def chunk(self, blocks: Mapping[str, Expr]) -> Expr:
        """The number, in the order of the loops, of the chunk that an iteration of the parallel loop runs."""
        here, serpentine, follow = Var("chunk"), self.schedule.serpentine, self.schedule.follow
        if follow:
            rows, others = blocks[follow.axis], _product(n for a, n in blocks.items() if a != follow.axis)
            turned = add(mul(mod(here, others), rows), floordiv(here, others))
            return select(apply("ge", rows, Const(follow.least)), turned, here)
        if serpentine is None:
            return here
        base = mul(floordiv(here, serpentine.segment), serpentine.segment)
        last = sub(minimum(add(base, serpentine.segment), _product(blocks.values())), 1)
        odd = apply("eq", mod(Var(serpentine.loop), 2), Const(1))
        return select(odd, sub(add(base, last), here), here)

    def tile_loop(self, axis: str, body: Callable[[], Stmts]) -> Callable[[], Stmts]:
        """for tile of the axis in this chunk: body"""
        per = self.schedule.block(axis)
        tiles = ceildiv(as_expr(self.extents[axis]), self.tile(axis))

        def build() -> Stmts:
            block = Var(f"{axis}.block")
            if self.whole(axis):
                return (loops.For(f"{axis}.tile", Const(0), tiles, body()),)
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
                if load.source in self.kept:
                    continue  # its rows are whole blocks
                for i in load.index:
                    if self.vector.axis in variables(i) and not _padded(i, self.vector.axis, width):
                        return True
        return False

    def rows(self) -> Stmts:
        """The register tile, whole where the rows fit; smaller tiles of 1, 2, 4, ... rows for what is left."""
        if self.row is None:
            return self.register_tile(1, Const(0))
        size, extent = self.schedule.rows(self.row), as_expr(self.extents[self.row])
        if self.even:
            return self.even_rows(self.row, size, extent)
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

    def even_rows(self, row: str, size: int, extent: Expr) -> Stmts:
        """The register tile with as many rows as there are. A staged epilogue follows once, for them all."""
        tile, tiles, first, left = Var(f"{row}.tile"), Var(f"{row}.tiles"), Var(f"{row}.first"), Var(f"{row}.rows")
        share = sub(floordiv(mul(add(tile, 1), extent), tiles), first)
        lets = (
            loops.Let(tiles.name, ceildiv(extent, size)),
            loops.Let(first.name, floordiv(mul(tile, extent), tiles)),
            loops.Let(left.name, share),
        )
        shared = self.schedule.staged and bool(self.reductions) and not self.across
        build = self.sums if shared else self.register_tile

        def versions(low: int, high: int) -> Stmts:
            if low == high:
                return build(low, Const(0))
            middle = (low + high) // 2
            return (loops.If(apply("le", left, Const(middle)), versions(low, middle), versions(middle + 1, high)),)

        if not shared:
            return (*lets, *versions(1, size))
        return (*lets, *self.stages(size), *versions(1, size), *self.staged_epilogue(left, Const(0)))

    # Inside a tile

    def register_tile(self, rows: int, base: Expr) -> Stmts:
        body = self.accumulators(rows, base)
        if self.across:
            late = self.late_sums(Var("r"), Const(0), base, None)
            return (*body, self.unrolled("r", rows, (*late, *self.scalar_epilogue(base))))
        if self.schedule.staged and self.reductions:
            return (*self.stages(rows), *body, *self.put_aside(rows), *self.staged_epilogue(Const(rows), base))
        return (*body, self.epilogues(rows, base, ACCUMULATORS, "unroll"))

    def sums(self, rows: int, base: Expr) -> Stmts:
        return (*self.accumulators(rows, base), *self.put_aside(rows))

    def accumulators(self, rows: int, base: Expr) -> Stmts:
        """The reductions of a tile, in registers."""
        width = self.lanes
        here = self.point(base, Const(0), {})
        body: list[loops.Stmt] = [] if self.late else [*self.ragged_extents(here)]
        body += self.indices_of_rows(rows, base)
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
        return tuple(body)

    def indices_of_rows(self, rows: int, base: Expr) -> Stmts:
        """The indices that each row works out once, in memory of the thread."""
        out: list[loops.Stmt] = []
        size = 1 if self.row is None else self.schedule.rows(self.row)
        where = self.point(add(base, Var("r")), Const(0), {})
        for name, index in self.row_indices.found.items():
            out.append(loops.Alloc(loops.Buffer(name, I64, (size,), "scratch", 64)))
            place = where[self.row].offset if self.row else Const(0)
            out.append(self.unrolled("r", rows, (loops.Store(name, (place,), self.at(index, where)),)))
        return tuple(out)

    def groups(self) -> list[list[tuple[str, Reduce]]]:
        """Reductions over the same axes run in one loop nest, unless one needs the result of another."""
        out: list[list[tuple[str, Reduce]]] = []
        for name, reduce in self.reductions:
            needed = variables(substitute(reduce.body, self.locals))
            last = max((n for n, group in enumerate(out) if any(other in needed for other, _ in group)), default=-1)
            for group in out[last + 1 :]:
                if group[0][1].axes == reduce.axes:
                    group.append((name, reduce))
                    break
            else:
                out.append([(name, reduce)])
        return out

    def element(self, reduce: Reduce, where: Mapping[str, Point], at: tuple[Expr, Expr, Expr]) -> Expr:
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
        cut = self.cut(group)
        body: Callable[[Expr, Expr], Stmts]
        if self.across:
            at_axis = next(n for n in range(len(axes)) if self.is_vector_axis(group, n))
            axes = (*axes[:at_axis], *axes[at_axis + 1 :], axes[at_axis])

            def body(start: Expr, length: Expr) -> Stmts:
                return self.across_span(group, at_axis, start, length, rows, base)
        else:

            def body(start: Expr, length: Expr) -> Stmts:
                return self.span(group, start, length, rows, base)

        def nest(depth: int, start: Expr, length: Expr) -> Stmts:
            """The loops over the axes from `depth` on, the first of them over a part of its range."""
            if depth == len(axes) - 1:
                return body(start, length)
            inner = nest(depth + 1, Const(0), as_expr(self.extents[axes[depth + 1]]))
            return (loops.For(axes[depth], start, add(start, length), inner),)

        if cut is None:
            return nest(0, Const(0), as_expr(self.extents[axes[0]]))
        depth, size = cut
        extent = as_expr(self.extents[axes[depth]])
        flush = self.flush(group, rows)
        number, count = Var("sumblock"), floordiv(extent, size)
        before, ahead = self.fetches(group, int(count.value)) if depth == 0 and isinstance(count, Const) else ((), ())
        whole = (*ahead, *nest(depth, mul(number, size), Const(size)), *flush)
        blocks: Stmts = (*before, loops.For("sumblock", Const(0), count, whole))
        rest = mod(extent, size)
        if rest != Const(0):
            blocks = (*blocks, *nest(depth, sub(extent, rest), rest), *flush)
        for axis in reversed(axes[:depth]):
            blocks = (loops.For(axis, Const(0), as_expr(self.extents[axis]), blocks),)
        return (*self.totals(group, rows), *blocks, *self.finish(group, rows))

    def cut(self, group: list[tuple[str, Reduce]]) -> tuple[int, int] | None:
        """The axis (its depth) and the number of its points after which a long sum is put aside; see `SUM_BLOCK`."""
        if not self.summed(group):
            return None
        axes = group[0][1].axes
        if self.across:
            extent = self.extents[self.vector.axis] if self.vector else 0
            size = SUM_BLOCK * self.lanes * self.count
            return (len(axes) - 1, size) if not isinstance(extent, int) or 2 * extent > 3 * size else None
        points = 1
        for depth in range(len(axes) - 1, -1, -1):
            extent = self.extents[axes[depth]]
            if not isinstance(extent, int) or 2 * points * extent > 3 * SUM_BLOCK:
                return depth, max(1, SUM_BLOCK // points)
            points *= extent
        return None

    def summed(self, group: list[tuple[str, Reduce]]) -> list[tuple[str, DType]]:
        return [(name, r.body.dtype) for name, r in group if r.op == "sum" and r.body.dtype.is_float]

    def totals(self, group: list[tuple[str, Reduce]], rows: int) -> Stmts:
        """Scratch memory for the sums of finished blocks, at zero."""
        out: list[loops.Stmt] = []
        for name, dtype in self.summed(group):
            out.append(loops.Alloc(loops.Buffer(f"{TOTAL}.{name}", dtype, (rows, self.count, self.lanes), "scratch", 64)))

            def clear(r: Expr, v: Expr, lane: Expr, name: str = name, dtype: DType = dtype) -> Stmts:
                return (loops.Store(f"{TOTAL}.{name}", (r, v, lane), Const(0.0, dtype)),)

            out.append(self.each(rows, clear))
        return tuple(out)

    def flush(self, group: list[tuple[str, Reduce]], rows: int) -> Stmts:
        """Adds the accumulators to the totals and starts them anew."""
        out: list[loops.Stmt] = []
        for name, dtype in self.summed(group):

            def step(r: Expr, v: Expr, lane: Expr, name: str = name, dtype: DType = dtype) -> Stmts:
                at, acc, total = (r, v, lane), f"{ACCUMULATORS}.{name}", f"{TOTAL}.{name}"
                added = Apply("add", (Load(total, at, dtype), Load(acc, at, dtype)), dtype)
                return (loops.Store(total, at, added), loops.Store(acc, at, Const(0.0, dtype)))

            out.append(self.each(rows, step))
        return tuple(out)

    def finish(self, group: list[tuple[str, Reduce]], rows: int) -> Stmts:
        """The totals back into the accumulators."""
        out: list[loops.Stmt] = []
        for name, dtype in self.summed(group):

            def step(r: Expr, v: Expr, lane: Expr, name: str = name, dtype: DType = dtype) -> Stmts:
                at = (r, v, lane)
                return (loops.Store(f"{ACCUMULATORS}.{name}", at, Load(f"{TOTAL}.{name}", at, dtype)),)

            out.append(self.each(rows, step))
        return tuple(out)

    def span(self, group: list[tuple[str, Reduce]], start: Expr, length: Expr, rows: int, base: Expr) -> Stmts:
        """The innermost reduced axis from `start` on, unrolled as the schedule says."""
        axes = group[0][1].axes
        inner, at = axes[-1], {a: Var(a) for a in axes}
        body = self.accumulate(group, rows, base, at)
        factor, stop = self.schedule.unroll(inner), add(start, length)
        if factor == 1:
            return (loops.For(inner, start, stop, body),)
        step = self.accumulate(group, rows, base, {**at, inner: add(Var(inner), Var("u"))})
        whole = add(start, mul(floordiv(length, factor), factor))
        out: Stmts = (loops.For(inner, start, whole, (self.unrolled("u", factor, step),), step=factor),)
        return out if whole == stop else (*out, loops.For(inner, whole, stop, body))

    def accumulate(self, group: list[tuple[str, Reduce]], rows: int, base: Expr, at: Mapping[str, Expr]) -> Stmts:
        """One step of the reductions of a group for all rows and vectors of the tile."""
        out: list[loops.Stmt] = []
        first = group[0][1].axes
        for name, reduce in group:
            mine = {a: at[b] for a, b in zip(reduce.axes, first)}
            use = self.schedule.use(name)
            if use is not None and (use.group or not self.bounded):  # groups are padded to whole vectors
                out.extend(self.invoke(use, reduce, rows, base, mine))
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

    def invoke(self, use: Use, reduce: Reduce, rows: int, base: Expr, at: dict[str, Expr]) -> list[loops.Stmt]:
        """One step of a sum of products on a multiply-add instruction of the target: the operand that varies along the
        vector axis is moved to registers once for all rows that share it, the other is read as a scalar, or as a group."""
        assert self.vector is not None and isinstance(reduce.body, Apply)
        name = use.reduction
        r, v = Var("r"), Var("v")
        first: dict[str, Expr] = {use.group: Const(0)} if use.group else {}
        group = [size for g in first if isinstance(size := self.extents[g], int)]
        where = self.point(add(base, r), mul(v, self.lanes), {**at, **first})
        operands = [x for x in map(_loaded, reduce.body.args) if isinstance(x, Load)]
        assert len(operands) == 2, f"{use.instruction} multiplies two elements"
        varying = [self.varies(x, self.vector.axis) for x in operands]
        moves: dict[bool, list[loops.Stmt]] = {True: [], False: []}
        slices: list[loops.Slice] = []
        for n, (x, vector) in enumerate(zip(operands, varying)):
            place = self.at(x, where)
            assert isinstance(place, Load)
            if not vector:
                slices.append(loops.Slice(place.source, place.index, (0,) * len(group)))
                continue
            per_row = r.name in variables(place.index[0])  # by what is looked up for the row, too
            register = f"{'ab'[n]}.{name}"
            box = (self.lanes, *group)
            moves[per_row].append(loops.Alloc(loops.Buffer(register, x.dtype, (self.count, *box), "register", 64)))
            target = loops.Slice(register, (v, *(Const(0) for _ in box)), tuple(range(1, len(box) + 1)))
            load = loops.Invoke(use.load, (loops.Slice(place.source, place.index, (0,)), target))
            moves[per_row].append(self.unrolled("v", self.count, (load,)))
            slices.append(target)
        if varying == [True, False]:
            slices.reverse()
        acc = loops.Slice(f"{ACCUMULATORS}.{name}", (r, v, Const(0)), (2,))
        step = loops.Invoke(use.instruction, (acc, *slices))
        return [*moves[False], self.unrolled("r", rows, (*moves[True], self.unrolled("v", self.count, (step,))))]

    def varies(self, load: Load, axis: str) -> bool:
        return any(axis in variables(i) for i in load.index)

    def across_span(
        self, group: list[tuple[str, Reduce]], position: int, start: Expr, length: Expr, rows: int, base: Expr
    ) -> Stmts:
        """The vectors run along a reduced axis: whole vectors first, then one masked step for what is left."""
        axes, width = group[0][1].axes, self.lanes * self.count

        def steps(first: Expr, stop: Callable[[Expr], Expr]) -> Stmts:
            out: list[loops.Stmt] = []
            for name, reduce in group:
                r, v, lane = Var("r"), Var("v"), Var("lane")
                mine: dict[str, Expr] = {a: Var(b) for a, b in zip(reduce.axes, axes)}
                mine[reduce.axes[position]] = add(add(first, mul(v, self.lanes)), lane)
                value = self.element(reduce, self.point(add(base, r), Const(0), mine), (r, v, lane))
                acc = f"{ACCUMULATORS}.{name}"
                store = loops.Store(acc, (r, v, lane), combine(reduce.op, Load(acc, (r, v, lane), value.dtype), value))
                vec = loops.For("lane", Const(0), stop(v), (store,), "vector", lanes=self.lanes)
                out.append(self.unrolled("r", rows, (self.unrolled("v", self.count, (vec,)),)))
            return tuple(out)

        axis, whole = axes[position], add(start, mul(floordiv(length, width), width))
        nest: Stmts = (loops.For(axis, start, whole, steps(Var(axis), lambda v: Const(self.lanes)), step=width),)
        if whole == add(start, length):
            return nest
        left = mod(length, width)
        return (*nest, *steps(whole, lambda v: minimum(Const(self.lanes), sub(left, mul(v, self.lanes)))))

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


def _product(factors: Iterable[Expr]) -> Expr:
    product: Expr = Const(1)
    for n in factors:
        product = mul(product, n)
    return product


def _loaded(e: Expr) -> Expr:
    """What is converted."""
    return e.value if isinstance(e, Cast) else e


def _padded(index: Expr, axis: str, width: int) -> bool:
    """Whether the axis occurs only as `axis // width` and `axis % width`: the operand has whole tiles."""
    if isinstance(index, Apply) and index.function in ("floordiv", "mod") and index.args == (Var(axis), Const(width)):
        return True
    return index != Var(axis) and all(_padded(k, axis, width) for k in children(index))
