"""Calls by themselves, one after the other or side by side: order, threads, and which error is raised."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from bough.base.errors import InputError
from bough.runtime.apart import Args, one_by_one, side_by_side


def test_results_keep_the_order_of_the_inputs() -> None:
    def square(x: int) -> int:
        time.sleep(0.001 * (x % 3))
        return x * x

    inputs: list[Args] = [(n,) for n in range(23)]
    right = [n * n for n in range(23)]
    assert one_by_one(square, inputs) == right
    for threads in (1, 2, 3, 40):
        assert side_by_side(square, inputs, threads) == right
    assert side_by_side(square, [], 4) == []


def test_as_many_at_a_time_as_threads() -> None:
    together = threading.Barrier(3, timeout=10)
    assert side_by_side(lambda n: together.wait() >= 0 and n, [(n,) for n in range(9)], 3) == list(range(9))


@pytest.mark.parametrize("run", [one_by_one, lambda call, inputs: side_by_side(call, inputs, 4)], ids=["one", "many"])
def test_the_first_to_fail_is_named(run: Callable[..., list[int]]) -> None:
    def call(n: int) -> int:
        if n in (5, 6, 7):
            time.sleep(0.02 if n == 5 else 0)  # the later ones fail sooner
            raise InputError(f"{n} is odd", code="BGH-IN-012", because="a test")
        return n

    with pytest.raises(InputError, match="input 5: 5 is odd"):
        run(call, [(n,) for n in range(100)])


def test_nothing_is_begun_behind_a_failure() -> None:
    begun: list[int] = []

    def call(n: int) -> None:
        begun.append(n)
        if n == 2:
            raise KeyboardInterrupt
        time.sleep(0.002)

    with pytest.raises(KeyboardInterrupt):
        side_by_side(call, [(n,) for n in range(1000)], 2)
    assert len(begun) < 10
