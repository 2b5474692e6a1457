"""Networks of the zoo with control flow on computed values, on inputs that take different ways, alone and 64 together."""

from __future__ import annotations

import functools

from bough.bench.dynamic_problem import DynamicProblem, Workload
from bough.bench.problem import Case, Choice
from bough.bench.zoo.dynamic import DYNAMIC

BATCHES = (1, 64)
CHECKED, TIMED = 100, 20
QUICK_CHECKED, QUICK_TIMED = 20, 8
"""Inputs whose outputs are compared, and those among them that are timed."""


def cases(choice: Choice) -> tuple[Case[DynamicProblem], ...]:
    """Named model-bBATCH. Quick ones are those of single inputs."""
    return tuple(
        Case(f"{name}-b{batch}", functools.partial(build, name, batch, choice), quick=batch == 1)
        for name in DYNAMIC
        for batch in BATCHES
    )


def build(name: str, batch: int, choice: Choice) -> DynamicProblem:
    checked, timed = (QUICK_CHECKED, QUICK_TIMED) if choice.quick else (CHECKED, TIMED)
    return Workload(DYNAMIC[name], max(checked, batch), max(timed, batch)).problem(batch)
