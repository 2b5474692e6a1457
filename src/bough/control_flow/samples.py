"""A sequence for one sample to one for many: every array has a row for each sample, so that what a branch writes is where those
behind it read, whichever they took. Each row has the bits that the sequence for one sample gives.

Samples may have inputs of different sizes: arrays are as large as the largest needs, and further inputs say what each has. Some
sizes are the same for all samples (`common_sizes`)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from bough.control_flow.members import NOMINAL, OverMembers, Scope
from bough.control_flow.regions import EndToEnd, Region, lay_end_to_end, longest, starts, total
from bough.control_flow.residence import residents
from bough.control_flow.rows import Numbers, Rows, for_members, joinable, needs_spare
from bough.graph_passes.exposed import around
from bough.ir.dtypes import I64, DType
from bough.ir.expr import Apply, Const, Expr, Extent, Load, Var, add, as_expr, as_extent, loads, maximum, mul, variables
from bough.ir.kernel import Kernel, Let, Operand
from bough.ir.program import CAPACITY, Dim
from bough.ir.sequence import Check, Define, Repeat, Run, Sequence, Step, Whilst, host_expressions, kernels, phase, walk
from bough.rewrite.polynomial import Monomial, constant, polynomial, times

Stride = frozenset[tuple[Monomial, int]]
"""A polynomial of sizes."""

MOST = 1 << 16
"""Samples of one call."""


def divides(sequence: Sequence) -> bool:
    """Whether samples may take different ways: the host reads elements of arrays that are not constant, and not only to end
    calls."""
    deciding = (e for s in walk(sequence.steps) if not isinstance(s, Check) for e in host_expressions(s))
    return not {load.source for e in deciding for load in loads(e)} <= set(sequence.constants)


def over_samples(sequence: Sequence) -> Sequence:
    """The same computation for `samples` samples, the last of its dims: inputs and results have one more dimension in front.
    The dims of one sample (but for the capacity) stand for the largest; behind the inputs comes `n.sizes` for each dim n but
    `common_sizes`, with the sizes of all samples.

    Takes kernels one by one, as they are before schedules are chosen; a reduction keeps its order where its kernel says which.
    """
    return _OverSamples(sequence).run()


class _OverSamples(OverMembers):
    def __init__(self, sequence: Sequence) -> None:
        self.sequence = sequence
        self.one = {o.name: o for o in (*sequence.inputs, *sequence.temporaries.values())}
        taken = {*self.one, *sequence.constants, *(d.name for d in sequence.dims)}
        super().__init__(taken.union(*(_defined(s) for s in walk(sequence.steps))))
        self.samples = Var(self.fresh("samples"))
        fixed = {CAPACITY, *common_sizes(sequence)}
        sizes = [d.name for d in sequence.dims if d.name not in fixed]
        self.sizes = {n: Operand(self.fresh(f"{n}.sizes"), I64, (self.samples,)) for n in sizes}
        self.differ = self.own_numbers()
        self.residents = residents(sequence, self.splits)
        spare = {name for k in kernels(sequence.steps) for name in needs_spare(k, self.differ)}
        whole = written_whole(sequence)
        self.arrays = {name: Rows(self.samples, spare=name in spare, whole=name in whole) for name in self.one}
        self.made: dict[str, Operand] = {}

    def run(self) -> Sequence:
        s = self.sequence
        everyone = Define(self.fresh("everyone"), self.samples, NOMINAL)  # the size of a region like others
        steps = [everyone, *self.block(s.steps, Scope(Region(Var(everyone.name)), dict(self.sizes)))]
        held = {n: replace(o, shape=(self.arrays[n].held, *o.shape)) for n, o in s.temporaries.items()}
        return replace(
            s,
            inputs=(*(replace(o, shape=(self.samples, *o.shape)) for o in s.inputs), *self.sizes.values()),
            temporaries={**held, **self.made},
            steps=tuple(steps),
            dims=(*s.dims, Dim(self.samples.name, 1, MOST)),
        )

    # What differs between samples

    def own_numbers(self) -> set[str]:
        """The numbers of the host that depend on a sample's data or sizes."""
        found = set(self.sizes)
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

    # Numbers

    def define(self, s: Define, scope: Scope) -> list[Step]:
        if s.name not in self.differ:
            return [s]
        own, steps = self.each(f"{s.name}.own", s.value, I64, scope)
        largest = self.make(self.fresh(f"{s.name}.largest"), I64)
        steps += [Run(longest(scope.region, own, largest)), Define(s.name, Load(largest.name, (), I64), s.nominal, s.location)]
        scope.own[s.name] = own
        return steps

    def bound(self, extent: Expr, scope: Scope) -> list[Step]:
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

    # Kernels and arrays

    def kernel(self, kernel: Kernel, scope: Scope) -> list[Step]:
        if any(a.extent == 0 for a in kernel.free):
            return []
        for o in kernel.outputs:
            if o.name in self.residents:
                self.arrays[o.name] = replace(self.arrays[o.name], region=scope.region)
        before = [s for a in kernel.axes for s in self.bound(as_expr(a.extent), scope)]
        joined = None
        if (found := joinable(kernel, self.differ)) is not None:
            lists, more = self.end_to_end(as_expr(found[0].extent), found[1], scope)
            joined, before = (found[0].name, lists), [*before, *more]
        return [*before, Run(for_members(kernel, scope.region, self.arrays, Numbers(scope.own, scope.bounds), joined))]

    def end_to_end(self, extent: Expr, most: Extent, scope: Scope) -> tuple[EndToEnd, list[Step]]:
        """The lists of as many elements as an extent says, `most` for a sample, and the steps that fill them."""
        if (scope.region, extent) in scope.lists:
            return scope.lists[scope.region, extent], []
        region, name = scope.region, self.fresh("elements")
        lengths, steps = self.each(f"{name}.lengths", maximum(extent, 0), I64, scope, region)
        first, amount = self.make_list(self.fresh(f"{name}.starts")), self.make(self.fresh(f"{name}.total"), I64)
        room = as_extent(add(mul(self.samples, most), 1))
        places, samples = (self.make(self.fresh(f"{name}.{of}"), I64, room) for of in ("places", "samples"))
        positions = self.make(self.fresh(f"{name}.positions"), I64, room) if region.members else samples
        lists = EndToEnd(Var(name), positions, samples, places)
        steps += [
            Run(starts(region, lengths, first)),
            Run(total(region, lengths, amount)),
            Define(name, Load(amount.name, (), I64), NOMINAL),
            Run(lay_end_to_end(region, lengths, first, scope.bounds[extent], lists)),
        ]
        scope.lists[region, extent] = lists
        return lists, steps

    def of_one(self, name: str) -> Operand:
        found = self.one.get(name)
        return found or Operand(name, self.sequence.constant_types[name], self.sequence.constants[name].shape)

    def hold(self, target: Operand, region: Region | None) -> Operand:
        self.arrays[target.name] = Rows(self.samples, region)
        return self.make(target.name, target.dtype, self.samples)

    def make(self, name: str, dtype: DType, *shape: Extent) -> Operand:
        self.made[name] = found = Operand(name, dtype, shape)
        return found

    def make_list(self, name: str) -> Operand:
        return self.make(name, I64, self.samples)


def common_sizes(sequence: Sequence) -> set[str]:
    """The sizes that samples must have in common: those of strides that kernels do not all see in an array. In room for a larger
    sample, the rows of `a[n, k]` do not lie as those of `a[n * k]` do."""
    seen: dict[str, set[frozenset[Stride]]] = {}
    arrays = (*sequence.inputs, *sequence.temporaries.values())
    running = (k for k in kernels(sequence.steps) if all(a.extent != 0 for a in k.free))
    for o in (*arrays, *(o for k in running for o in k.operands.values())):
        seen.setdefault(o.name, set()).add(_symbolic_strides(o.shape))
    several = (strides for views in seen.values() if len(views) > 1 for strides in views)
    return {v for strides in several for stride in strides for atoms, _ in stride for a in atoms for v in variables(a)}


def _symbolic_strides(shape: tuple[Extent, ...]) -> frozenset[Stride]:
    """The strides of a dense array that depend on sizes."""
    found, stride = set(), constant(1)
    for extent in reversed([e for e in shape if e != 1][1:]):
        stride = times(stride, polynomial(as_expr(extent)))
        found.add(frozenset(stride.items()))
    return frozenset(s for s in found if any(atoms for atoms, _ in s))


def written_whole(sequence: Sequence) -> set[str]:
    """The arrays of which everything that is read has been written by one and the same run of one kernel: what it does not write
    of them means nothing."""
    writers = Counter(o.name for k in kernels(sequence.steps) for o in k.outputs)
    kept = set().union(*(around(s) for s in walk(sequence.steps) if isinstance(s, (Repeat, Whilst))))
    return {name for name, count in writers.items() if count == 1} - kept


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
