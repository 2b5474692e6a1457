"""The kernels of one variant: what runs once, what runs for all activations before the levels, what runs in each level."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from math import prod

from bough.base.visits import Names
from bough.graph_passes.lower_program import copy_kernel, lower_function, operand
from bough.graph_passes.normalize import drop_empty_reductions
from bough.graph_passes.values import fold_function
from bough.ir.expr import Expr, Extent, Load, Var, apply, as_expr, loads, variables
from bough.ir.interpret_kernel import run_kernel
from bough.ir.kernel import Kernel, Operand
from bough.ir.recursion import Cell, Collected, Context, Given, Returned
from bough.ir.sequence import (
    Repeat,
    Run,
    Sequence,
    Step,
    expressions,
    map_bodies,
    map_kernels,
    map_loads,
    map_statement,
    outer_scalars,
)
from bough.recursion.arrays import Arrays
from bough.recursion.batch import batch, separate, unbatched
from bough.recursion.binding import Time, after_levels, binding_times, decides, kernels_of, reads, worth_hoisting, writes
from bough.recursion.decisions import Decisions, fused
from bough.recursion.places import Place, Region, Walks
from bough.recursion.regions import Member
from bough.recursion.switches import Switches


@dataclass(frozen=True, slots=True)
class Setting:
    """How a cell is lowered: run in a loop over levels or, before it, for all activations; among the functions `stage`.
    `needed[f]` are the results of f that anything reads, `inner[f]` those that cells of the stage read. `down`: the cell computes
    what it passes down and nothing else."""

    in_levels: bool
    stage: frozenset[str]
    needed: Mapping[str, set[int]]
    inner: Mapping[str, set[int]]
    switches: Switches
    down: bool = False
    contexts: tuple[tuple[int, int], ...] = ()
    """Results of such a cell of the entry that are contexts, with their numbers."""


FOLDED = 1 << 16
"""Elements of the largest array that is computed at compile time."""


class CellLowering:
    """The steps of a variant's cell and the places of its arrays."""

    def __init__(self, member: Member, cell: Cell, arrays: Arrays, setting: Setting, like: CellLowering | None = None) -> None:
        """With `like`, what that lowering of the same variant hoists is taken from it."""
        self.member, self.cell, self.arrays, self.setting = member, cell, arrays, setting
        self.variant = arrays.recursion.visits.function(member[0]).variants[member[1]]
        self.prefix = f"{member[0]}.{member[1]}" + (".first" if like else f".{cell.function.name}" if setting.down else "")
        self.walks = Walks(*member, {name: e for e, name in enumerate(cell.sizes)})
        self.places: dict[str, Place] = {}
        given = self.parameters()
        lowered = lower_function(fold_function(cell.function))
        through = {p.name: operand(p) for p in cell.function.params if self.places[p.name].target is not None}
        steps = without_empty(lowered.steps)
        if setting.switches.constant_propagation:
            steps = folded(steps, lowered)
        steps = with_fused_decisions(steps, lowered)
        self.operands = {o.name: o for o in (*map(operand, cell.function.params), *lowered.temporaries.values())}
        steps, rows = gathered(self.separated(steps), through)
        shared = {n: like.places[n] for n in like.hoisted} if like else {}
        self.steps = tuple(s for s in steps if not writes(s) & set(shared))
        given |= dict.fromkeys(shared, Time.EARLY)
        self.apart = {self.places[n].operand.name for n, t in given.items() if t == Time.LEVEL}  # rows of levels before
        self.times = binding_times(self.steps, {**given, **{f"{n}.rows": t for n, t in given.items()}}, cell.sizes)
        self.hoisted: set[str] = set()
        if setting.in_levels and setting.switches.hoisting and not like:
            self.hoisted = worth_hoisting(self.steps, self.times)
        self.late: set[str] = set()
        self.sunken: set[str] = like.sunken if like else set()
        if setting.switches.sinking and setting.in_levels and not setting.down:
            self.sink(lowered)
        self.constants(lowered)
        self.results_of_cell = set(lowered.results)
        self.padded = {n for s in self.steps for n in (writes(s) if decides(s) else self.outlive(s))}
        for o in (*lowered.temporaries.values(), *rows):
            self.places[o.name] = shared.get(o.name) or self.place(o)
        self.outputs, self.late_outputs = (self.results(lowered, late) for late in (False, True))
        self.stored = self.states(lowered)

    def parameters(self) -> dict[str, Time]:
        """Places and binding times of the parameters: payloads, and results of calls through the calls' targets."""
        variant = self.variant
        times: dict[str, Time] = {}
        target: str | None
        for param, source in zip(self.cell.function.params, self.cell.sources):
            if isinstance(source, Returned):
                call = variant.calls[source.call]
                each, target = call.each, Names.target(*self.member, source.call)
                held = self.arrays.state(call.function, source.result)
                times[param.name] = Time.LEVEL if call.function in self.setting.stage else Time.EARLY
            elif isinstance(source, Given):
                held, offset = self.arrays.given(self.member[0], source.argument), self.arrays.offset(*self.member)
                times[param.name] = Time.LEVEL if self.setting.down and self.setting.in_levels else Time.EARLY
                self.places[param.name] = Place(held, "node", offset=offset)
                continue
            elif isinstance(source, Context):
                held = self.arrays.context(source.result, param.type)
                times[param.name] = Time.EARLY
                self.places[param.name] = Place(held, "node", target=Names.root(*self.member))
                continue
            elif isinstance(source, Collected):
                number = variant.each[source.walk].list
                assert number is not None
                each, target, held = source.walk, self.member_of(source.walk), self.arrays.lists[number]
                times[param.name] = Time.EARLY
            else:
                each, target = variant.payloads[source.payload].each, None
                held = self.arrays.tables[Names.payload(*self.member, source.payload)]
                times[param.name] = Time.EARLY
            self.places[param.name] = Place(held, "node" if each is None else "element", each or 0, target=target)
        return times

    def sink(self, lowered: Sequence) -> None:
        """Finds the arrays that are computed after the levels, and the names of the results that are."""
        f = self.member[0]
        wanted = {lowered.results[r] for r in self.setting.inner.get(f, ())}
        if self.sunken:
            wanted |= {lowered.results[r] for r, name, _ in self.kept() if name not in self.sunken}
            unused = after_levels(self.steps, wanted, set(self.times))
            self.steps = tuple(s for s in self.steps if not writes(s) & unused)
            return
        lasting = self.hoisted | {lowered.results[r] for r in self.setting.needed.get(f, ())}
        waiting = [s for s in self.steps if self.time(s) != Time.ONCE and not writes(s) & self.hoisted]
        self.late = after_levels(waiting, wanted, lasting)
        self.sunken = {name for r, name, _ in self.kept() if lowered.results[r] in self.late}

    def states(self, lowered: Sequence) -> dict[str, Place]:
        """Where arrays of the levels are found after them: those that are results."""
        if not self.late:
            return {}
        found = {lowered.results[r]: place for r, name, place in self.kept() if name.startswith("state")}
        return {n: place for n, place in found.items() if n in self.times and n not in self.late}

    def constants(self, lowered: Sequence) -> None:
        for name, value in lowered.constants.items():
            constant = self.arrays.constant(f"{self.prefix}.{name}", value, lowered.constant_types[name])
            self.places[name] = Place(constant, "once")

    def separated(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """Kernels whose outputs are not held alike as one kernel for each."""
        out: list[Step] = []
        for s in steps:
            if isinstance(s, Run):
                alike = len({self.along(o) for o in s.kernel.outputs}) == 1
                out.extend([s] if alike else [Run(k) for k in separate(s.kernel)])
            else:
                out.append(replace(s, body=self.separated(s.body)) if isinstance(s, Repeat) else s)
        return tuple(out)

    def along(self, o: Operand) -> tuple[int, int] | None:
        """The first dimension along a walk, and the walk."""
        for d, e in enumerate(o.shape):
            walk = self.walks.along(e)
            if walk is not None:
                return d, walk
        return None

    def place(self, o: Operand) -> Place:
        """Where a temporary of the cell lies."""
        name = f"{self.prefix}.{o.name}"
        if self.times.get(o.name, Time.ONCE) == Time.ONCE:
            return Place(self.arrays.temporary(name, o.dtype, o.shape), "once")
        outlasting = o.name in self.hoisted or o.name in self.late
        local = self.setting.in_levels and not outlasting and self.setting.switches.dense_scratch
        along = None if o.name in self.padded else self.along(o)
        shape = tuple(map(self.walks.longest, o.shape))
        if along is None:
            rows = Names.widest(*self.member) if local else Names.count(*self.member)
            return Place(self.arrays.temporary(name, o.dtype, (Var(rows), *shape)), "node", local=local)
        d, walk = along
        rows = Names.widest_elements(*self.member, walk) if local else Names.elements(*self.member, walk)
        held = self.arrays.temporary(name, o.dtype, (Var(rows), *shape[:d], *shape[d + 1 :]))
        return Place(held, "element", walk, d, local)

    def results(self, lowered: Sequence, late: bool) -> tuple[Run, ...]:
        """Kernels that put the results into the state of the function and into the lists, or down to callees: one for all of
        a shape, so that what computes them fuses into it. `late`: those that are computed after the levels."""
        alike: dict[tuple[tuple[Extent, ...], int], list[Kernel]] = {}
        written: Counter[str] = Counter()  # a kernel stores into an array once
        for result, name, place in self.passed() if self.setting.down else self.kept():
            if (name in self.sunken) != late:
                continue
            kernel = self.result(lowered, result, name, place)
            alike.setdefault((kernel.outputs[0].shape, written[place.operand.name]), []).append(kernel)
            written[place.operand.name] += 1
        return tuple(Run(together(copies)) for copies in alike.values())

    def kept(self) -> Iterator[tuple[int, str, Place]]:
        """The results that go into the state of the function and into lists, with a name and the place of each."""
        f, v = self.member
        for r in sorted(self.setting.needed.get(f, ())):
            rows = self.arrays.recursion.rows.get(r) if f == self.arrays.recursion.visits.entry else None
            if rows is not None:
                walk = next(e for e, each in enumerate(self.variant.each) if each.list == rows)
                yield r, f"rows{r}", Place(self.arrays.rows(r), "element", walk, target=self.member_of(walk))
                continue
            yield r, f"state{r}", Place(self.arrays.state(f, r), "node", offset=self.arrays.offset(f, v))
        for n, c in enumerate(self.variant.collects):
            yield c.result, f"collect{n}", Place(self.arrays.lists[c.list], "node", target=Names.place(f, v, n))

    def member_of(self, walk: int) -> str | None:
        """The index array from elements of a walk over a list to the list; None where they stand in the same order."""
        alone = len(self.arrays.recursion.visits.function(self.member[0]).variants) == 1
        return None if alone else Names.member(*self.member, walk)

    def passed(self) -> Iterator[tuple[int, str, Place]]:
        """The results that go down, with a name and the place of each: the rows of the activations that are called."""
        for n, p in enumerate(self.cell.passes):
            call = self.variant.calls[p.call]
            held, target = self.arrays.given(call.function, p.argument), Names.target(*self.member, p.call)
            yield p.result, f"pass{n}", Place(held, "node" if call.each is None else "element", call.each or 0, target=target)
        for result, number in self.setting.contexts:
            held = self.arrays.context(number, self.cell.function.results[result].type)
            yield result, f"context{number}", Place(held, "node", offset=self.arrays.offset(*self.member))

    def result(self, lowered: Sequence, number: int, name: str, place: Place) -> Kernel:
        """A copy of a result to its place."""
        value = self.cell.function.results[number]
        source = replace(operand(value), name=lowered.results[number])
        target = replace(source, name=f"{name}.of")  # as no value of the cell is called
        self.places[target.name] = place
        kernel = copy_kernel(source, target, f"{self.member[0]}.{name}", shape=source.shape)
        return replace(kernel, location=value.location, origins=(value.location,) if value.location else ())

    # --- what runs when ---

    def once(self) -> list[Step]:
        """What depends on no object, where that is not left in its place."""
        if not self.setting.switches.hoisting:
            return []
        return [self.without_objects(s) for s in self.steps if self.time(s) == Time.ONCE]

    def early(self, region: Region, arrays: set[str]) -> list[Step]:
        """The hoisted steps that write these arrays, for the region."""
        return self.batched([s for s in self.steps if writes(s) & arrays], region)

    def hoisted_for(self, names: set[str]) -> set[str]:
        """The hoisted arrays that are needed where these are read."""
        found = names & self.hoisted
        for s in reversed(self.steps):
            if writes(s) & found:
                found |= (reads(s) | writes(s)) & self.hoisted
        return found

    def read(self) -> set[str]:
        """The arrays that what is not hoisted reads."""
        return set().union(*(reads(s) for s in (*self.steps, *self.outputs)))

    def body(self, region: Region) -> list[Step]:
        """Everything else, and the results."""
        hoisting = self.setting.switches.hoisting
        elsewhere = self.hoisted | self.late
        rest = [s for s in self.steps if not writes(s) & elsewhere and not (hoisting and self.time(s) == Time.ONCE)]
        return [*self.batched(rest, region), *self.for_all(self.outputs, region, None, frozenset())]

    def late_steps(self) -> list[Step]:
        return [s for s in self.steps if writes(s) & self.late]

    def read_late(self) -> set[str]:
        """The arrays that are read after the levels, for all activations."""
        return set().union(*(reads(s) for s in (*self.late_steps(), *self.late_outputs)))

    def after(self, region: Region) -> list[Step]:
        """What is computed after the levels, where what they have computed is whole and in its place."""
        done = copy(self)
        done.places, done.apart = {**self.places, **self.stored}, set()
        late = self.late_steps()
        return [*done.batched(late, region), *done.for_all(self.late_outputs, region, None, frozenset())]

    def time(self, step: Step) -> Time:
        return max((self.times[name] for name in writes(step)), default=Time.EARLY if decides(step) else Time.ONCE)

    def without_objects(self, step: Step) -> Step:
        return map_kernels((step,), lambda k: unbatched(k, self.places))[0]

    def batched(self, steps: list[Step], region: Region) -> list[Step]:
        out: list[Step] = []
        for s in steps:
            if self.time(s) == Time.ONCE:
                out.append(self.without_objects(s))
            else:
                out.extend(self.for_all((s,), region, None, frozenset()))
        return out

    def for_all(self, steps: tuple[Step, ...], region: Region, within: Expr | None, kept: frozenset[str]) -> list[Step]:
        """Steps for all activations of the region. A loop whose count depends on a walk goes to the longest one, and does
        nothing where an activation's own is over."""
        out: list[Step] = []
        for s in steps:
            if decides(s):
                out.extend(self.decisions(region).steps(s))
            elif isinstance(s, Repeat):
                masked = bool(variables(as_expr(s.count)) & set(self.walks.sizes))
                condition = apply("lt", Var(s.variable), as_expr(s.count)) if masked else None
                if condition is not None and within is not None:
                    condition = apply("and", within, condition)
                inside = self.for_all(s.body, region, condition or within, kept | (self.outlive(s) if masked else frozenset()))
                out.append(replace(s, count=self.walks.longest(s.count), body=tuple(inside)))
            else:
                out.extend(Run(self.kernel(k, region, within, kept)) for k in kernels_of(s))
        return out

    def kernel(self, kernel: Kernel, region: Region, within: Expr | None = None, kept: frozenset[str] = frozenset()) -> Kernel:
        """The kernel for all activations of the region."""
        batched = batch(kernel, self.places, self.walks, region, self.arrays.tables, within, kept)
        apart = tuple(o.name for o in batched.inputs if o.name in self.apart)
        return replace(batched, apart=apart) if apart else batched

    def decisions(self, region: Region) -> Decisions:
        prefix, rows = f"{self.prefix}.decision.", Var(Names.count(*self.member))
        return Decisions(region, prefix, rows, self.arrays, self.places, self.walks, self.operands, self.kernel)

    def outlive(self, step: Step) -> frozenset[str]:
        """Arrays written in loops whose count depends on a walk that are read in another iteration or outside."""
        if not isinstance(step, Repeat):
            return frozenset()
        if not variables(as_expr(step.count)) & set(self.walks.sizes):
            return frozenset(n for s in step.body for n in self.outlive(s))
        before: set[str] = set()
        written: set[str] = set()
        for s in step.body:
            before |= reads(s) - written
            written |= writes(s)
        outside = {n for s in self.steps if s is not step for n in reads(s) | writes(s)} | self.results_of_cell
        return frozenset(written & (before | outside))


def with_fused_decisions(steps: tuple[Step, ...], lowered: Sequence) -> tuple[Step, ...]:
    """The steps with the kernels inside those of control fused."""
    out: list[Step] = []
    for n, s in enumerate(steps):
        if decides(s):
            outside = set(lowered.results).union(*(reads(x) for x in (*steps[:n], *steps[n + 1 :])))
            out.extend(fused(s, lowered, outside))
        else:
            out.append(s)
    return tuple(out)


def gathered(steps: tuple[Step, ...], params: Mapping[str, Operand]) -> tuple[tuple[Step, ...], tuple[Operand, ...]]:
    """The steps with rows that are read through an index array copied together first, where their elements are read more
    than once (the rows of a product); the others are read where they are."""
    out: list[Step] = []
    rows: dict[str, Operand] = {}

    def redirect(kernel: Kernel) -> Kernel:
        wanted = {n for n in params if not _read_once(kernel, n)}
        if not wanted:
            return kernel

        def change(load: Load) -> Expr:
            return Load(rows[load.source].name, load.index, load.dtype) if load.source in wanted else load

        body = tuple(map_statement(s, lambda e: map_loads(e, change)) for s in kernel.body)
        return replace(kernel, inputs=tuple(rows[o.name] if o.name in wanted else o for o in kernel.inputs), body=body)

    for s in steps:
        for name, o in params.items():
            if name not in rows and any(not _read_once(k, name) for k in kernels_of(s)):
                rows[name] = replace(o, name=f"{name}.rows")
                out.append(Run(copy_kernel(o, rows[name], f"gather.{name}", shape=o.shape)))
        out.append(map_kernels((s,), redirect)[0])
    return tuple(out), tuple(rows.values())


def without_empty(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps without kernels and loops that do nothing, and without sums over nothing."""
    out: list[Step] = []
    for s in steps:
        if isinstance(s, Run):
            kernel = drop_empty_reductions(s.kernel)
            if all(a.extent != 0 for a in kernel.free):
                out.append(Run(kernel) if kernel is not s.kernel else s)
        elif not isinstance(s, Repeat) or s.count != 0:
            out.append(map_bodies(s, without_empty))
    return tuple(out)


def folded(steps: tuple[Step, ...], lowered: Sequence) -> tuple[Step, ...]:
    """The steps without kernels over small constants alone, whose results become constants."""
    out: list[Step] = []
    written = Counter(name for s in steps for name in writes(s))
    for s in steps:
        if isinstance(s, Run) and _foldable(s.kernel, lowered) and all(written[name] == 1 for name in writes(s)):
            for name, value in run_kernel(s.kernel, lowered.constants).items():
                lowered.constants[name] = value
                lowered.constant_types[name] = lowered.temporaries.pop(name).dtype
        else:
            out.append(s)
    return tuple(out)


def _foldable(kernel: Kernel, lowered: Sequence) -> bool:
    known = all(i.name in lowered.constants for i in kernel.inputs) and not outer_scalars(kernel)
    return known and sum(prod(e for e in o.shape if isinstance(e, int)) for o in kernel.outputs) <= FOLDED


def together(copies: list[Kernel]) -> Kernel:
    """Copies over the same axes as one kernel."""
    return replace(
        copies[0],
        name="+".join(k.name for k in copies),
        inputs=tuple(dict.fromkeys(o for k in copies for o in k.inputs)),
        outputs=tuple(o for k in copies for o in k.outputs),
        body=tuple(s for k in copies for s in k.body),
    )


def _read_once(kernel: Kernel, name: str) -> bool:
    """Whether each element is read for one point of the free axes at most."""
    free = {a.name for a in kernel.free if a.extent != 1}
    found = (load for s in kernel.body for e in expressions(s) for load in loads(e) if load.source == name)
    return all(free <= {v for i in load.index for v in variables(i)} for load in found)
