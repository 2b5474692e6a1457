"""Where control goes at the end of a block: None falls through to what follows, a `Jump` goes elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bough.frontends.staging.choices import Choice
from bough.frontends.staging.signals import Signal


class Jump:
    """`break`, `continue`, the end of the call with an error, or the end of a loop by a `break` of its own, past its `else`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


BREAK, CONTINUE, NEVER, BEHIND = Jump("break"), Jump("continue"), Jump("never"), Jump("behind")


class Return(Jump):
    names: tuple[Any, ...] = ()
    """What tells two of a kind apart: the rest is a value, which may be one of several."""

    def __init__(self, value: Any) -> None:
        self.name, self.value = "return", value


class Held(Return):
    """The value of an expression of which only some parts are evaluated; control goes on behind it."""


class Leave(Return):
    """Out of a generator, to where the code that walks over it goes."""

    def __init__(self, outcome: Jump) -> None:
        self.name, self.value = "leave", outcome
        self.names = (type(outcome), *outcome.names) if isinstance(outcome, Return) else (outcome,)


class Unreachable(Signal):
    """The code that is being traced ends with an error in every call."""


@dataclass(frozen=True, slots=True)
class Needed:
    """The local names that are needed where control goes on: behind a statement, behind the loop around it, in its next turn."""

    live: tuple[str, ...]
    leave: tuple[str, ...] = ()
    again: tuple[str, ...] = ()

    def behind(self, outcome: Any) -> list[tuple[str, ...]]:
        if isinstance(outcome, Choice):
            return [names for o in outcome.alternatives for names in self.behind(o)]
        if outcome is BREAK or outcome is CONTINUE:
            return [self.leave if outcome is BREAK else self.again]
        return [] if type(outcome) in (Return, Leave) else [self.live]


@dataclass(eq=False, slots=True)
class Entry:
    """What runs next where a block falls through. A branch may run it inside, where its other side does not come here."""

    run: Callable[[], Any]
    needed: Needed | None = None
    """The names that are needed behind it; None: all."""
    of_turn: bool = False
    """The next turn of a loop: `continue` comes here too."""
    done: bool = False

    def follows(self, outcome: Any) -> bool:
        return outcome is None or (self.of_turn and outcome is CONTINUE)


def comes(entry: Entry, outcome: Any) -> bool | None:
    """Whether an outcome leads to an entry; None where only the call tells."""
    if isinstance(outcome, Choice):
        left = outcome.staging.scope.possible(outcome.selector.tensor, len(outcome.alternatives))
        answers = {entry.follows(outcome.alternatives[n]) for n in left if outcome.alternatives[n] is not NEVER}
        return answers.pop() if len(answers) == 1 else None
    return entry.follows(outcome)
