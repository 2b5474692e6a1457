"""Recursive models of the zoo on structures that are new in every call, one at a time and ten together."""

from __future__ import annotations

import functools

from bough.bench.problem import Case, Choice
from bough.bench.tree_problem import TreeProblem, tree_problem
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
    entry = ZOO[name]
    count = QUICK_COUNT if choice.quick else COUNT
    return tree_problem(entry, hidden, entry.data[data](Data(count, hidden, choice.sentences)), batch)
