"""`raise` inside the `try` that may catch it, in one function: a jump to the handler, also where only the call decides it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from bough.base.errors import CompileError
from bough.frontends.staging.branches import Thunk, go_on, run
from bough.frontends.staging.choices import Choice
from bough.frontends.staging.outcomes import NEVER, Entry, Jump

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging


class Raised(Jump):
    """To the innermost handler of an exception."""

    def __init__(self, exception: BaseException) -> None:
        self.name, self.exception = "raise", exception


@dataclass(eq=False, slots=True)
class Handler(Entry):
    """What runs where control has left with this jump."""

    raised: Jump | None = None

    def follows(self, outcome: Any) -> bool:
        return outcome is self.raised


Handlers = Sequence[tuple[Any, Callable[[BaseException], Any]]]
"""The kinds of exceptions that each takes, None for all, and its block."""


def jump(staging: DataStaging, error: BaseException) -> Raised:
    """To the handler of an exception; those that are raised alike are one."""
    if not all(a is None or isinstance(a, (str, bool, int, float, torch.dtype)) for a in (*error.args, *vars(error).values())):
        raise staging.refused(
            "an exception that may be caught holds what is computed",
            "where it goes only the call decides, so it carries text and plain numbers at most",
            "raise it with a text",
        )
    return staging.jumps.setdefault((type(error), repr(error)), Raised(error))


THROUGH = Jump("through")
"""To the `else` of a `try`, behind its handlers."""


def handled(staging: DataStaging, body: Thunk, handlers: Handlers, otherwise: Thunk | None, inside: bool) -> Any:
    """The outcome of a `try` and its `else`. `inside`: what no handler takes may be taken by one further out."""
    try:
        with staging.trying():
            outcome = staging.alone(run, staging, body)
    except CompileError:
        raise
    except Exception as error:
        chosen = _handler(handlers, error)
        if chosen is None:
            raise
        return staging.alone(run, staging, _with(chosen, error))
    if otherwise is not None:
        outcome = _through(outcome)
    for raised in _raised(outcome):
        chosen = _handler(handlers, raised.exception)
        if chosen is not None:
            outcome = _gone_on(staging, outcome, raised, _with(chosen, raised.exception))
    if otherwise is not None:
        outcome = _gone_on(staging, outcome, THROUGH, otherwise)
    for raised in () if inside else _raised(outcome):
        outcome = _gone_on(staging, outcome, raised, _ending(staging, raised.exception))
    return outcome


def _through(outcome: Any) -> Any:
    """The outcome of the body of a `try` with an `else`."""
    if isinstance(outcome, Choice):
        return Choice(outcome.staging, outcome.selector, [_through(o) for o in outcome.alternatives])
    return THROUGH if outcome is None else outcome


def _gone_on(staging: DataStaging, outcome: Any, raised: Jump, block: Thunk) -> Any:
    """The outcome behind a block that runs where control has left with a jump, such as an exception: it is no alternative any
    more, unless the block itself makes it."""
    again = False

    def run_block() -> Any:
        nonlocal again
        made = block()
        again = raised in (made.alternatives if isinstance(made, Choice) else (made,))
        return made

    outcome = go_on(staging, outcome, Handler(run_block, raised=raised), ())
    if again or not isinstance(outcome, Choice) or raised not in outcome.alternatives:
        return outcome
    others = [o for o in outcome.alternatives if o is not raised]
    if not others or all(o is others[0] for o in others):
        return others[0] if others else NEVER
    return Choice(staging, outcome.selector, [others[0] if o is raised else o for o in outcome.alternatives])


def _raised(outcome: Any) -> list[Raised]:
    outcomes = outcome.alternatives if isinstance(outcome, Choice) else (outcome,)
    return [o for o in outcomes if isinstance(o, Raised)]


def _handler(handlers: Handlers, error: BaseException) -> Callable[[BaseException], Any] | None:
    return next((block for kinds, block in handlers if isinstance(error, BaseException if kinds is None else kinds)), None)


def _with(block: Callable[[BaseException], Any], error: BaseException) -> Thunk:
    return lambda: block(error)


def _ending(staging: DataStaging, error: BaseException) -> Thunk:
    def end() -> None:
        raise staging.python_error(error)  # type: ignore[arg-type]

    return end
