"""Where control goes at the end of a block: None falls through to what follows, a `Jump` goes elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bough.frontends.staging.choices import Choice
from bough.frontends.staging.signals import Signal


class Jump:
    """`break`, `continue`, or the end of the call with an error."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


BREAK, CONTINUE, NEVER = Jump("break"), Jump("continue"), Jump("never")


class Return(Jump):
    def __init__(self, value: Any) -> None:
        self.name, self.value = "return", value


class Unreachable(Signal):
    """The code that is being traced ends with an error in every call."""


@dataclass(eq=False, slots=True)
class Entry:
    """What runs next where a block falls through. A branch may run it inside, where its other side does not come here."""

    run: Callable[[], Any]
    live: Sequence[str] | None = None
    """The names that are needed behind it; None: all."""
    of_turn: bool = False
    """The next turn of a loop: `continue` comes here too."""
    done: bool = False

    def follows(self, outcome: Any) -> bool:
        return outcome is None or (self.of_turn and outcome is CONTINUE)


def comes(entry: Entry, outcome: Any) -> bool | None:
    """Whether an outcome leads to an entry; None where only the call tells."""
    if isinstance(outcome, Choice):
        answers = {entry.follows(o) for o in outcome.alternatives if o is not NEVER}
        return answers.pop() if len(answers) == 1 else None
    return entry.follows(outcome)
