"""Times of calls that take turns, each after a pause in which the threads of the one before come to rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from bough.base.clock import Stopwatch

PAUSE = 0.001
BURST = 0.002
"""Seconds of calls in one turn, if one call takes less."""
LONG = 0.05
"""Seconds from which on a call is its own warm-up: what it finds in caches and sleeping threads no longer counts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure: whole rounds until `seconds` have passed, but at least `rounds`, or `few` where one round takes
    more than the `seconds`."""

    seconds: float = 2.0
    rounds: int = 7
    few: int = 3


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one call: the median of the turns' medians, and the fastest call of all."""

    median: float
    fastest: float


def take_turns(calls: Mapping[str, Callable[[], object]], plan: Plan) -> dict[str, Timing]:
    """Times each call in turns (A B C A B C), so that a disturbance of the machine meets them all.

    A turn is a pause, a call that does not count (it wakes threads and fills caches), and then calls for a while.
    """
    medians: dict[str, list[float]] = {name: [] for name in calls}
    fastest: dict[str, float] = {}
    first = {name: _time(call) for name, call in calls.items()}
    whole = Stopwatch()
    done = 0
    while done < plan.few or whole.seconds < plan.seconds or (done < plan.rounds and sum(first.values()) < plan.seconds):
        for name, call in calls.items():
            time.sleep(PAUSE)
            times = _turn(call, first[name])
            medians[name].append(median(times))
            fastest[name] = min(fastest.get(name, times[0]), *times)
        done += 1
    return {name: Timing(median(medians[name]), fastest[name]) for name in calls}


def _turn(call: Callable[[], object], expected: float) -> list[float]:
    if expected < LONG:
        call()
    burst = Stopwatch()
    times = [_time(call)]
    while burst.seconds < BURST:
        times.append(_time(call))
    return times


def _time(call: Callable[[], object]) -> float:
    with Stopwatch() as watch:
        call()
    return watch.seconds
