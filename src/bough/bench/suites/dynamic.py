"""Networks of the zoo with control flow on computed values, on inputs that take different ways, alone and 64 together."""

from __future__ import annotations

import functools

from bough.bench.dynamic_problem import DynamicProblem, Workload
from bough.bench.problem import Case, Choice
from bough.bench.zoo.dynamic import DYNAMIC, Size

BATCHES = (1, 64)
SIZES: tuple[Size, ...] = ("usual", "large")
CHECKED, TIMED = 100, 20
QUICK_CHECKED, QUICK_TIMED = 20, 8
"""Inputs whose outputs are compared, and those among them that are timed."""


def cases(choice: Choice) -> tuple[Case[DynamicProblem], ...]:
    """Named model-bBATCH, and model-large-bBATCH where there is a large one. Quick ones are those of single inputs, none of them
    large."""
    return tuple(
        Case(
            f"{name}-large-b{batch}" if size == "large" else f"{name}-b{batch}",
            functools.partial(build, name, size, batch, choice),
            quick=batch == 1 and size == "usual",
        )
        for name, entry in DYNAMIC.items()
        for size in SIZES
        if entry.large or size == "usual"
        for batch in BATCHES
    )


def build(name: str, size: Size, batch: int, choice: Choice) -> DynamicProblem:
    checked, timed = (QUICK_CHECKED, QUICK_TIMED) if choice.quick else (CHECKED, TIMED)
    return Workload(DYNAMIC[name], max(checked, batch), max(timed, batch), size).problem(batch)
