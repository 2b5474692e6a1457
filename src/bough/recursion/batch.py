"""One kernel of a cell, for one activation, to one kernel for all activations of a region.

    y[j] = sum(k) x[k] * w[j, k]      ->      axes n: size      y[n, j] = sum(k) x[begin + n, k] * w[j, k]

A free axis along a walk and the axis over activations become one axis over the region's elements; a reduction along a walk
keeps its axis, whose extent is then that activation's number of elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bough.base.errors import CompileError
from bough.graph_passes.lower_program import loaded
from bough.ir.dtypes import DType
from bough.ir.expr import Const, Expr, Extent, Load, Var, apply, as_expr, as_extent, children, maximum, rebuild, select, variables
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Statement, Store
from bough.ir.sequence import map_loads, map_statement
from bough.recursion.places import Place, Point, Region, Walks


def batch(
    kernel: Kernel, places: Mapping[str, Place], walks: Walks, region: Region, tables: Mapping[str, Operand],
    within: Expr | None = None, kept: frozenset[str] = frozenset(),
) -> Kernel:  # fmt: skip
    """The kernel for all activations of the region. `places` says where each of its arrays lies.

    `within`: a condition, over lengths of walks, without which the kernel does nothing at an activation: then zeros are
    stored, or in `kept` arrays what was there before.
    """
    return _Batch(kernel, places, walks, region, tables, within, kept).run()


def unbatched(kernel: Kernel, places: Mapping[str, Place]) -> Kernel:
    """The kernel, which depends on no object, over the arrays that its own stand for."""

    def change(load: Load) -> Expr:
        return Load(places[load.source].operand.name, load.index, load.dtype)

    body = tuple(map_statement(s, lambda e: map_loads(e, change)) for s in kernel.body)
    return replace(
        kernel,
        inputs=tuple(places[o.name].operand for o in kernel.inputs),
        outputs=tuple(places[o.name].operand for o in kernel.outputs),
        body=tuple(Store(places[s.target].operand.name, s.index, s.value) if isinstance(s, Store) else s for s in body),
    )


def separate(kernel: Kernel) -> tuple[Kernel, ...]:
    """A kernel for each output; the same kernel where it has but one."""
    if len(kernel.outputs) == 1:
        return (kernel,)
    parts = []
    for o in kernel.outputs:
        body = live(tuple(s for s in kernel.body if isinstance(s, Let) or s.target == o.name))
        read = loaded(body)
        used = {v for s in body for v in named(s)}
        axes = tuple(a for a in kernel.axes if a.name in used)
        parts.append(
            replace(kernel, axes=axes, inputs=tuple(i for i in kernel.inputs if i.name in read), outputs=(o,), body=body)
        )
    return tuple(parts)


def live(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """The body without locals that nothing names."""
    out: list[Statement] = []
    used: set[str] = set()
    for s in reversed(body):
        if isinstance(s, Store) or s.name in used:
            used |= named(s)
            out.append(s)
    return tuple(reversed(out))


def named(s: Statement) -> set[str]:
    """The axes, locals and scalars that a statement names."""
    if isinstance(s, Store):
        return set().union(variables(s.value), *(variables(i) for i in s.index))
    return variables(s.value.body) | set(s.value.axes) if isinstance(s.value, Reduce) else variables(s.value)


class _Batch:
    def __init__(
        self, kernel: Kernel, places: Mapping[str, Place], walks: Walks, region: Region, tables: Mapping[str, Operand],
        within: Expr | None, kept: frozenset[str],
    ) -> None:  # fmt: skip
        self.kernel, self.places, self.tables, self.kept = kernel, places, tables, kept
        self.walks = walks
        self.point = self.choose_point(region)
        self.lengths = walks.lengths(self.point.activation)
        self.padded = {
            a.name: apply("lt", Var(a.name), self.change(as_expr(a.extent)))
            for a in kernel.free
            if a.name != self.point.axis and variables(as_expr(a.extent)) & set(self.lengths)
        }
        self.within = None if within is None else self.change(within)

    def choose_point(self, region: Region) -> Point:
        """An element where the output is held by elements, else an activation."""
        store = self.kernel.stores[0]
        place = self.places[store.target]
        if place.by != "element":
            taken = {a.name for a in self.kernel.axes} | {s.name for s in self.kernel.body if isinstance(s, Let)}
            return Point(self.walks, region, next(n for n in ("n", "node", "activation", "n0") if n not in taken))
        along = store.index[place.dimension]
        candidates = [a.name for a in self.kernel.free if self.walks.along(a.extent) == place.walk]
        if not candidates:
            raise CompileError(
                "this use of a list whose length is not known is not compiled",
                code="BGH-REC-006",
                because="the elements of its result cannot be told from those of the list",
                advice="write it over the whole list, as a sum, a product or a function of each element",
                location=self.kernel.location,
            )
        axis = along.name if isinstance(along, Var) and along.name in candidates else candidates[0]
        return Point(self.walks, region, axis, place.walk)

    def run(self) -> Kernel:
        kernel, point = self.kernel, self.point
        free = {a.name for a in kernel.free}
        axes = [Axis(point.axis, point.extent)]
        for a in kernel.axes:
            if a.name != point.axis:
                changed = self.walks.longest(a.extent) if a.name in free else as_extent(self.change(as_expr(a.extent)))
                axes.append(Axis(a.name, changed))
        body = tuple(self.statement(s) for s in kernel.body)
        part = self.point.region.part
        operands = {**self.tables, **{t.name: t for t in (part.tables if part else ())}}
        operands |= {p.operand.name: p.operand for p in self.places.values()}
        read = loaded(body)
        for a in axes:
            read |= _sources(a.extent)
        return replace(
            kernel,
            axes=tuple(axes),
            inputs=tuple(o for name, o in operands.items() if name in read),
            outputs=tuple(self.places[o.name].operand for o in kernel.outputs),
            body=body,
        )

    def statement(self, s: Statement) -> Statement:
        if isinstance(s, Store):
            return self.store(s)
        if isinstance(s.value, Reduce):
            return Let(s.name, Reduce(s.value.op, s.value.axes, self.guarded(s.value.body)))
        return Let(s.name, self.guarded(s.value))

    def store(self, s: Store) -> Store:
        place = self.places[s.target]
        index = self.point.index(place, tuple(map(self.store_index, s.index)), self.point.stands_for(place, s.index))
        old = Load(place.operand.name, index, place.operand.dtype) if s.target in self.kept else None
        return Store(place.operand.name, index, self.guarded(s.value, old))

    def store_index(self, e: Expr) -> Expr:
        """Behind an activation's own end, a place that exists, whose old value is stored again."""
        position = self.change(e)
        return maximum(position, 0) if self.within is not None and variables(e) & set(self.lengths) else position

    def guarded(self, e: Expr, otherwise: Expr | None = None) -> Expr:
        """The value where the point is within an activation's own end; zero behind it."""
        value = self.change(e)
        conditions = [self.padded[v] for v in sorted(variables(e)) if v in self.padded]
        if self.within is not None:
            conditions.append(self.within)
        for condition in conditions:
            value = select(condition, value, _zero(e.dtype) if otherwise is None else otherwise)
        return value

    def change(self, e: Expr) -> Expr:
        if isinstance(e, Load) and e.source in self.places:
            place = self.places[e.source]
            own = self.point.stands_for(place, e.index)
            index = self.point.index(place, tuple(map(self.change, e.index)), own)
            return Load(place.operand.name, index, e.dtype)
        if isinstance(e, Var):
            if e.name in self.lengths:
                return self.lengths[e.name]
            return self.point.position if self.point.walk is not None and e.name == self.point.axis else e
        return rebuild(e, tuple(map(self.change, children(e))))


def _zero(dtype: DType) -> Const:
    return Const(False if dtype.kind == "bool" else 0.0 if dtype.is_float else 0, dtype)


def _sources(extent: Extent) -> set[str]:
    found: set[str] = set()
    stack = [as_expr(extent)]
    while stack:
        e = stack.pop()
        if isinstance(e, Load):
            found.add(e.source)
        stack.extend(children(e))
    return found
