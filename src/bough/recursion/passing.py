"""Tensors that go down the recursion: which cells compute them, and when.

    node(x, g): h = tanh(linear(g)); left(h), right(h)    ->    down: before the levels, from the highest level to the lowest,
                                                                rows of h at the activations that are called
                                                                up: the rest, in which g is known before the levels

A level is above those of its children, so that going down level by level reaches every activation after its caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from bough.base.errors import CompileError
from bough.base.visits import Stage, stages
from bough.ir.narrow import narrowed
from bough.ir.recursion import Cell, Context, Pass, Recursion, Returned
from bough.recursion.regions import Member
from bough.recursion.tables import variants


@dataclass(frozen=True, slots=True)
class Passing:
    """What a variant passes down into functions of the stage numbered `stage`. `inside`: it belongs to that stage itself. Of the
    entry, also the contexts that these take: pairs of a result of the cell and the number of the context."""

    member: Member
    stage: int
    cell: Cell
    inside: bool
    contexts: tuple[tuple[int, int], ...] = ()


Task = tuple[Literal["down", "up"], int]
"""A stage's descent, in which its arguments are passed, or its levels."""


def without_passes(recursion: Recursion) -> Recursion:
    """The recursion in which arguments and contexts are given."""
    described = variants(recursion.visits)

    def up(member: Member, cell: Cell) -> Cell:
        own = {*range(len(recursion.results[member[0]])), *(c.result for c in described[member].collects)}
        return cell if len(own) == len(cell.function.results) else narrowed(cell, own)

    return replace(recursion, cells={member: up(member, cell) for member, cell in recursion.cells.items()})


def passings(recursion: Recursion) -> list[Passing]:
    """The cells that compute what is passed, by variant and stage of the callee."""
    stage_of = {f: s.number for s in stages(recursion.visits) for f in s.functions}
    found: list[Passing] = []
    contexts: dict[int, set[int]] = {number: set() for number in stage_of.values()}
    for member, variant in variants(recursion.visits).items():
        cell = recursion.cells[member]
        contexts[stage_of[member[0]]] |= {s.result for s in cell.sources if isinstance(s, Context)}
        for number in dict.fromkeys(stage_of[variant.calls[p.call].function] for p in cell.passes):
            chosen = [p for p in cell.passes if stage_of[variant.calls[p.call].function] == number]
            alone = _alone(member, cell, chosen, number, stage_of[member[0]] == number)
            contexts[number] |= {s.result for s in alone.cell.sources if isinstance(s, Context)}
            found.append(alone)
    entry = (recursion.visits.entry, 0)
    of_contexts = [_alone(entry, recursion.cells[entry], [], n, False, tuple(sorted(c))) for n, c in contexts.items() if c]
    return [*of_contexts, *found]


def _alone(
    member: Member, cell: Cell, chosen: list[Pass], stage: int, inside: bool, contexts: tuple[int, ...] = ()
) -> Passing:
    results = sorted({*(p.result for p in chosen), *contexts})
    made = narrowed(cell, results)
    made.function.name = f"contexts{stage}" if contexts else f"down{stage}"
    made = replace(made, passes=tuple(replace(p, result=results.index(p.result)) for p in chosen))
    return Passing(member, stage, made, inside, tuple((results.index(c), c) for c in contexts))


def order(recursion: Recursion, found: list[Passing]) -> list[Task]:
    """All descents and levels, each after what it needs. Raises CompileError where what goes down needs what comes up."""
    described = stages(recursion.visits)
    needs: dict[Task, dict[Task, Member]] = {("up", s.number): _of_levels(recursion, s, described, found) for s in described}
    stage_of = {f: s.number for s in described for f in s.functions}
    for p in found:
        mine = needs.setdefault(("down", p.stage), {})
        calls = recursion.visits.function(p.member[0]).variants[p.member[1]].calls
        for source in p.cell.sources:
            if isinstance(source, Returned):
                mine[("up", stage_of[calls[source.call].function])] = p.member
        if not p.inside and recursion.arguments_of(p.member[0]):
            mine[("down", stage_of[p.member[0]])] = p.member
    done: dict[Task, bool] = {}
    ordered: list[Task] = []
    for stage in described:
        ordered += _after(("up", stage.number), needs, done, recursion)
    return ordered


def _of_levels(
    recursion: Recursion, stage: Stage, described: tuple[Stage, ...], passed: list[Passing]
) -> dict[Task, Member]:
    """What the levels of a stage need: those of the stages that it calls, and its own descent."""
    called = {c.function for f in stage.functions for v in recursion.visits.function(f).variants for c in v.calls}
    first = (stage.functions[0], 0)
    found: dict[Task, Member] = {
        ("up", s.number): first for s in described if s.number != stage.number and not called.isdisjoint(s.functions)
    }
    if any(p.stage == stage.number for p in passed):
        found[("down", stage.number)] = first
    return found


def _after(task: Task, needs: dict[Task, dict[Task, Member]], done: dict[Task, bool], recursion: Recursion) -> Iterator[Task]:
    """A task behind all that it needs and that is not done; the graph is as deep as there are stages."""
    if done.get(task):
        return
    done[task] = False
    for needed, member in needs[task].items():
        if done.get(needed) is False:
            raise _circular(recursion, member)
        yield from _after(needed, needs, done, recursion)
    done[task] = True
    yield task


def _circular(recursion: Recursion, member: Member) -> CompileError:
    """At the last call that passes something: those before it are what it may need."""
    variant = recursion.visits.function(member[0]).variants[member[1]]
    calls = [variant.calls[p.call].location for p in recursion.cells[member].passes]
    return CompileError(
        f"`{member[0]}` passes down a tensor that is computed from results of the same recursion",
        code="BGH-REC-007",
        because="what goes down is computed for all objects before what comes up; here, neither can be first",
        advice="pass what is known before the recursive calls, or return the value and combine it in the caller",
        location=calls[-1] if calls else variant.location,
    )
