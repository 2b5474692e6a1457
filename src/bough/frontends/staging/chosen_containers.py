"""Lists, dictionaries and objects that stand for one of two older ones, of which a branch has chosen one.

    rows = left if x.sum() > 0 else right     # is neither of them any more: it holds what the chosen one held
    rows.append(x)                            # would be seen in `rows` alone

They may be read, but not changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from bough.base.errors import CompileError
from bough.frontends.staging.choices import Choice
from bough.frontends.staging.outcomes import Return
from bough.frontends.staging.signals import here

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging


class ChosenContainers:
    """Of one trace."""

    def __init__(self) -> None:
        self.found: dict[int, Any] = {}
        """By id."""

    def note(self, staging: DataStaging, made: Any, first: Any, second: Any, start: int) -> None:
        """Notes what was `made` of the values of two sides of a branch, which began at `start`."""
        if first is second:
            return
        if isinstance(made, Return):
            self.note(staging, made.value, first.value, second.value, start)
        elif isinstance(made, tuple) and len(made) == len(first) == len(second):
            for parts in zip(made, first, second):
                self.note(staging, *parts, start)
        elif all(_is_container(v) and 0 < staging.born(v) < start for v in (first, second)):
            for value in made.alternatives if isinstance(made, Choice) else (made,):
                self.found[id(value)] = value

    def expect_others(self, owner: Any) -> None:
        """Raises CompileError for one that is about to be changed."""
        if id(owner) in self.found:
            raise CompileError(
                f"a {type(owner).__name__} is changed of which only the call decides which one it is",
                code="BGH-CTRL-001",
                because="it was chosen by a computed condition, and what is written to it is seen under its other name as well",
                advice="write to each on its own side of the condition: `if c: a.append(x)`, `else: b.append(x)`",
                location=here(),
            )


def _is_container(value: Any) -> bool:
    known = isinstance(value, (torch.Tensor, Choice, tuple))
    return not known and (isinstance(value, (list, dict, set)) or hasattr(value, "__dict__"))
