"""What follows the reductions of a register tile: statements and stores at each of its points, unrolled or in loops."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bough.ir import loops
from bough.ir.dtypes import DType
from bough.ir.expr import Const, Expr, Load, Var, add, as_expr, minimum, mul, sub, substitute, variables
from bough.ir.kernel import Let, Reduce, Store
from bough.schedule.access import lies_across, store_accesses
from bough.schedule.places import Places, Point
from bough.schedule.reductions import combine, unit_of

ACCUMULATORS, STAGED, LATE, ASIDE = "acc", "staged", "late", "aside"
Stmts = tuple[loops.Stmt, ...]


class Epilogues(Places):
    """The part of a register tile behind its reductions, and the loops over its points that both parts use."""

    def unrolled(self, name: str, extent: int, body: Stmts) -> loops.Stmt:
        return loops.For(name, Const(0), Const(extent), body, "unroll")

    def each(
        self, rows: int | Expr, body: Callable[[Expr, Expr, Expr], Stmts],
        before: Callable[[Expr, Expr], Stmts] = lambda r, v: (), *,
        bounded: bool = False, kind: loops.LoopKind = "unroll",
    ) -> loops.Stmt:  # fmt: skip
        """Unrolled loops over rows and vectors around one vector loop, and what comes `before` that. `bounded` keeps lanes inside
        the vector's axis."""
        inner = body(Var("r"), Var("v"), Var("lane"))
        if self.vector is None:
            nest: Stmts = (loops.Let("lane", Const(0)), *inner)
        else:
            nest = (loops.For("lane", Const(0), self.lane_stop(bounded), inner, "vector", lanes=self.lanes),)
        by_vector = loops.For("v", Const(0), Const(self.count), (*before(Var("r"), Var("v")), *nest), kind)
        return loops.For("r", Const(0), as_expr(rows), (by_vector,), kind)

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

    def scalar_epilogue(self, base: Expr) -> Stmts:
        return self.statements(
            self.point(add(base, Var("r")), Const(0), {}), self.results(Var("r"), Const(0), Const(0), None)
        )

    def stages(self, rows: int) -> Stmts:
        shape = (rows, self.count, self.lanes)
        return tuple(
            loops.Alloc(loops.Buffer(f"{STAGED}.{name}", reduce.body.dtype, shape, "scratch", 64))
            for name, reduce in self.reductions
        )

    def put_aside(self, rows: int) -> Stmts:
        """The accumulators to scratch memory."""
        out: list[loops.Stmt] = []
        for name, reduce in self.reductions:
            dtype = reduce.body.dtype

            def move(r: Expr, v: Expr, lane: Expr, name: str = name, dtype: DType = dtype) -> Stmts:
                at = (r, v, lane)
                return (loops.Store(f"{STAGED}.{name}", at, Load(f"{ACCUMULATORS}.{name}", at, dtype)),)

            out.append(self.each(rows, move))
        return tuple(out)

    def staged_epilogue(self, rows: Expr, base: Expr) -> Stmts:
        """Everything behind the reductions in scratch memory, in loops. What lies across the vectors in memory comes back through
        scratch memory, too: only an unrolled loop stores whole tiles, transposed."""
        count = int(rows.value) if isinstance(rows, Const) else 1
        crossing = self.crossing() if count > 1 else {}
        loop = self.epilogues(rows, base, STAGED, "serial", crossing)
        if not crossing:
            return (loop,)
        dtypes = {s: self.kernel.operands[s.target].dtype for s in crossing}
        shape = (count, self.count, self.lanes)
        aside = (loops.Alloc(loops.Buffer(name, dtypes[s], shape, "scratch", 64)) for s, name in crossing.items())

        def store(r: Expr, v: Expr, lane: Expr) -> Stmts:
            where = self.point(add(base, r), add(mul(v, self.lanes), lane), {})
            at = (r, v, lane)
            return tuple(self.stored(s, where, {}, Load(name, at, dtypes[s])) for s, name in crossing.items())

        return (*aside, loop, self.each(count, store, bounded=True))

    def crossing(self) -> dict[Store, str]:
        """The stores whose rows lie side by side in memory, and whose lanes do not, with names for what they store."""
        if self.vector is None or self.row is None:
            return {}
        stores = zip(self.kernel.stores, store_accesses(self.kernel), strict=True)
        found = (s for s, a in stores if lies_across(a, self.vector.axis, self.row) and self.at_axes(s))
        return {s: f"{ASIDE}.{n}" for n, s in enumerate(found)}

    def at_axes(self, s: Store) -> bool:
        """Whether the axes alone say where it stores."""
        return all(variables(i) <= self.extents.keys() for i in s.index)

    def epilogues(
        self, rows: int | Expr, base: Expr, source: str, kind: loops.LoopKind, aside: Mapping[Store, str] = {}
    ) -> loops.Stmt:
        """Everything behind the reductions, for all rows and vectors of a tile. What the stores named in `aside` store goes to
        buffers of these names."""

        def body(r: Expr, v: Expr, lane: Expr) -> Stmts:
            where = self.point(add(base, r), add(mul(v, self.lanes), lane), {})
            places = {s: (name, (r, v, lane)) for s, name in aside.items()}
            return self.statements(where, self.results(r, v, lane, source), places)

        def before(r: Expr, v: Expr) -> Stmts:
            return self.late_sums(r, v, base, source)

        return self.each(rows, body, before, bounded=True, kind=kind)

    def ragged_extents(self, here: Mapping[str, Point]) -> Stmts:
        return tuple(loops.Let(name, self.at(extent, here)) for extent, name in self.ragged.items())

    def late_sums(self, r: Expr, v: Expr, base: Expr, source: str | None) -> Stmts:
        """The ragged reductions at row `r` and vector `v`; with `source` None, of the row alone."""
        if not self.late:
            return ()
        out: list[loops.Stmt] = [*self.ragged_extents(self.point(add(base, r), Const(0), {}))]
        vectors = self.vector is not None and source is not None
        lane: Expr = Var("lane") if vectors else Const(0)

        def each_lane(s: loops.Stmt) -> loops.Stmt:
            return loops.For("lane", Const(0), self.lane_stop(True), (s,), "vector", lanes=self.lanes) if vectors else s

        for name, reduce in self.late:
            dtype = reduce.body.dtype
            total = f"{LATE}.{name}"
            width, place = (self.lanes, "register") if vectors else (1, "scratch")
            out.append(loops.Alloc(loops.Buffer(total, dtype, (width,), place, 64)))
            out.append(each_lane(loops.Store(total, (lane,), unit_of(reduce.op, dtype))))
            where = self.point(add(base, r), add(mul(v, self.lanes), lane), {a: Var(a) for a in reduce.axes})
            value = self.at(substitute(reduce.body, self.locals), where, self.results(r, v, lane, source))
            body = each_lane(loops.Store(total, (lane,), combine(reduce.op, Load(total, (lane,), dtype), value)))
            for axis in reversed(reduce.axes):
                body = loops.For(axis, Const(0), as_expr(self.extents[axis]), (body,))
            out.append(body)
        return tuple(out)

    def results(self, r: Expr, v: Expr, lane: Expr, source: str | None) -> dict[str, Expr]:
        """Where the results of the reductions are; those of the late ones, too."""
        found: dict[str, Expr] = {}
        for name, reduce in self.reductions:
            place = (r, Const(0)) if source is None else (r, v, lane)
            found[name] = Load(f"{source or STAGED}.{name}", place, reduce.body.dtype)
        return found | {name: Load(f"{LATE}.{name}", (lane,), reduce.body.dtype) for name, reduce in self.late}

    def statements(
        self, where: Mapping[str, Point], values: Mapping[str, Expr], aside: Mapping[Store, tuple[str, tuple[Expr, ...]]] = {}
    ) -> Stmts:
        """The body of the kernel behind its reductions, at one point; stores in `aside` go to other buffers, each at an index."""
        out: list[loops.Stmt] = []
        for s in self.kernel.body:
            if isinstance(s, Let) and not isinstance(s.value, Reduce):
                out.append(loops.Let(s.name, self.at(s.value, where, values)))
            elif isinstance(s, Store):
                value = self.at(s.value, where, values)
                out.append(loops.Store(*aside[s], value) if s in aside else self.stored(s, where, values, value))
        return tuple(out)

    def stored(self, s: Store, where: Mapping[str, Point], values: Mapping[str, Expr], value: Expr) -> loops.Store:
        """A store of the kernel at a point, of this value."""
        address = self.address(s.target, tuple(self.at(i, where, values) for i in s.index))
        return loops.Store(s.target, (address,), value)
