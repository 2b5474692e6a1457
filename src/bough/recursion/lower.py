"""Recursion to Sequence: cells become kernels over all activations of a level, recursion becomes a loop over levels.

    once       kernels that depend on no object
    stage 0    variants that call nothing of the stage, over all their activations
               hoisted kernels of the others, over all activations
               arguments passed down, from the highest level to the lowest
               level 1, where what is called is known: initial states, walks over no children
               repeat level: each variant that calls its stage, over its activations of the level
    stage 1    ...
    results    the rows of the samples in the entry's state
"""

from __future__ import annotations

from collections.abc import Iterable

from bough.base.visits import Names, Stage, stages
from bough.ir.expr import Const, Expr, Load, Var, add, apply, maximum, minimum, select, sub, variables
from bough.ir.kernel import Kernel, Operand, Store, axes_over
from bough.ir.recursion import Cell, Recursion, Returned
from bough.ir.sequence import (
    Define,
    Repeat,
    Run,
    Sequence,
    Step,
    host_expressions,
    host_loads,
    kernels,
    outer_scalars,
    walk,
)
from bough.recursion.arrays import Arrays
from bough.recursion.cells import CellLowering, Setting
from bough.recursion.initial import first_cell
from bough.recursion.passing import Passing, Task, order, passings, without_passes
from bough.recursion.places import Region
from bough.recursion.refactor import refactor
from bough.recursion.regions import Member, between, everything
from bough.recursion.split_products import split_products
from bough.recursion.switches import Switches
from bough.recursion.tables import dimensions, entry, variants
from bough.recursion.tabulate import tabulate

DEFAULTS = Switches()


def lower_recursion(recursion: Recursion, options: Switches = DEFAULTS) -> Sequence:
    """The kernels that compute all activations of a linearized structure.

    Inputs are those arrays of `Names` that are needed, dims the sizes of `Names`. Results: for each result of the entry
    function an array [samples, ...], then for each collected list [its elements of all samples, ...].
    """
    if options.refactoring:
        recursion = refactor(recursion)
    down = passings(recursion)
    tasks = order(recursion, down)
    recursion = without_passes(recursion)
    if options.hoisting:
        recursion = split_products(recursion)
    if options.tabulation:
        recursion = tabulate(recursion)
    return _Lowering(recursion, down, options).run(tasks)


class _Lowering:
    def __init__(self, recursion: Recursion, down: list[Passing], switches: Switches) -> None:
        self.recursion, self.passings, self.switches = recursion, down, switches
        self.variants = variants(recursion.visits)
        self.arrays = Arrays(recursion)
        self.needed = needed_results(recursion, down)
        self.once: list[Step] = []
        self.steps: list[Step] = []

    def run(self, tasks: list[Task]) -> Sequence:
        described = stages(self.recursion.visits)
        for direction, number in tasks:
            (self.descend if direction == "down" else self.stage)(described[number])
        results = [*self.entry_results(), *(o.name for o in self.arrays.lists)]
        steps = (*self.once, *self.steps)
        return Sequence(
            self.recursion.visits.entry,
            self.inputs(steps),
            tuple(results),
            self.arrays.temporaries,
            self.arrays.constants,
            self.arrays.constant_types,
            steps,
            dimensions(self.recursion.visits),
            self.recursion.visits,
        )

    def descend(self, stage: Stage) -> None:
        """Passes down the arguments of a stage: first its callers outside, then its levels, the highest first."""
        mine = [p for p in self.passings if p.stage == stage.number]
        cells = {p: CellLowering(p.member, p.cell, self.arrays, self.setting(stage, p.inside, True, p.contexts)) for p in mine}
        for cell in cells.values():
            self.once.extend(cell.once())
        for p, cell in cells.items():
            if not p.inside:
                self.steps.extend(self.run_over(cell, everything(p.member, self.variants[p.member])))
        inside = [cell for p, cell in cells.items() if p.inside]
        for cell in inside:
            self.early(stage, cell, None)
        if inside:
            variable = f"stage{stage.number}.descent"
            level = sub(sub(Var(Names.levels(stage.number)), 1), Var(variable))
            body = [s for cell in inside for s in self.part(cell, "down", *self.of_level(cell, level))]
            self.steps.append(Repeat(variable, sub(Var(Names.levels(stage.number)), 1), tuple(body)))

    def stage(self, stage: Stage) -> None:
        inside = bool(stage.step) and not self.switches.leaf_specialization
        base = [self.cell(member, stage, inside) for member in stage.base]
        step = [self.cell(member, stage, True) for member in stage.step]
        for cell in (*base, *step):
            self.once.extend(cell.once())
        if not inside:
            for cell in base:
                self.steps.extend(self.run_over(cell, everything(cell.member, self.variants[cell.member])))
        first = {} if inside else self.first_level(stage, step)
        for cell in first.values():
            self.once.extend(cell.once())
        for cell in (*base, *step) if inside else step:
            self.early(stage, cell, first.get(cell.member))
        if first:
            parts = [self.part(first.get(c.member, c), "first", Const(0), first_size(stage, c)) for c in step]
            self.steps.extend(apart(stage, [s for part in parts for s in part]))
        if step:
            self.steps.append(self.levels(stage, base if inside else [], step, 2 if first else 0 if inside else 1))
        for cell in (*base, *step):
            self.steps.extend(cell.after(everything(cell.member, self.variants[cell.member])))

    def early(self, stage: Stage, cell: CellLowering, first: CellLowering | None) -> None:
        """What is hoisted, over all activations; what neither a simpler cell for level 1 nor anything after the levels needs,
        from level 2 on."""
        variant = self.variants[cell.member]
        whole = cell.hoisted if first is None else cell.hoisted_for(first.read() | cell.read_late())
        self.steps.extend(cell.early(everything(cell.member, variant), whole))
        if first is not None:
            f, v = cell.member
            begin = first_size(stage, cell)
            defines, rest = between(cell.member, variant, f"{f}.{v}.rest", begin, sub(Var(Names.count(f, v)), begin))
            self.steps.extend(needed([*defines, *cell.early(rest, cell.hoisted - whole)]))

    def cell(self, member: Member, stage: Stage, in_levels: bool) -> CellLowering:
        return CellLowering(member, self.recursion.cells[member], self.arrays, self.setting(stage, in_levels))

    def setting(
        self, stage: Stage, in_levels: bool, down: bool = False, contexts: tuple[tuple[int, int], ...] = ()
    ) -> Setting:
        read = results_read(self.recursion, ((m, self.recursion.cells[m]) for m in (*stage.base, *stage.step)))
        return Setting(in_levels, frozenset(stage.functions), self.needed, read, self.switches, down, contexts)

    def first_level(self, stage: Stage, step: list[CellLowering]) -> dict[Member, CellLowering]:
        """Cells for level 1, where they are simpler than elsewhere because each call ends in a base variant."""
        if not self.switches.constant_propagation:
            return {}
        found: dict[Member, CellLowering] = {}
        for cell in step:
            simpler = first_cell(self.recursion, stage, cell.member)
            if simpler is not None:
                found[cell.member] = CellLowering(cell.member, simpler, self.arrays, cell.setting, cell)
        return found

    def levels(self, stage: Stage, base: list[CellLowering], step: list[CellLowering], first: int) -> Step:
        """The loop over the levels of a stage from number `first` on."""
        variable = f"stage{stage.number}.level"
        level = add(Var(variable), first)
        count = sub(Var(Names.levels(stage.number)), first)
        body: list[Step] = []
        for cell in base:
            here = select(apply("eq", level, Const(0)), Var(Names.count(*cell.member)), Const(0))
            body.extend(self.part(cell, "level", Const(0), here))
        for cell in step:
            body.extend(self.part(cell, "level", *self.of_level(cell, level)))
        return Repeat(variable, maximum(count, 0) if first > 1 else count, tuple(body))

    def of_level(self, cell: CellLowering, level: Expr) -> tuple[Expr, Expr]:
        """Where a variant's activations of a level begin, and how many they are."""
        start = Names.start(*cell.member)
        begin = entry(start, level)
        return begin, sub(entry(start, add(level, 1)), begin)

    def part(self, cell: CellLowering, name: str, begin: Expr, size: Expr) -> list[Step]:
        """A variant's activations of one level."""
        f, v = cell.member
        defines, region = between(cell.member, self.variants[cell.member], f"{f}.{v}.{name}", begin, size)
        return needed([*defines, *self.run_over(cell, region)])

    def run_over(self, cell: CellLowering, region: Region) -> list[Step]:
        """The variant over a region: at once, or one activation after the other."""
        if self.switches.batching:
            return cell.body(region)
        variable = f"{cell.prefix}.activation"
        begin = add(region.begin, Var(variable))
        defines, alone = between(cell.member, self.variants[cell.member], variable, begin, Const(1))
        return [Repeat(variable, region.size, tuple(needed([*defines, *cell.body(alone)])))]

    def entry_results(self) -> list[str]:
        """The entry's state where it has one activation for each sample, in order; else the samples' rows of it."""
        entry_name = self.recursion.visits.entry
        function = self.recursion.visits.function(entry_name)
        plain = len(function.variants) == 1 and not any(c.function == entry_name for v in self.variants.values() for c in v.calls)
        names: list[str] = []
        for r, of in enumerate(self.recursion.results[entry_name]):
            rows = r in self.recursion.rows
            state = self.arrays.rows(r) if rows else self.arrays.state(entry_name, r)
            if not plain and not rows:
                taken = self.arrays.temporary(f"result{r}", of.dtype, (Var(Names.samples), *of.shape))
                self.steps.append(Run(take(state, self.arrays.tables[Names.roots], taken)))
                state = taken
            names.append(state.name)
        return names

    def inputs(self, steps: tuple[Step, ...]) -> tuple[Operand, ...]:
        used = {i.name for k in kernels(steps) for i in k.inputs} | host_loads(steps)
        return tuple(o for name, o in self.arrays.tables.items() if name in used)


def apart(stage: Stage, steps: list[Step]) -> list[Step]:
    """A level's steps apart from those that write the rows it reads, as a loop's body is: in a loop that runs once."""
    return [Repeat(f"stage{stage.number}.first", 1, tuple(steps))] if stage.base else steps


def first_size(stage: Stage, cell: CellLowering) -> Expr:
    """How many activations a variant has at level 1."""
    return entry(Names.start(*cell.member), minimum(Var(Names.levels(stage.number)), 2))


def needed_results(recursion: Recursion, down: list[Passing]) -> dict[str, set[int]]:
    """The results of each function that a cell or the caller reads."""
    entry_name = recursion.visits.entry
    cells = (*recursion.cells.items(), *((p.member, p.cell) for p in down))
    return {**results_read(recursion, cells), entry_name: set(range(len(recursion.results[entry_name])))}


def results_read(recursion: Recursion, cells: Iterable[tuple[Member, Cell]]) -> dict[str, set[int]]:
    """The results of each function that these cells read."""
    found: dict[str, set[int]] = {}
    described = variants(recursion.visits)
    for member, cell in cells:
        for source in cell.sources:
            if isinstance(source, Returned):
                found.setdefault(described[member].calls[source.call].function, set()).add(source.result)
    return found


def take(source: Operand, rows: Operand, target: Operand) -> Kernel:
    """`target[n, ...] = source[rows[n], ...]`."""
    axes = axes_over(target.shape)
    first, *rest = (Var(a.name) for a in axes)
    value = Load(source.name, (entry(rows.name, first), *rest), source.dtype)
    return Kernel(f"take.{target.name}", axes, (source, rows), (target,), (Store(target.name, (first, *rest), value),))


def needed(steps: list[Step]) -> list[Step]:
    """The steps without definitions that nothing names."""
    kept: list[Step] = []
    names: set[str] = set()
    for s in reversed(steps):
        if not isinstance(s, Define) or s.name in names:
            kept.append(s)
            names |= named(s)
    return kept[::-1]


def named(step: Step) -> set[str]:
    """The numbers of the host that a step names."""
    found = {name for s in walk((step,)) for e in host_expressions(s) for name in variables(e)}
    return found.union(*(outer_scalars(k) for k in kernels((step,))))
