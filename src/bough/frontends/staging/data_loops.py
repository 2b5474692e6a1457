"""`while`, `for` and comprehensions: unrolled where Python knows their course, loops of the compiled function where not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from bough.frontends.staging import growing, iterables
from bough.frontends.staging.branches import Thunk, go_on, run
from bough.frontends.staging.carried import attempt, carry
from bough.frontends.staging.choices import Choice, each_alternative, settled
from bough.frontends.staging.generators import Generated, walked
from bough.frontends.staging.iterables import Range, is_computed_iterable
from bough.frontends.staging.outcomes import BEHIND, BREAK, CONTINUE, Entry, Jump, Needed, Unreachable, comes
from bough.frontends.staging.scalars import Scalar

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging

LONGEST_UNROLLED = 8
"""Turns of a `for` over a range that may end early, up to which each turn is traced on its own."""


def repeat(
    staging: DataStaging, test: Thunk, turn: Thunk, otherwise: Thunk | None, rest: Thunk | None,
    head: Sequence[str], live: Sequence[str], leaves: bool, end: Sequence[str] | None = None,
    leave: Sequence[str] = (), again: Sequence[str] = (),
) -> Any:  # fmt: skip
    """A `while`. `head` and `live`: the names that are needed when a turn begins, and behind the loop."""
    return followed(staging, lambda: _turns(staging, test, turn, head, live), otherwise, rest, end, leave, again)


def followed(
    staging: DataStaging, turns: Thunk, otherwise: Thunk | None, rest: Thunk | None, end: Sequence[str] | None,
    leave: Sequence[str], again: Sequence[str],
) -> Any:  # fmt: skip
    """The turns of a loop, then its `else` and what stands behind it."""
    offered = staging.taken(end is not None)
    own = (Entry(rest, Needed(tuple(end or ()), tuple(leave), tuple(again))),) if rest is not None else ()
    return run(staging, lambda: _ended(staging, turns(), otherwise), own, offered)


def _turns(staging: DataStaging, test: Thunk, turn: Thunk, head: Sequence[str], live: Sequence[str]) -> Any:
    """Turns that Python decides are taken at once; from the first that it cannot, it is a loop of the compiled function."""

    ended = object()

    def one() -> tuple[bool, Any]:
        value = test()
        known = staging.truth(value)
        if isinstance(known, Scalar):
            return False, None
        if not known:
            return True, ended
        outcome = run(staging, turn)
        return comes(Entry(turn, of_turn=True), outcome) is not None, outcome

    while True:
        kept, outcome = attempt(staging, (test, turn), one)
        if not kept:
            return carry(staging, test, turn, head, live)
        if outcome is ended:
            return None
        if not comes(Entry(turn, of_turn=True), outcome):
            return outcome


def _ended(staging: DataStaging, outcome: Any, otherwise: Thunk | None) -> Any:
    """The outcome of a whole loop: `break` leads behind it, and the end of the turns to the `else`, whose own `break` and
    `continue` are those of a loop further out."""
    if otherwise is None:
        return _going(outcome, {BREAK: None, CONTINUE: None})
    outcome = _going(outcome, {BREAK: BEHIND, CONTINUE: None})
    return _going(go_on(staging, outcome, Entry(otherwise), ()), {BEHIND: None})


def _going(outcome: Any, instead: Mapping[Jump, Jump | None]) -> Any:
    """An outcome with jumps in place of others."""
    if isinstance(outcome, Choice):
        mapped = [_going(o, instead) for o in outcome.alternatives]
        return None if all(m is None for m in mapped) else Choice(outcome.staging, outcome.selector, mapped)
    return instead.get(outcome, outcome) if isinstance(outcome, Jump) else outcome


def each(
    staging: DataStaging, values: Any, turn: Callable[[Any], Any], otherwise: Thunk | None, rest: Thunk | None,
    head: Sequence[str], live: Sequence[str], leaves: bool, end: Sequence[str] | None = None,
    leave: Sequence[str] = (), again: Sequence[str] = (),
) -> Any:  # fmt: skip
    """A `for`."""
    return followed(staging, lambda: _each(staging, values, turn, head, live, leaves), otherwise, rest, end, leave, again)


def _each(
    staging: DataStaging, values: Any, turn: Callable[[Any], Any], head: Sequence[str], live: Sequence[str], leaves: bool
) -> Any:
    staging.state.use(values)
    values = growing.as_argument(staging, settled(values))
    if isinstance(values, Choice):
        return each_alternative(staging, lambda v: _each(staging, v, turn, head, live, leaves), values)
    if is_computed_iterable(values):
        return counted(staging, values, turn, head, live)
    if isinstance(values, range) and leaves and len(values) > LONGEST_UNROLLED:
        return counted(staging, Range(values.start, values.stop, values.step), turn, head, live)
    method = getattr(type(values), "__iter__", None)
    if hasattr(method, "__code__") and not isinstance(values, (torch.nn.Module, torch.Tensor)):
        values = staging.call(method, values)
    if isinstance(values, Generated) and values.iterator is None:
        return walked(staging, values, turn, (*head, *live), leaves)
    elements = values.unbind(0) if isinstance(values, torch.Tensor) else values
    return _unrolled(staging, iter(elements), turn, live)


def _unrolled(staging: DataStaging, elements: Any, turn: Callable[[Any], Any], live: Sequence[str]) -> Any:
    """One turn after the other; behind one that may end the loop, the others are traced where it does not."""
    for element in elements:
        needed = Needed(tuple(live), tuple(live), tuple(live))
        later = Entry(lambda: _unrolled(staging, elements, turn, live), needed, of_turn=True)
        outcome = run(staging, lambda element=element: turn(element), (), (later,))  # type: ignore[misc]
        if later.done:
            return outcome
        coming = comes(later, outcome)
        if coming is None:
            return go_on(staging, outcome, later, ())
        if not coming:
            return outcome
    return None


def counted(staging: DataStaging, values: Any, turn: Callable[[Any], Any], head: Sequence[str], live: Sequence[str]) -> Any:
    """A loop over positions."""
    bounds = iterables.bounds(staging, values)
    state = _Counter(bounds.start)
    staging.made_here([state])

    def test() -> Any:
        below = state.value < bounds.stop
        if isinstance(bounds.step, Scalar):
            raise staging.refused(
                "a range with a computed step is walked over",
                "its direction is not known",
                "walk over a range with a step of 1, and multiply",
            )
        return below if bounds.step > 0 else state.value > bounds.stop

    def body() -> Any:
        position = state.value
        element = iterables.element(staging, values, position)
        state.value = position + bounds.step
        return turn(element)

    stop = bounds.stop.size if isinstance(bounds.stop, Scalar) else bounds.stop
    plain = type(bounds.start) is int and bounds.start == 0 and bounds.step == 1
    return carry(staging, test, body, head, live, state, [turn], stop if plain else None)


class _Counter:
    """The position that a loop has come to."""

    def __init__(self, value: Any) -> None:
        self.value = value


def comprehend(
    staging: DataStaging, kind: str, values: Any, body: Callable[[Any], Any], conditions: Sequence[Callable[[Any], Any]],
    flat: bool,
) -> Any:  # fmt: skip
    """A comprehension; `flat`: the body gives a list of elements."""
    made = staging.fresh([])

    def turn(element: Any) -> None:
        tests: list[Thunk] = [lambda c=c: c(element) for c in conditions]  # type: ignore[misc]
        chosen = staging.all_true(False, tests[0](), *tests[1:]) if tests else True
        staging.branch(chosen, lambda: add(element), None, None, ())

    def add(element: Any) -> None:
        staging.call(made.extend if flat else made.append, body(element))

    outcome = _each(staging, values, turn, (), (), False)
    assert outcome is None
    if staging.varied_content(made) is not None:
        if kind in ("dict", "set"):
            raise staging.refused(f"a {kind} comprehension of computed length", "there is no rule for it", "use a list")
        return made
    match kind:
        case "generator":
            return iter(made)
        case "dict":
            return staging.fresh(dict(made))
        case "set":
            return staging.fresh(set(made))
    return made


__all__ = ["Unreachable", "comprehend", "each", "each_alternative", "repeat"]
