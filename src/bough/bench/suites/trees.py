"""Recursive models of the zoo on structures that are new in every call, one at a time and ten together."""

from __future__ import annotations

import functools

from bough.bench.problem import Case, Choice
from bough.bench.tree_problem import TreeProblem, Workload
from bough.bench.zoo import ZOO, Data

BATCHES = (1, 10)
COUNT, QUICK_COUNT = 200, 40
"""Structures that a case goes through."""


def cases(choice: Choice) -> tuple[Case[TreeProblem], ...]:
    """Named model/data-HIDDEN-bBATCH. Quick ones are those of the smaller hidden size."""
    return tuple(
        Case(
            f"{name}/{data}-{hidden}-b{batch}",
            functools.partial(build, name, data, hidden, batch, choice),
            quick=hidden == entry.hidden[0],
        )
        for name, entry in ZOO.items()
        for data in entry.data
        for hidden in entry.hidden
        for batch in BATCHES
    )


def build(name: str, data: str, hidden: int, batch: int, choice: Choice) -> TreeProblem:
    return _workload(name, data, hidden, choice).problem(batch)


@functools.lru_cache(maxsize=1)
def _workload(name: str, data: str, hidden: int, choice: Choice) -> Workload:
    """Kept for the next case, which differs in the batch alone."""
    count = QUICK_COUNT if choice.quick else COUNT
    return Workload(ZOO[name], hidden, ZOO[name].data[data](Data(count, hidden, choice.sentences)))
