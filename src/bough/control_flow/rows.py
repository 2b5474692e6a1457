"""One kernel of one sample to one kernel for all samples of a region: each operand has a row for each sample.

    y[j] = sum(k) x[k] * w[j, k]      ->      axes n: size      y[n, j] = sum(k) x[members[n], k] * w[j, k]

Sizes that differ between samples: the elements of all samples along a free axis lie end to end, on one axis over all of them.

    y[i, j] = ...      ->      axes e: elements      y[samples[e], places[e], j] = ...

Other such axes are as long as the longest sample's; what is behind a sample's own end adds nothing to sums, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bough.control_flow.regions import EndToEnd, Region
from bough.ir.dtypes import I64, DType
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
    children,
    divides,
    loads,
    maximum,
    minimum,
    rebuild,
    select,
    sub,
    substitute,
    variables,
)
from bough.ir.functions import reduction_unit
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Statement, Store
from bough.ir.sequence import expressions


@dataclass(frozen=True, slots=True)
class Rows:
    """An array with a row for each sample. `region`: rows are in the order of that region's members, and nothing outside reads
    them; None: in the order of all samples. `count` is how many rows there are; with `spare`, one more that nothing reads.
    `whole`: nothing reads what lies behind a sample's own end, so that anything may be stored there."""

    count: Extent
    region: Region | None = None
    spare: bool = False
    whole: bool = False

    @property
    def held(self) -> Extent:
        return add(self.count, 1) if self.spare else self.count

    def row(self, region: Region, position: Expr, sample: Expr) -> Expr:
        return position if self.region == region else sample


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of the host that differ between samples: `own` has each sample's, by sample; `bounds` are extents no shorter than
    those of any sample, for extents worked out from such numbers."""

    own: Mapping[str, Operand]
    bounds: Mapping[Expr, Extent]


def for_members(
    kernel: Kernel, region: Region, arrays: Mapping[str, Rows], numbers: Numbers, joined: tuple[str, EndToEnd] | None = None
) -> Kernel:
    """The kernel for all members of the region. `joined`: an axis whose elements lie end to end."""
    return _ForMembers(kernel, region, arrays, numbers, joined).run()


def joinable(kernel: Kernel, own: set[str]) -> tuple[Axis, Extent] | None:
    """A free axis whose extent differs between samples and along which no neighbours are stored, and what its extent is at
    most. Where it is the only axis, its elements are neighbours in memory, too."""
    for a in kernel.free:
        if not variables(as_expr(a.extent)) & own or len(kernel.axes) == 1:
            continue
        here = Var(a.name)
        if any(s.index and a.name in variables(s.index[-1]) for s in kernel.stores) and not (kernel.order and kernel.order[0]):
            continue
        for s in kernel.stores:
            if here in s.index:
                return a, kernel.operands[s.target].shape[s.index.index(here)]
    return None


def needs_spare(kernel: Kernel, own: set[str]) -> set[str]:
    """The outputs that the kernel would store beyond a sample's own end at places that may be another element's."""
    uneven = {a.name for a in kernel.free if variables(as_expr(a.extent)) & own}
    return {s.target for s in kernel.stores if any(not isinstance(i, Var) and variables(i) & uneven for i in s.index)}


class _ForMembers:
    def __init__(
        self, kernel: Kernel, region: Region, arrays: Mapping[str, Rows], numbers: Numbers, joined: tuple[str, EndToEnd] | None
    ) -> None:
        self.kernel, self.region, self.arrays, self.numbers = kernel, region, arrays, numbers
        taken = {a.name for a in kernel.axes} | {s.name for s in kernel.body if isinstance(s, Let)}
        sizes = [a.extent for a in kernel.axes] + [e for o in kernel.operands.values() for e in o.shape] + [region.size]
        read = [e for s in kernel.body for e in expressions(s)] + [as_expr(e) for e in sizes]
        taken |= {v for e in read for v in variables(e)} | set(kernel.operands)
        member = Var(next(n for n in ("n", "sample", *(f"n{i}" for i in range(len(taken) + 1))) if n not in taken))
        if joined is None:
            self.joined: dict[str, Expr] = {}
            self.axis, self.tables = Axis(member.name, region.size), region.tables
            self.position: Expr = member
            self.sample = region.sample(member)
        else:
            axis, lists = joined
            self.joined = {axis: Load(lists.places.name, (member,), I64)}
            self.axis, self.tables = Axis(member.name, lists.count), lists.tables
            self.position, self.sample = (Load(o.name, (member,), I64) for o in (lists.positions, lists.samples))
        self.uneven = {a.name: a for a in kernel.axes if self.differs(as_expr(a.extent)) and a.name not in self.joined}
        self.inside = {a.name: apply("lt", Var(a.name), self.change(as_expr(a.extent))) for a in self.uneven.values()}
        self.pointwise: dict[str, Expr] = {}
        for s in kernel.body:
            if isinstance(s, Let) and not isinstance(s.value, Reduce):
                self.pointwise[s.name] = substitute(s.value, self.pointwise)

    def run(self) -> Kernel:
        k = self.kernel
        axes = [self.axis]
        axes += [
            Axis(a.name, self.numbers.bounds[as_expr(a.extent)]) if a.name in self.uneven else a
            for a in k.axes
            if a.name not in self.joined
        ]
        body = tuple(map(self.statement, k.body))
        read = {load.source for s in body for e in expressions(s) for load in loads(e)}
        tables = (*self.tables, *self.numbers.own.values())
        kept = (o for o in k.outputs if o.name in read)
        inputs = (*map(self.operand, (*k.inputs, *kept)), *(t for t in tables if t.name in read))
        return replace(
            k, axes=tuple(axes), inputs=tuple(dict.fromkeys(inputs)), outputs=tuple(map(self.operand, k.outputs)), body=body
        )

    def differs(self, e: Expr) -> bool:
        return bool(variables(e) & set(self.numbers.own))

    def operand(self, o: Operand) -> Operand:
        held = self.arrays.get(o.name)
        return o if held is None else replace(o, shape=(held.held, *o.shape))

    def statement(self, s: Statement) -> Statement:
        if isinstance(s, Store):
            return self.store(s)
        if isinstance(s.value, Reduce):
            return Let(s.name, Reduce(s.value.op, s.value.axes, self.reduced(s.value)))
        return Let(s.name, self.guarded(s.value))

    def reduced(self, r: Reduce) -> Expr:
        """The reduced expression, as if it were the unit of the reduction behind the sample's own end. Products stay products:
        they are added without a rounding between."""
        body = r.body
        risky, reduced = self.risky(body), set(self.kernel.reduced)
        behind = [a for a in self.uneven if a in r.axes or (risky and a not in reduced)]
        if not behind:
            return self.change(body)
        body = substitute(body, self.pointwise)
        within = self.all_of(behind)
        if r.op == "sum" and isinstance(body, Apply) and body.function == "mul" and body.dtype.is_float:
            if all(isinstance(f, Cast) for f in body.args) and reduced.isdisjoint(behind) and not divides(body):
                # Narrow numbers stay loads: instructions that take them round their sums otherwise.
                return self.change(self.kept_inside(body))
            factors = (select(within, self.change(f), _zero(f.dtype)) for f in body.args)
            return apply("mul", *factors)
        return select(within, self.change(body), Const(reduction_unit(r.op, body.dtype), body.dtype))

    def guarded(self, e: Expr) -> Expr:
        """The value; zero behind the sample's own end, where that might not be worked out."""
        behind = [a for a in self.uneven if a not in self.kernel.reduced]
        value = self.change(e)
        return select(self.all_of(behind), value, _zero(e.dtype)) if behind and self.risky(e) else value

    def all_of(self, axes: list[str]) -> Expr:
        condition = self.inside[axes[0]]
        for a in axes[1:]:
            condition = apply("and", condition, self.inside[a])
        return condition

    def kept_inside(self, e: Expr) -> Expr:
        """The value; behind the sample's own end, that of other elements of the arrays that it reads."""
        new = rebuild(e, tuple(map(self.kept_inside, children(e))))
        if not isinstance(new, Load):
            return new
        sizes = self.kernel.operands[new.source].shape
        return replace(new, index=tuple(_inside(i, n) if self.moved(i) else i for i, n in zip(new.index, sizes, strict=True)))

    def moved(self, index: Expr) -> bool:
        """Whether it is worked out from axes that are too long or sizes that may be none."""
        changing = self.uneven.keys() | self.numbers.own.keys()
        return not isinstance(index, Var) and bool(variables(index) & changing or loads(index))

    def risky(self, e: Expr) -> bool:
        """Whether it reads at places worked out from axes that are too long or sizes that may be none, or divides whole
        numbers."""
        if isinstance(e, Load):
            return any(self.moved(i) or self.risky(i) for i in e.index)
        return divides(e) or any(map(self.risky, children(e)))

    def store(self, s: Store) -> Store:
        """Behind the sample's own end, what was there is stored again, unless nothing reads it; where points may mean one place,
        in a spare row."""
        held, o = self.arrays[s.target], self.kernel.operands[s.target]
        row, index = held.row(self.region, self.position, self.sample), tuple(map(self.change, s.index))
        value = self.guarded(s.value)
        behind = [a for a in self.uneven if any(a in variables(i) for i in s.index)]
        if not behind or (held.whole and not held.spare):
            return Store(s.target, (row, *index), value)
        within = self.all_of(behind)
        if not held.spare:
            return Store(s.target, (row, *index), select(within, value, Load(s.target, (row, *index), o.dtype)))
        index = tuple(map(_inside, index, o.shape))
        return Store(s.target, (select(within, row, as_expr(held.count)), *index), value)

    def change(self, e: Expr) -> Expr:
        if isinstance(e, Load) and e.source in self.arrays:
            row = self.arrays[e.source].row(self.region, self.position, self.sample)
            return Load(e.source, (row, *map(self.change, e.index)), e.dtype)
        if isinstance(e, Var) and e.name in self.numbers.own:
            return Load(self.numbers.own[e.name].name, (self.sample,), I64)
        if isinstance(e, Var) and e.name in self.joined:
            return self.joined[e.name]
        return rebuild(e, tuple(map(self.change, children(e))))


def _zero(dtype: DType) -> Const:
    return Const(False if dtype.kind == "bool" else 0.0 if dtype.is_float else 0, dtype)


def _inside(index: Expr, size: Extent) -> Expr:
    """The index where it is one of an array of this size; else some that is."""
    return maximum(minimum(index, sub(as_expr(size), 1)), 0)
