"""Times and limits."""

from __future__ import annotations

import threading
import time

import pytest

from bough.base.clock import Stopwatch
from bough.bench.limits import SMALLEST, Limits, measure_limits
from bough.bench.measure import LONG, Plan, rest, take_turns
from bough.bench.problem import Traffic, Work


def test_calls_take_turns() -> None:
    order: list[str] = []
    times = take_turns({name: lambda name=name: order.append(name) for name in "ab"}, Plan(0, rounds=2, few=2))  # type: ignore[misc]
    assert "".join(dict.fromkeys(order)) == "ab"
    assert sum(first != second for first, second in zip(order, order[1:])) == 2 * 2 - 1
    assert 0 < times["a"].fastest <= times["a"].median


def test_long_calls_are_made_no_oftener_than_needed() -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        time.sleep(1.2 * LONG)

    times = take_turns({"a": call}, Plan(seconds=LONG, rounds=7, few=3))
    assert len(calls) == 3 and times["a"].fastest >= LONG


def test_rest_waits_for_threads_that_spin() -> None:
    ends = time.perf_counter() + 0.05

    def spin() -> None:
        while time.perf_counter() < ends:
            pass

    thread = threading.Thread(target=spin)
    thread.start()
    with Stopwatch() as watch:
        rest()
    assert watch.seconds > 0.02
    thread.join()


def test_the_larger_limit_counts() -> None:
    limits = Limits(4, 100.0, ((1, 40.0), (4, 20.0), (16, 10.0)))
    assert limits.bandwidth(0.5) == 40 and limits.bandwidth(4) == 20 and limits.bandwidth(1000) == 10
    assert limits.bandwidth(2) == pytest.approx(30)
    assert limits.seconds(Work(1000, (Traffic(10, 100),))) == 10
    assert limits.seconds(Work(10, (Traffic(10, 100), Traffic(80, 4)))) == pytest.approx(1 + 4)
    assert limits.seconds_from_memory(Work(10, (Traffic(10, 100), Traffic(80, 4)))) == 9


def test_the_better_of_two_measurements_counts() -> None:
    one, other = Limits(4, 100.0, ((1, 40.0), (4, 20.0))), Limits(4, 90.0, ((1, 30.0), (4, 25.0)))
    assert one.best(other) == other.best(one) == Limits(4, 100.0, ((1, 40.0), (4, 25.0)))


def test_the_machine_has_limits() -> None:
    limits = measure_limits(1, largest=0)
    assert limits.peak > 1e8
    sizes = [size for size, _ in limits.curve]
    assert sizes == sorted(sizes) and sizes[0] == SMALLEST
    assert all(rate > 1e7 for _, rate in limits.curve)
