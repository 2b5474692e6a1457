"""A sequence for one sample to one for many: control on computed values becomes control on lists of samples.

    if c[]          count and split the members by `c`; the first body for those that it holds for, the second for the others
    while c[]       a list of those still under way, from which those are dropped each turn for which `c` does not hold
    define n = s[]  each sample has its own; the host knows the largest

Samples that meet at a step run it together, as one kernel. Every array has a row for each sample, so that what a branch writes is
where those behind it read, whichever they took. Each row has the bits that the sequence for one sample gives.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bough.base.source import Location
from bough.control_flow.regions import Region, all_hold, copy_list, count, longest, put, split
from bough.control_flow.residence import residents
from bough.control_flow.rows import Numbers, Rows, for_members, needs_spare
from bough.ir.dtypes import BOOL, I64, DType
from bough.ir.expr import Apply, Const, Expr, Extent, Load, Var, apply, as_expr, as_extent, loads, sub, variables
from bough.ir.kernel import Kernel, Let, Operand, Store
from bough.ir.program import Dim
from bough.ir.sequence import Branch, Check, Define, Repeat, Run, Sequence, Step, Whilst, host_loads, kernels, phase, walk

NOMINAL = 64
"""What the number of members of a region counts as where a schedule is chosen."""
MOST = 1 << 16
"""Samples of one call."""


def divides(sequence: Sequence) -> bool:
    """Whether samples may take different ways: the host reads elements of arrays that are not constant."""
    return not host_loads(sequence.steps) <= set(sequence.constants)


def over_samples(sequence: Sequence) -> Sequence:
    """The same computation for `samples` samples, the last of its dims: inputs and results have one more dimension in front.

    Takes kernels one by one, as they are before schedules are chosen; a reduction keeps its order where its kernel says which.
    """
    return _OverSamples(sequence).run()


@dataclass(slots=True)
class _Scope:
    """What is known where steps stand: the members that run them, numbers of which each sample has its own, and bounds of
    extents that are worked out from these."""

    region: Region
    own: dict[str, Operand] = field(default_factory=dict)
    bounds: dict[Expr, Extent] = field(default_factory=dict)

    def inside(self, region: Region | None = None) -> _Scope:
        return _Scope(region or self.region, dict(self.own), dict(self.bounds))


class _OverSamples:
    def __init__(self, sequence: Sequence) -> None:
        self.sequence = sequence
        self.one = {o.name: o for o in (*sequence.inputs, *sequence.temporaries.values())}
        self.taken = {*self.one, *sequence.constants, *(d.name for d in sequence.dims)}
        self.taken |= {name for s in walk(sequence.steps) for name in _defined(s)}
        self.samples = Var(self.fresh("samples"))
        self.differ = self.own_numbers()
        self.residents = residents(sequence, self.splits)
        spare = {name for k in kernels(sequence.steps) for name in needs_spare(k, self.differ)}
        self.arrays = {name: Rows(self.samples, spare=name in spare) for name in self.one}
        self.made: dict[str, Operand] = {}

    def run(self) -> Sequence:
        s = self.sequence
        steps = self.block(s.steps, _Scope(Region(self.samples)))
        held = {n: replace(o, shape=(self.arrays[n].held, *o.shape)) for n, o in s.temporaries.items()}
        return replace(
            s,
            inputs=tuple(replace(o, shape=(self.samples, *o.shape)) for o in s.inputs),
            temporaries={**held, **self.made},
            steps=tuple(steps),
            dims=(*s.dims, Dim(self.samples.name, 1, MOST)),
        )

    # What differs between samples

    def own_numbers(self) -> set[str]:
        """The numbers of the host that depend on a sample's data."""
        found: set[str] = set()
        defines = [s for s in walk(self.sequence.steps) if isinstance(s, Define)]
        while True:
            more = {s.name for s in defines if self.loads_rows(s.value) or variables(s.value) & found} - found
            if not more:
                return found
            found |= more

    def loads_rows(self, e: Expr) -> bool:
        return any(load.source in self.one for load in loads(e))

    def splits(self, e: Expr) -> bool:
        """Whether the value of an expression of the host differs between samples."""
        return self.loads_rows(e) or not variables(e).isdisjoint(self.differ)

    # Steps

    def block(self, steps: tuple[Step, ...], scope: _Scope) -> list[Step]:
        """The steps for the members of the scope's region. The scope gains what they define."""
        out: list[Step] = []
        for s in steps:
            match s:
                case Define():
                    out += self.define(s, scope)
                case Check():
                    out += self.check(s, scope)
                case Branch():
                    out += self.branch(s, scope)
                case Repeat():
                    out += self.repeat(s, scope)
                case Whilst():
                    out += self.whilst(s, scope)
                case _:
                    for k in phase(s):
                        out += self.kernel(k, scope)
        return out

    def kernel(self, kernel: Kernel, scope: _Scope) -> list[Step]:
        for o in kernel.outputs:
            if o.name in self.residents:
                self.arrays[o.name] = replace(self.arrays[o.name], region=scope.region)
        before = [s for a in kernel.axes for s in self.bound(as_expr(a.extent), scope)]
        return [*before, Run(for_members(kernel, scope.region, self.arrays, Numbers(scope.own, scope.bounds)))]

    def define(self, s: Define, scope: _Scope) -> list[Step]:
        if s.name not in self.differ:
            return [s]
        own, steps = self.each(f"{s.name}.own", s.value, I64, scope)
        largest = self.make(f"{s.name}.largest", I64)
        steps += [Run(longest(scope.region, own, largest)), Define(s.name, Load(largest.name, (), I64), s.nominal, s.location)]
        scope.own[s.name] = own
        return steps

    def bound(self, extent: Expr, scope: _Scope) -> list[Step]:
        """Steps that bound an extent which differs between samples; the scope knows the bound then."""
        if not self.splits(extent) or extent in scope.bounds:
            return []
        if _grows(extent):
            scope.bounds[extent] = as_extent(extent)  # names of the host stand for the largest
            return []
        name = self.fresh("extent")
        self.differ.add(name)
        steps = self.define(Define(name, extent, NOMINAL), scope)
        scope.bounds[extent] = Var(name)
        return steps

    def check(self, s: Check, scope: _Scope) -> list[Step]:
        if not self.splits(s.condition):
            return [s]
        holds, steps = self.condition(s.condition, scope)
        every = self.make("check.all", BOOL)
        return [*steps, Run(all_hold(scope.region, holds, every)), replace(s, condition=Load(every.name, (), BOOL))]

    def branch(self, s: Branch, scope: _Scope) -> list[Step]:
        if not self.splits(s.condition):
            return [replace(s, then=tuple(self.block(s.then, scope.inside())),
                            otherwise=tuple(self.block(s.otherwise, scope.inside())))]  # fmt: skip
        holds, steps = self.condition(s.condition, scope)
        parts, total, more = self.part(holds, scope)
        steps += more
        taken = Var(self.fresh("taken"))
        steps.append(Define(taken.name, Load(total.name, (), I64), NOMINAL))
        steps += self.body(s.then, Region(taken, parts), scope, s.location)
        if s.otherwise:
            left = Var(self.fresh("left"))
            steps.append(Define(left.name, sub(as_expr(scope.region.size), taken), NOMINAL))
            steps += self.body(s.otherwise, Region(left, parts, taken), scope, s.location)
        return steps

    def body(self, steps: tuple[Step, ...], region: Region, scope: _Scope, location: Location | None) -> list[Step]:
        """The steps for a region, unless it is empty."""
        inner = tuple(self.block(steps, scope.inside(region)))
        return [Branch(apply("gt", as_expr(region.size), Const(0)), inner, location=location)] if inner else []

    def repeat(self, s: Repeat, scope: _Scope) -> list[Step]:
        """A loop whose count differs goes to the largest; in each turn it is run by those that have not yet ended."""
        extent = as_expr(s.count)
        if not self.splits(extent):
            return [replace(s, body=tuple(self.block(s.body, scope.inside())))]
        steps = self.bound(extent, scope)
        going = Branch(apply("lt", Var(s.variable), extent), s.body, location=s.location)
        inner = tuple(self.branch(going, scope.inside()))
        return [*steps, replace(s, count=scope.bounds[extent], body=inner)]

    def whilst(self, s: Whilst, scope: _Scope) -> list[Step]:
        if not self.splits(s.condition):
            around = scope.inside()
            return [replace(s, head=tuple(self.block(s.head, around)), body=tuple(self.block(s.body, around.inside())))]
        under_way, amount = self.make("going", I64, self.samples), self.make("going.size", I64)
        steps: list[Step] = [
            Run(copy_list(scope.region, under_way)),
            Run(put(as_expr(scope.region.size), amount)),
        ]
        size = Var(self.fresh("turn.size"))
        inside = scope.inside(Region(size, under_way))
        head: list[Step] = [Define(size.name, Load(amount.name, (), I64), NOMINAL), *self.block(s.head, inside)]
        holds, more = self.condition(s.condition, inside)
        parts, total, then = self.part(holds, inside)
        head += [*more, *then]
        taken = Var(self.fresh("taken"))
        left = Region(taken, parts)
        body: list[Step] = [Define(taken.name, Load(total.name, (), I64), NOMINAL), *self.block(s.body, inside.inside(left))]
        body += [Run(copy_list(left, under_way)), Run(put(taken, amount))]
        going = apply("gt", Load(total.name, (), I64), Const(0))
        return [*steps, Whilst(s.variable, tuple(head), going, tuple(body), s.location)]

    # Kernels of lists

    def condition(self, e: Expr, scope: _Scope) -> tuple[Operand, list[Step]]:
        """A condition of the host at each member, in the region's order."""
        target = Operand(self.fresh("holds"), BOOL, ())
        self.arrays[target.name] = Rows(self.samples, scope.region)
        return self.evaluated(e, target, scope)

    def each(self, name: str, e: Expr, dtype: DType, scope: _Scope) -> tuple[Operand, list[Step]]:
        """A number of the host at each member, by sample."""
        target = Operand(self.fresh(name), dtype, ())
        self.arrays[target.name] = Rows(self.samples)
        return self.evaluated(e, target, scope)

    def evaluated(self, e: Expr, target: Operand, scope: _Scope) -> tuple[Operand, list[Step]]:
        read = tuple(dict.fromkeys(self.one[x.source] if x.source in self.one else self.constant(x.source) for x in loads(e)))
        kernel = Kernel(f"each.{target.name}", (), read, (target,), (Store(target.name, (), e),))
        steps = self.kernel(kernel, scope)
        self.made[target.name] = held = replace(target, shape=(self.samples,))
        return held, steps

    def constant(self, name: str) -> Operand:
        return Operand(name, self.sequence.constant_types[name], self.sequence.constants[name].shape)

    def part(self, holds: Operand, scope: _Scope) -> tuple[Operand, Operand, list[Step]]:
        """The list of the members split by a condition, and the number of those that it holds for."""
        total, parts = self.make(f"{holds.name}.count", I64), self.make(f"{holds.name}.parts", I64, self.samples)
        return parts, total, [Run(count(scope.region, holds, total)), Run(split(scope.region, holds, total, parts))]

    def make(self, name: str, dtype: DType, *shape: Extent) -> Operand:
        found = Operand(self.fresh(name), dtype, shape)
        self.made[found.name] = found
        return found

    def fresh(self, wish: str) -> str:
        name, n = wish, 1
        while name in self.taken:
            n += 1
            name = f"{wish}{n}"
        self.taken.add(name)
        return name


def _defined(s: Step) -> set[str]:
    """The numbers of the host that a step makes known, and those that its kernels call so inside."""
    match s:
        case Define():
            return {s.name}
        case Repeat() | Whilst():
            return {s.variable}
        case _:
            inside = {b.name for k in phase(s) for b in k.body if isinstance(b, Let)}
            return inside | {a.name for k in phase(s) for a in k.axes}


def _grows(e: Expr) -> bool:
    """Whether the value is no smaller where the numbers in it are larger; they are not negative."""
    match e:
        case Const(value, _):
            return value >= 0
        case Var():
            return True
        case Apply("add" | "mul" | "min" | "max", args, _):
            return all(map(_grows, args))
        case Apply("floordiv", (a, Const(by, _)), _):
            return by > 0 and _grows(a)
        case Apply("sub", (a, Const()), _):
            return _grows(a)
    return False
