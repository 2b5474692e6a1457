"""Generators of the user's: their code runs where they are walked over, and each `yield` runs a turn of the loop that does.

    for x in halves(h):            while h.sum() > 1:       # the body of `halves`, in whose frame it runs
        total = total + x    ->        h = h / 2
                                       total = total + h    # its `yield h`

So a generator may decide by computed values, and is never suspended. What leaves the loop leaves the generator first.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bough.frontends.staging.branches import Thunk, run
from bough.frontends.staging.choices import Choice
from bough.frontends.staging.outcomes import CONTINUE, NEVER, Leave, Return
from bough.frontends.staging.rewrite import assigned_outside
from bough.frontends.staging.scopes import MISSING, AttributeOf, Cell

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging

LONGEST = 10_000
"""How many elements are made a list of, at most."""
Frame = tuple[types.CodeType, int]


class Generated:
    """What a call of a generator function gives. `native`, where there is one, makes Python's own generator, for what takes one
    element after the other; it decides nothing by computed values."""

    __slots__ = ("body", "ended", "frame", "iterator", "native", "staging")

    def __init__(self, staging: DataStaging, body: Thunk, frame: Frame) -> None:
        self.staging, self.body, self.frame = staging, body, frame
        self.ended: Any = False
        self.native: Callable[[], Iterator[Any]] | None = None
        self.iterator: Iterator[Any] | None = None

    def __iter__(self) -> Generated:
        return self

    def __next__(self) -> Any:
        if self.iterator is None:
            if self.native is None:
                raise self.staging.refused(
                    "a generator that is defined inside of another function is asked for one element",
                    "its code runs in the loop that walks over it",
                    "walk over it with `for`, or define it outside of the function",
                )
            self.iterator = self.native()
        return next(self.iterator)


@dataclass(frozen=True, slots=True)
class Walk:
    """A loop over a generator: what runs one turn, in the frame of its function. `leaves`: a turn may end the loop."""

    turn: Callable[[Any], Any]
    frame: Frame
    leaves: bool


def made(staging: DataStaging, body: Thunk) -> Generated:
    """The result of a generator function with this body, whose frame is the current one."""
    staging.cells([body])  # they are as old as the call
    generated: Generated = staging.fresh(Generated(staging, body, staging.frames[-1]))
    return generated


def walked(
    staging: DataStaging, generated: Generated, turn: Callable[[Any], Any], needed: Sequence[str], leaves: bool
) -> Any:
    """The outcome of a loop's turns. `needed`: the names that are needed when a turn begins, or behind the loop."""
    ended = staging.truth(generated.ended)
    if not isinstance(ended, bool):
        raise staging.refused(
            "a generator is walked over that is at its end or not, which only the call decides",
            "its code runs in one loop",
            "make a new one for each loop",
        )
    if ended:
        return None
    staging.touch(AttributeOf(generated, "ended"))
    generated.ended = True
    for cell in staging.cells([generated.body]):
        staging.touch(cell)
    forget = _forgetting(staging, turn, needed)
    forget()

    def in_turn(value: Any) -> Any:
        outcome = turn(value)
        forget()
        return outcome

    staging.walks.append(Walk(in_turn, staging.frames[-1], leaves))
    staging.frames.append(generated.frame)
    try:
        return _outside(staging.alone(run, staging, generated.body))
    finally:
        staging.frames.pop()
        staging.walks.pop()


def _forgetting(staging: DataStaging, turn: Callable[[Any], Any], needed: Sequence[str]) -> Callable[[], None]:
    """Unbinds the names that a turn leaves behind and nobody needs: decisions of the generator's would join them."""
    assigned = assigned_outside(turn.__code__)
    spare: list[Cell] = [c for c in staging.cells([turn]) if c.name in assigned.difference(needed) and staging.is_local(c)]

    def forget() -> None:
        for cell in spare:
            staging.touch(cell)
            cell.write(MISSING)

    return forget


def yielded(staging: DataStaging, value: Any) -> Any:
    """A `yield`: the outcome in the generator's code, of a turn of the loop over it."""
    walk = staging.walks.pop()
    staging.frames.append(walk.frame)
    try:
        return _inside(staging.alone(walk.turn, value))
    finally:
        staging.frames.pop()
        staging.walks.append(walk)


def _inside(outcome: Any) -> Any:
    if isinstance(outcome, Choice):
        return _each(outcome, _inside)
    return None if outcome is None or outcome is CONTINUE else outcome if outcome is NEVER else Leave(outcome)


def _outside(outcome: Any) -> Any:
    if isinstance(outcome, Choice):
        return _each(outcome, _outside)
    if isinstance(outcome, Leave):
        return outcome.value
    return None if isinstance(outcome, Return) else outcome


def _each(outcome: Choice, change: Callable[[Any], Any]) -> Any:
    mapped = [change(o) for o in outcome.alternatives]
    return None if all(m is None for m in mapped) else Choice(outcome.staging, outcome.selector, mapped)


def collected(staging: DataStaging, value: Any) -> Any:
    """The elements of a generator as a list; other values as they are."""
    if not isinstance(value, Generated) or value.iterator is not None:
        return value
    elements: list[Any] = staging.fresh([])
    count = 0

    def add(element: Any) -> None:
        nonlocal count
        count += 1
        if count > LONGEST:
            raise staging.refused(
                f"a list is made of a generator that gives more than {LONGEST} elements",
                "there is a bound",
                "walk over the generator with `for`, or append to a list in a loop",
            )
        staging.call(elements.append, element)

    walked(staging, value, add, (), False)
    return elements


def numbered(staging: DataStaging, values: Generated, start: Any) -> Generated:
    """`enumerate` of a generator."""
    counter = _Counter(start)
    staging.made_here([counter])

    def body() -> Any:
        return walked(staging, values, turn, (), staging.leaves_walk)

    def turn(value: Any) -> Any:
        number = counter.value
        staging.touch(AttributeOf(counter, "value"))
        counter.value = number + 1
        return yielded(staging, (number, value))

    return made(staging, body)


class _Counter:
    def __init__(self, value: Any) -> None:
        self.value = value
