"""The pipeline: one visible list of passes, each with the level it takes and gives. Watchers look on; passes only compute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from bough.codegen import compile_functions, emit_walk
from bough.graph_passes.choose import choose
from bough.graph_passes.coalesce import coalesce, coalesce_appends
from bough.graph_passes.decisions import fold_decisions, hoist, sink
from bough.graph_passes.fuse import fuse
from bough.graph_passes.group_products import group_products
from bough.graph_passes.lay_out_rows import lay_out_rows
from bough.graph_passes.lower_program import lower_function
from bough.graph_passes.narrow_weights import PRECISIONS, ROUNDED, narrow_weights
from bough.graph_passes.nest import nest
from bough.graph_passes.normalize import normalize
from bough.graph_passes.online import online
from bough.graph_passes.order import order
from bough.graph_passes.pad_in_place import pad_in_place
from bough.graph_passes.simplify import simplify_scalars
from bough.graph_passes.values import check_indices, drop_dead, fold_constants, merge_views, share
from bough.graph_passes.winograd import winograd
from bough.ir.loops import Function
from bough.ir.program import Program
from bough.ir.recursion import Recursion
from bough.ir.sequence import Apart, Group, Sequence, Step, map_bodies, map_kernels, phase, straight
from bough.pipeline.assemble import Assembled, assemble
from bough.pipeline.schedule_kernels import Scheduled, schedule_kernels
from bough.recursion import Switches, lower_recursion
from bough.runtime.team import team_text
from bough.search.heuristic import Context, Heuristic, Strategy
from bough.search.in_turn import take_in_turn
from bough.search.layouts import Known, choose_layouts
from bough.targets import Target, groupings

NOMINAL_SIZE = 64
"""What a symbolic size counts as where a schedule is chosen, inside its range."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a compilation depends on besides the program."""

    target: Target
    threads: int
    precision: str = "float32"
    """What the weights of products are kept in: one of `PRECISIONS`."""
    strategy: Strategy = field(default_factory=Heuristic)
    switches: Switches = field(default_factory=Switches)
    """What the lowering of recursive models does."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A sequence whose kernels have their schedules."""

    sequence: Sequence
    scheduled: dict[str, Scheduled]


@dataclass(frozen=True, slots=True)
class Generated:
    """The end of the pipeline: an object file and what it was made from."""

    assembled: Assembled
    code: bytes


@dataclass(frozen=True, slots=True)
class Pass:
    """One step. `takes` and `gives` name levels."""

    name: str
    takes: str
    gives: str
    run: Callable[[Any, Options], Any]


def _program(*steps: Callable[[Program], Program]) -> Callable[[Program | Recursion, Options], Program | Recursion]:
    """Takes a Program through steps; what a recursion decides is in its visits."""

    def run(program: Program | Recursion, _: Options) -> Program | Recursion:
        if isinstance(program, Recursion):
            return program
        for step in steps:
            program = step(program)
        return program

    return run


def _lower(program: Program | Recursion, options: Options) -> Sequence:
    if isinstance(program, Recursion):
        return lower_recursion(program, options.switches)
    return lower_function(program.functions[program.entry])


def _fuse(sequence: Sequence, _: Options) -> Sequence:
    fused = fuse(sequence)
    chosen = choose(fused)
    return fused if chosen is fused else fuse(chosen)


def _group(sequence: Sequence, options: Options) -> Sequence:
    for grouping in groupings(options.target):
        sequence = group_products(sequence, grouping, rounded=ROUNDED.get(options.precision) == grouping.dtype)
    return sequence


def _fewer_products(sequence: Sequence, options: Options) -> Sequence:
    return winograd(sequence) if PRECISIONS[options.precision] is None else sequence


def _layouts(sequence: Sequence, options: Options) -> Sequence:
    context = context_of(sequence, options)
    return choose_layouts(sequence, Known(options.target.lanes, context.constants, context.sizes))


def _in_turn(sequence: Sequence, options: Options) -> Sequence:
    return take_in_turn(sequence, options.strategy, context_of(sequence, options))


def normalize_axes(s: Sequence, apart: frozenset[str] = frozenset()) -> Sequence:
    """Every kernel with as few axes as it can have; `apart` as `normalize` takes it."""

    def normalized(step: Step) -> Step:
        if isinstance(step, Group):
            return replace(step, kernels=tuple(normalize(k, step.rows) for k in step.kernels))
        if isinstance(step, Apart):
            return replace(step, steps=straight(map(normalized, step.steps)))
        fewer = partial(normalize, apart=apart)
        return map_kernels((step,), fewer)[0] if phase(step) else map_bodies(step, lambda body: tuple(map(normalized, body)))

    return replace(s, steps=tuple(map(normalized, s.steps)))


def _schedule(sequence: Sequence, options: Options) -> Planned:
    context = context_of(sequence, options)
    return Planned(*schedule_kernels(sequence, options.strategy, context, options.switches.grouping))


def context_of(sequence: Sequence, options: Options) -> Context:
    """What a strategy sees of a sequence, but for the numbers that it defines."""
    sizes = {d.name: max(d.low, min(NOMINAL_SIZE, d.high or NOMINAL_SIZE)) for d in sequence.dims}
    return Context(options.target, options.threads, frozenset(sequence.constants), sizes)


def _assemble(planned: Planned, _: Options) -> Assembled:
    return assemble(planned.sequence, planned.scheduled)


def generate(assembled: Assembled, options: Options, reader: str = "") -> Generated:
    """Object code as `object_code` says."""
    switches = options.switches
    team = team_text(architecture(options.target), one_region=switches.one_region, persistence=switches.persistence)
    return Generated(assembled, object_code([assembled.function], assembled, options.target, team, reader))


def object_code(
    functions: list[Function], assembled: Assembled, target: Target, team: str | None = None, reader: str = ""
) -> bytes:
    """One object of these functions on the arrays of an assembled one, with the thread team, and the native linearizer where
    the arrays are those of structures, or the text of another `reader`. `team` is the text of another team."""
    given = assembled.given
    team = team or team_text(architecture(target))
    if given.visits:
        reader = emit_walk(given.visits, [i.name for i in given.inputs], [d.name for d in given.dims])
    return compile_functions(functions, target, team=team, walk=reader)


def architecture(target: Target) -> str:
    return target.triple.partition("-")[0]


IMPORT = Pass("import module", "PyTorch", "Program", lambda program, _: program)
"""What watchers are shown first: the program as it came from the front end."""

PASSES: tuple[Pass, ...] = (
    Pass("fold constants", "Program", "Program", _program(fold_constants)),
    Pass("merge views", "Program", "Program", _program(merge_views)),
    Pass("share values", "Program", "Program", _program(share, drop_dead)),
    Pass("check indices", "Program", "Program", _program(check_indices)),
    Pass("fold decisions", "Program", "Program", _program(fold_decisions, drop_dead)),
    Pass("sink into branches", "Program", "Program", _program(sink, fold_decisions, drop_dead)),
    Pass("hoist out of loops", "Program", "Program", _program(hoist, drop_dead)),
    Pass("lower operators", "Program", "Kernel", _lower),
    Pass("simplify scalars", "Kernel", "Kernel", lambda sequence, _: simplify_scalars(sequence)),
    Pass("append in place", "Kernel", "Kernel", lambda sequence, _: coalesce_appends(sequence)),
    Pass("fuse kernels", "Kernel", "Kernel", _fuse),
    Pass("fewer products", "Kernel", "Kernel", _fewer_products),
    Pass("choose layouts", "Kernel", "Kernel", _layouts),
    Pass("pad in place", "Kernel", "Kernel", lambda sequence, _: pad_in_place(sequence)),
    Pass("share arrays", "Kernel", "Kernel", lambda sequence, _: coalesce(sequence)),
    Pass("narrow weights", "Kernel", "Kernel", lambda sequence, options: narrow_weights(sequence, options.precision)),
    Pass("group products", "Kernel", "Kernel", _group),
    Pass("softmax in turns", "Kernel", "Kernel", lambda sequence, _: online(sequence)),
    Pass("lay out rows", "Kernel", "Kernel", lambda sequence, _: lay_out_rows(sequence)),
    Pass("nest chains", "Kernel", "Kernel", lambda sequence, _: nest(sequence)),
    Pass("take samples in turn", "Kernel", "Kernel", _in_turn),
    Pass("order kernels", "Kernel", "Kernel", lambda sequence, options: order(sequence, context_of(sequence, options).sizes)),
    Pass("normalize axes", "Kernel", "Kernel", lambda sequence, _: normalize_axes(sequence)),
    Pass("choose schedules", "Kernel", "Kernel", _schedule),
    Pass("assemble loops", "Kernel", "Loops", _assemble),
    Pass("generate code", "Loops", "object", generate),
)


class Watcher(Protocol):
    """Looks at what each pass made: for timing, dumps, verification, reports."""

    def after(self, step: Pass, value: Any, seconds: float) -> None: ...


def run_passes(
    program: Program | Recursion,
    options: Options,
    watchers: Iterable[Watcher] = (),
    passes: tuple[Pass, ...] = PASSES,
    imported: float = 0.0,
) -> Generated:
    """Takes a program through the passes. `imported` is how many seconds it took to make the program."""
    value = _through(program, options, watchers, passes, imported)
    assert isinstance(value, Generated)
    return value


def assembled_loops(program: Program | Recursion, options: Options, passes: tuple[Pass, ...] = PASSES) -> Assembled:
    """The program before the last pass: loops, and no code."""
    value = _through(program, options, (), passes[:-1])
    assert isinstance(value, Assembled)
    return value


def _through(
    program: Program | Recursion, options: Options, watchers: Iterable[Watcher], passes: tuple[Pass, ...], imported: float = 0.0
) -> object:
    value: Any = program
    looking = tuple(watchers)
    for w in looking:
        w.after(IMPORT, program, imported)
    for step in passes:
        begin = time.perf_counter()
        value = step.run(value, options)
        seconds = time.perf_counter() - begin
        for w in looking:
            w.after(step, value, seconds)
    return value
