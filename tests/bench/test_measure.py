"""Times and limits."""

from __future__ import annotations

import threading
import time

import pytest

from bough.base.clock import Stopwatch
from bough.bench.limits import LEAST_FLOPS, MOST_FLOPS, SMALLEST, STREAMS, Limits, Meter
from bough.bench.measure import LONG, LOOK, Plan, rest, take_turns
from bough.bench.problem import Traffic, Work


def test_calls_take_turns() -> None:
    order: list[str] = []
    times = take_turns({name: lambda name=name: order.append(name) for name in "ab"}, Plan(0, rounds=2, few=2))  # type: ignore[misc]
    assert "".join(dict.fromkeys(order)) == "ab"
    assert sum(first != second for first, second in zip(order, order[1:])) == 2 * 2 - 1
    assert 0 < times["a"].fastest <= times["a"].median


def test_calls_that_follow_one_do_not_wait_for_it_to_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr("bough.bench.measure.rest", lambda: order.append("rest"))
    take_turns({name: lambda name=name: order.append(name) for name in "abc"}, Plan(0, rounds=2, few=2), {"b"})  # type: ignore[misc]
    changes = [order[0], *(later for first, later in zip(order, order[1:]) if first != later)]
    assert changes == ["rest", "a", "b", "rest", "c"] * 2


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


def test_the_limit_of_memory() -> None:
    limits = Limits(4, 100.0, ((1, 40.0), (4, 20.0), (16, 10.0)))
    assert limits.seconds_from_memory(Work(10, (Traffic(10, 100), Traffic(80, 4)))) == 9
    assert limits.seconds_from_memory(Work(1000, (Traffic(10, 100),))) == 10


@pytest.mark.parametrize(
    ("size", "held"), [(1 << 20, 1 << 20), (5 << 20, 2 << 20), (3 << 20, 8 << 20), (1, 1), (0, 0), (1 << 33, 1 << 33)]
)
def test_a_reading_reads_as_much_as_the_work(meter: Meter, size: int, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int, int]] = []
    start = meter.data.ctypes.data
    monkeypatch.setattr(meter, "_call", lambda name, arrays, sizes: seen.append((arrays[0].ctypes.data - start, *sizes)))
    for streams, reading in zip(STREAMS, meter.readings(Work(1.0, (Traffic(size, held),))).values()):
        stride = 4 * meter.threads * streams * meter.blocks[streams]
        for _ in range(2):
            seen.clear()
            reading()
            assert sum(blocks * times for _, blocks, times in seen) * stride == pytest.approx(size, rel=0.03, abs=stride)
            assert all(place + blocks * stride <= min(held, meter.data.nbytes) + stride for place, blocks, _ in seen)


def test_a_part_of_a_large_working_set_is_another_in_each_call(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(meter, "_call", lambda name, arrays, sizes: seen.append(arrays[0].ctypes.data))
    reading = meter.readings(Work(1.0, (Traffic(3 << 20, 8 << 20),)))["read1"]
    for _ in range(3):
        reading()
    assert seen[0] != seen[1] and seen[0] == seen[2]


def test_readings_are_the_code_that_runs(meter: Meter) -> None:
    for reading in meter.readings(Work(1.0, (Traffic(3 << 20, 1 << 20), Traffic(1 << 20, 4 << 20)))).values():
        reading()


@pytest.mark.parametrize("flops", [0.0, 1.0, 3e7, 1e12])
def test_arithmetic_stands_for_that_of_the_work(meter: Meter, flops: float, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(meter, "_call", lambda name, arrays, sizes: seen.extend(sizes))
    compute, repeats = meter.arithmetic(Work(flops, ()))
    compute()
    done = seen[0] * meter._flops_of_step
    assert LEAST_FLOPS <= done <= 1.01 * MOST_FLOPS and done == pytest.approx(repeats * flops if flops else done)


@pytest.fixture(scope="module")
def meter() -> Meter:
    return Meter(1, largest=0)


def test_the_better_of_two_measurements_counts() -> None:
    one, other = Limits(4, 100.0, ((1, 40.0), (4, 20.0))), Limits(4, 90.0, ((1, 30.0), (4, 25.0)))
    assert one.best(other) == other.best(one) == Limits(4, 100.0, ((1, 40.0), (4, 25.0)))


def test_the_machine_has_limits(meter: Meter) -> None:
    limits = meter.limits()
    assert limits.peak > 1e8
    sizes = [size for size, _ in limits.curve]
    assert sizes == sorted(sizes) and sizes[0] == SMALLEST
    assert all(rate > 1e7 for _, rate in limits.curve)


def test_a_call_that_was_slow_to_wake_counts_for_nothing() -> None:
    ends = [0.0]

    def call() -> None:
        rested = time.perf_counter() - ends[-1] > 0.9 * LOOK
        if rested:
            ends.append(0.0)
            time.sleep(LONG if len(ends) > 2 else 0.0)
        ends[-1] = time.perf_counter()

    times = take_turns({"a": call}, Plan(0, rounds=4, few=4))
    assert len(ends) >= 5 and times["a"].median < LONG / 2
