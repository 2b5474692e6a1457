"""Errors of the torch front end that several of its files raise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bough.base.errors import CompileError
from bough.base.source import Location


@dataclass(frozen=True, slots=True)
class Missing:
    """An operator of the user's program that has no place in Bough's table."""

    operator: str
    reason: str
    location: Location | None

    def __str__(self) -> str:
        place = "" if self.location is None else f" at {self.location}: {self.location.text}"
        return f"{self.operator}{place}" + (f" ({self.reason})" if self.reason else "")


class MissingOperators(CompileError):
    """One error for all of them."""

    def __init__(self, missing: Iterable[Missing]) -> None:
        self.missing = tuple(dict.fromkeys(missing))
        names = ", ".join(dict.fromkeys(m.operator for m in self.missing))
        super().__init__(
            f"the operator table has no way to express: {names}",
            code="BGH-OP-001",
            because="".join(f"\n    {m}" for m in self.missing),
            advice="write these lines with other operators; `bough doctor` lists what a model needs",
            location=self.missing[0].location,
        )


def in_training(what: str, location: Location | None = None) -> CompileError:
    return CompileError(
        f"in training mode: {what}",
        code="BGH-TRAIN-001",
        because="dropout and batch normalisation compute something else there, and change with every call",
        advice="call .eval() on the module before compiling it",
        location=location,
    )


def mutation(what: str, location: Location | None) -> CompileError:
    return CompileError(
        f"the module changes {what} in place",
        code="BGH-MUT-001",
        because="a compiled function has no state: it gives the same result for the same input",
        advice="return the new value, or work on a copy",
        location=location,
    )
