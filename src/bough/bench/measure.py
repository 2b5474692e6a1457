"""Times of calls that take turns, each beginning when the threads of the one before have come to rest.

Where a host gives virtual cores real ones, it does so when they wake, and keeps to it while they are busy: two of four that
share a core halve the rate of both. So what is to be compared within a turn, a call with the limit of its machine, has no rest
between."""

from __future__ import annotations

import ctypes
import math
import threading
import time
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from bough.base.clock import Stopwatch

WARM = 0.008
"""Seconds of calls at the beginning of a turn that do not count: they wake threads and fill caches."""
BURST = 0.01
"""Seconds of calls of one turn that count, if one call takes less."""
CALLS, LONGER = 3, 0.05
"""Calls of one turn that count, where more seconds than these do not pass until then."""
LONG = 0.2
"""Seconds from which on a call needs no other before it: waking threads and filling caches takes no part of it to speak of."""
LOOK = 0.001
PATIENCE = 0.25
"""How often, and for how many seconds at the most, to look whether other threads still spin."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure: whole rounds until `seconds` have passed, but at least `rounds`, or `few` where a round takes
    more than `seconds`."""

    seconds: float = 2.0
    rounds: int = 11
    few: int = 5

    def is_done(self, rounds: int, seconds: float) -> bool:
        """Whether so many rounds in so many seconds are enough."""
        slow = seconds > rounds * self.seconds
        return seconds >= self.seconds and rounds >= (self.few if slow else self.rounds)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one call: the median of the turns' medians, and the fastest call of each turn."""

    median: float
    best: tuple[float, ...]

    @property
    def fastest(self) -> float:
        return min(self.best)


def take_turns(
    calls: Mapping[str, Callable[[], object]], plan: Plan, follow: Set[str] = frozenset()
) -> dict[str, Timing]:
    """Times each call in turns (A B C A B C), so that a disturbance of the machine meets them all.

    A turn waits until no other thread runs, makes some calls that do not count, and then calls that do for a while. Calls whose
    names are in `follow` do not wait: they run on the cores that the one before has had.
    """
    medians: dict[str, list[float]] = {name: [] for name in calls}
    best: dict[str, list[float]] = {name: [] for name in calls}
    whole = Stopwatch()
    done = 0
    while not plan.is_done(done, whole.seconds):
        for name, call in calls.items():
            if name not in follow:
                rest()
            times = _turn(call, min(best[name], default=math.inf))
            medians[name].append(median(times))
            best[name].append(min(times))
        done += 1
    return {name: Timing(median(medians[name]), tuple(best[name])) for name in calls}


def peak_memory(call: Callable[[], T]) -> tuple[T, int | None]:
    """What the call returns, and by how many bytes the memory of this process was larger at the most during the call than
    before it: not what is held between calls, such as weights. None where the system does not tell."""
    process = Path("/proc/self")
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back to the system, so that using it again shows
        (process / "clear_refs").write_text("5")
        before = _status(process, "VmRSS")
    except (OSError, AttributeError):
        return call(), None
    result = call()
    return result, max(0, _status(process, "VmHWM") - before)


def _status(process: Path, name: str) -> int:
    """Bytes of memory, by the kernel's own name for them."""
    (line,) = (line for line in (process / "status").read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def rest() -> None:
    """Waits until no other thread of this process wants to run. Threads of some libraries spin for long after a call, for
    tens of milliseconds, and would take the cores from the next."""
    tasks, own = Path("/proc/self/task"), str(threading.get_native_id())
    whole = Stopwatch()
    while True:
        time.sleep(LOOK)
        if whole.seconds > PATIENCE or (tasks.exists() and not any(_runs(task) for task in tasks.iterdir() if task.name != own)):
            return


def _runs(task: Path) -> bool:
    """Whether a thread runs or waits for a core."""
    try:
        return (task / "stat").read_bytes().rpartition(b")")[2].split()[0] == b"R"
    except OSError:
        return False  # it has ended


def _turn(call: Callable[[], object], fastest: float) -> list[float]:
    """Whether a call is long, its fastest decides: a short one that was slow to wake would count for that."""
    warm = _calls(call, lambda seconds, _: seconds < WARM)
    if min(fastest, *warm) >= LONG:
        return warm
    return _calls(call, lambda seconds, calls: seconds < BURST or (seconds < LONGER and calls < CALLS))


def _calls(call: Callable[[], object], goes_on: Callable[[float, int], bool]) -> list[float]:
    """Seconds of each call, one after the other as long as `goes_on` says by the seconds and calls until then; one at least."""
    whole = Stopwatch()
    times = [_time(call)]
    while goes_on(whole.seconds, len(times)):
        times.append(_time(call))
    return times


def _time(call: Callable[[], object]) -> float:
    with Stopwatch() as watch:
        call()
    return watch.seconds
