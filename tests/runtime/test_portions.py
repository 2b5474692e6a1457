"""How many calls are computed together."""

from __future__ import annotations

from typing import Any

from bough.runtime.portions import MEMORY, Portions, near_limit


class Many:
    """Computes calls, each of which fills as many bytes as its argument says."""

    def __init__(self, limit: int) -> None:
        self.portions = Portions(limit)
        self.ran: list[list[int]] = []

    def __call__(self, calls: list[tuple[Any, ...]]) -> list[Any]:
        sizes = [int(args[0]) for args in calls]
        if self.portions.note(len(sizes), sum(sizes)):
            return self.portions.map(self, calls)
        self.ran.append(sizes)
        return [-size for size in sizes]

    def map(self, sizes: list[int]) -> list[Any]:
        return self.portions.map(self, [(size,) for size in sizes])


def test_calls_that_fit_are_computed_together() -> None:
    many = Many(100)
    assert many.map([10] * 9) == [-10] * 9 and many.ran == [[10] * 9]


def test_too_many_are_taken_apart_and_the_next_are_not_tried_together() -> None:
    many = Many(100)
    assert many.map([30] * 7) == [-30] * 7
    assert many.ran == [[30] * 3, [30] * 2, [30] * 2]
    tried = Many(100)
    tried.portions.each = 30.0
    assert tried.map([30] * 4) == [-30] * 4 and tried.ran == [[30] * 2, [30] * 2]


def test_calls_of_any_size_come_back_in_order() -> None:
    sizes = [1, 500, 3, 99, 99, 2, 1, 1, 1000, 1, 1, 1]
    many = Many(100)
    assert many.map(sizes) == [-s for s in sizes]
    assert all(len(ran) == 1 or sum(ran) <= 100 for ran in many.ran)
    assert many.map([]) == [] and many.map(sizes[:1]) == [-1]


def test_several_threads_may_fill_more_than_their_own_caches() -> None:
    assert near_limit(1 << 20, 1) == 1 << 20
    assert near_limit(1 << 20, 4) > 4 << 20
    assert near_limit(1 << 20, 1000) == near_limit(0, 1) == MEMORY
