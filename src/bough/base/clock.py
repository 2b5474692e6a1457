"""Time, for watchers and comparisons: a monotonic stopwatch, medians of calls that take turns, and durations as text."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from types import TracebackType


class Stopwatch:
    """Monotonic seconds. As a context manager, `seconds` is what the block took, and until its end what has passed."""

    __slots__ = ("_begin", "_end")

    def __init__(self) -> None:
        self._begin = time.perf_counter_ns()
        self._end: int | None = None

    def __enter__(self) -> Stopwatch:
        self._begin, self._end = time.perf_counter_ns(), None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end = time.perf_counter_ns()

    @property
    def seconds(self) -> float:
        end = time.perf_counter_ns() if self._end is None else self._end
        return (end - self._begin) / 1e9


def interleaved_medians(
    calls: Mapping[str, Callable[[], object]], *, rounds: int = 50, budget: float = 1.0
) -> dict[str, float]:
    """Median seconds of each call, taken in turns (A B C A B C), so that a disturbance of the machine meets them all.

    One round goes first and does not count. Stops after `rounds` rounds, or after `budget` seconds and three rounds.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    whole = Stopwatch()
    for done in range(1, max(1, rounds) + 1):
        for name, call in calls.items():
            with Stopwatch() as watch:
                call()
            times[name].append(watch.seconds)
        if done >= 3 and whole.seconds > budget:
            break
    return {name: median(taken) for name, taken in times.items()}


def duration(seconds: float) -> str:
    """A time with three significant digits and a unit that suits it."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
