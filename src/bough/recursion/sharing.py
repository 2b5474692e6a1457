"""How often objects are shared, which decides what pays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bough.base.visits import Names, Visits
from bough.recursion.switches import Switches
from bough.runtime.linearize import linearize

CALLERS = 1.25
"""From so many callers of a result on, on average, it pays that the callee makes the products that they make of it."""


def settle(switches: Switches, visits: Visits, args: tuple[Any, ...]) -> Switches:
    """The switches with what is left to the example decided: `args` are those of a call like the ones to come."""
    if switches.refactoring is not None:
        return switches
    return replace(switches, refactoring=callers(visits, args) >= CALLERS)


def callers(visits: Visits, args: tuple[Any, ...]) -> float:
    """Calls for each activation that is called at all."""
    arrays = linearize(visits, [args]).arrays
    made = 0
    met: set[tuple[str, int]] = set()
    for function in visits.functions:
        for v, variant in enumerate(function.variants):
            for c, call in enumerate(variant.calls):
                targets = arrays[Names.target(function.name, v, c)].tolist()
                made += len(targets)
                met.update((call.function, target) for target in targets)
    return made / len(met) if met else 0.0
