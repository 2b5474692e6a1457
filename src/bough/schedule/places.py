"""Where the elements of a register tile stand: axes at a point, operands by flat addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bough.ir import loops
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
    children,
    mul,
    rebuild,
    sub,
    substitute,
    variables,
)
from bough.ir.kernel import Axis, Kernel, Let, Reduce
from bough.schedule.access import row_places
from bough.schedule.decisions import Keep, Schedule
from bough.schedule.row_indices import RowIndices


@dataclass(frozen=True, slots=True)
class Point:
    """Where an axis stands: `start` of its tile (tile number times size) plus an `offset` smaller than `size`."""

    tile: Expr
    size: int
    offset: Expr

    @property
    def value(self) -> Expr:
        return add(mul(self.tile, self.size), self.offset)


def late_reductions(kernel: Kernel) -> tuple[tuple[str, Reduce], ...]:
    """Ragged reductions beside others that do not need them: they run in the epilogue, row by row, while the others have
    tiles of many rows."""
    ragged = {a.name for a in kernel.ragged}
    late = tuple((name, r) for name, r in kernel.reductions if not ragged.isdisjoint(r.axes))
    needed = {name for name, _ in late}
    for s in kernel.body:
        if isinstance(s, Let):
            value = s.value.body if isinstance(s.value, Reduce) else s.value
            if needed & variables(value):
                if isinstance(s.value, Reduce):
                    return ()
                needed.add(s.name)
    return late if len(late) < len(kernel.reductions) else ()


def kept_places(kernel: Kernel, keep: Keep | None) -> dict[str, dict[int, str]]:
    """Where the arrays that a thread keeps to itself, of those that the kernel touches, have their rows."""
    if keep is None:
        return {}
    return {n: row_places(kernel, keep.rows, n) or {} for n in keep.arrays if n in kernel.operands}


class Places:
    """The axes of a kernel under a schedule, and expressions at a point of a register tile."""

    def __init__(self, kernel: Kernel, schedule: Schedule) -> None:
        self.kernel, self.schedule = kernel, schedule
        self.ragged: dict[Expr, str] = {}  # loaded extents, each under the name of a local
        self.extents: dict[str, Extent] = {a.name: self.extent(a) for a in kernel.axes}
        self.free = tuple(a.name for a in kernel.free)
        self.late = late_reductions(kernel)
        self.reductions = tuple(self.around(*r) for r in kernel.reductions if r not in self.late)
        self.vector = schedule.vector
        self.across = self.vector is not None and self.vector.axis in kernel.reduced
        self.lanes = self.vector.lanes if self.vector else 1
        self.count = self.vector.count if self.vector else 1
        self.row = next((a for a in self.free if schedule.rows(a) > 1), None)
        self.even = self.row is not None and schedule.even(self.row)
        self.shapes = {o.name: o.shape for o in (*kernel.inputs, *kernel.outputs)}
        self.keep = schedule.keep
        self.kept = kept_places(kernel, schedule.keep)
        self.bounded = False
        self.locals: dict[str, Expr] = {}  # pointwise locals, down to reductions and loads
        for s in kernel.body:
            if isinstance(s, Let) and not isinstance(s.value, Reduce):
                self.locals[s.name] = substitute(s.value, self.locals)
        apart = {*kernel.reduced, *(name for name, _ in kernel.reductions)} | ({self.vector.axis} if self.vector else set())
        self.row_indices = RowIndices(apart)
        self.reductions = tuple((name, self.row_indices.taken_out(r, self.locals)) for name, r in self.reductions)

    def around(self, name: str, reduce: Reduce) -> tuple[str, Reduce]:
        """The reduction over the axes that its instruction does not take whole: those with loops."""
        use = self.schedule.use(name)
        return name, replace(reduce, axes=tuple(a for a in reduce.axes if a != use.group)) if use else reduce

    def extent(self, axis: Axis) -> Extent:
        if axis not in self.kernel.ragged:
            return axis.extent
        return Var(self.ragged.setdefault(as_expr(axis.extent), f"{axis.name}.extent"))

    def tile(self, axis: str) -> int:
        if self.vector and axis == self.vector.axis:
            return self.lanes * self.count
        return self.schedule.rows(axis)

    def whole(self, axis: str) -> bool:
        """Whether each chunk has all points of a free axis."""
        return self.keep is not None and axis not in self.keep.rows

    def blocks(self, axis: str) -> Expr:
        """In how many parts chunks share out a free axis."""
        if self.whole(axis):
            return Const(1)
        return ceildiv(as_expr(self.extents[axis]), self.tile(axis) * self.schedule.block(axis))

    def point(self, row: Expr, vector: Expr, reduced: Mapping[str, Expr]) -> dict[str, Point]:
        """The point of all axes at row `row` and position `vector` of the tile."""
        at: dict[str, Point] = {}
        for axis in self.free:
            offset: Expr = Const(0)
            if axis == self.row:
                offset = row
                if self.even:
                    at[axis] = Point(Var(f"{axis}.first"), 1, offset)
                    continue
            elif self.vector and axis == self.vector.axis:
                offset = vector
            at[axis] = Point(Var(f"{axis}.tile"), self.tile(axis), offset)
        for axis, value in reduced.items():
            at[axis] = Point(Const(0), 1, value)
        return at

    def at(self, e: Expr, where: Mapping[str, Point], values: Mapping[str, Expr] | None = None) -> Expr:
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
        if isinstance(new, Load) and new.source in self.row_indices.names:
            return replace(new, index=(where[self.row].offset if self.row else Const(0),))
        if isinstance(new, Load):
            return Load(new.source, (self.address(new.source, new.index),), new.dtype)
        return new

    def address(self, operand: str, index: tuple[Expr, ...]) -> Expr:
        """The row-major address of an element; of what a thread keeps to itself, among the rows of its chunk."""
        rows = self.kept.get(operand, {})
        flat: Expr = Const(0)
        for n, (size, i) in enumerate(zip(self.shapes[operand], index)):
            if n not in rows:
                flat = add(mul(flat, size), i)
            elif self.keep is not None and rows[n] == self.keep.rows[-1]:
                first = mul(Var(f"{rows[n]}.block"), self.keep.block)
                flat = add(mul(flat, self.keep.block), sub(i, first))
        return flat

    def kept_rows(self) -> tuple[loops.Alloc, ...]:
        """Memory of the thread for its rows of the arrays that it keeps to itself."""
        out: list[loops.Alloc] = []
        for name, rows in self.kept.items():
            assert self.keep is not None
            size, o = self.keep.block, self.kernel.operands[name]
            for n, e in enumerate(o.shape):
                assert n in rows or isinstance(e, int), "rows have a known number of elements"
                size *= e if n not in rows and isinstance(e, int) else 1
            out.append(loops.Alloc(loops.Buffer(name, o.dtype, (size,), "scratch", 64)))
        return tuple(out)
