"""Calls of functions of the recursion, as a run records them, and what the lists hold that they fill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from bough.base.visits import Call, Each, Part
from bough.frontends.staging import refusals
from bough.frontends.staging.per_element import per_element_call
from bough.frontends.staging.signals import Pending, here, refuse_source
from bough.frontends.staging.symbols import Elements, Number, Piece, Place
from bough.frontends.staging.templates import Listed, rebuild
from bough.ir.recursion import Collected, Returned

if TYPE_CHECKING:
    from bough.frontends.staging.run import Run


def visit(run: Run, callee: Any, places: Sequence[Place], given: Sequence[Any] = ()) -> Any:
    """The result of a function of the recursion at a place, or at several together, with tensors that go down to it."""
    call = call_at(callee.name, places)
    place = Place(call.path, call.each)
    each = None if place.each is None else run.record.eaches[place.each]
    if callee.template is None:
        raise Pending(call, each)
    if given or call not in run.record.calls:
        run.record.calls.append(call)
    number = len(run.record.calls) - 1 if given else run.record.calls.index(call)
    for argument, tensor in enumerate(given):
        value = per_element_call(torch.clone, (tensor,), {})  # as it is now, whatever is done to it later
        run.record.passes.append((number, argument))
        if run.turns is not None and run.turns.elements.each == place.each:
            run.turns.passed_down(value)
        else:
            run.passed.append(passed_down(run, value, place.each))
    results = [run.parameter(Returned(number, i), t.dtype, tuple(t.shape), place.each) for i, t in enumerate(callee.types)]
    # Copies, which cost nothing in the end: Python's callers may change what they get in place.
    made = callee.template.fill([per_element_call(torch.clone, (r,), {}) for r in results], lambda t: Number(run, t))
    return rebuild(made, lambda v: piece(run, number, v) if isinstance(v, Listed) else v)


def call_at(function: str, places: Sequence[Place]) -> Call:
    walks = {p.each for p in places if p.each is not None}
    if len(walks) > 1:
        raise refuse_source("elements of different lists meet", "lists may have different lengths", "walk over one at a time")
    each = next(iter(walks), None)
    if len(places) == 1:
        return Call(function, places[0].path, each, here())
    return Call(function, (), each, here(), tuple(Part(p.path, p.each is not None) for p in places))


def piece(run: Run, call: int, listed: Listed) -> list[Piece]:
    """A list that a call has returned."""
    run.pieces.append(Piece(call, listed.list))
    return run.pieces[-1:]


def passed_down(run: Run, value: Any, each: int | None) -> torch.Tensor:
    """A tensor for a callee; for all callees, where the call is made for each element of a walk."""
    if each is not None:
        stacked: torch.Tensor = run.staging.stacked(value, each)
        return stacked
    if not isinstance(value, torch.Tensor):
        raise refuse_source(
            "what belongs to an element of a list goes down to an object that does not",
            "the call is made once, and there may be many elements",
            "combine the elements first",
        )
    return value


def collected_in(run: Run, number: int) -> Elements:
    """What the call has collected in a list, for the entry function, behind the calls that collect."""
    kind = run.world.effects.types.get(number)
    if run.function is not run.world.entry or kind is None or number in own_lists(run):
        raise refusals.use_of_filled()
    found = (e for e, each in enumerate(run.record.eaches) if each.list == number)
    each = next(found, None)
    if each is None:
        run.record.eaches.append(Each((), list=number))
        each = len(run.record.eaches) - 1
        run.record.list_uses[number] = len(run.record.calls)
    stacked = run.stacked_parameter(Collected(each), kind.dtype, tuple(kind.shape), each)
    numbers = number in run.world.effects.python_numbers
    return Elements(run, each, Number(run, stacked) if numbers else stacked)


def own_lists(run: Run) -> set[int]:
    """The lists that the run itself appends to."""
    return {c.list for c in run.record.collects}


def walked_lists(run: Run) -> Iterator[tuple[int, torch.Tensor]]:
    """The lists that the run goes over, and their elements, stacked."""
    for source, tensor in run.record.params.items():
        number = run.list_of(source.walk) if isinstance(source, Collected) else None
        if number is not None:
            yield number, tensor
