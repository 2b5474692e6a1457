"""Calls that are computed together, as many at a time as their memory allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Args = tuple[Any, ...]
MEMORY = 1 << 30
"""Bytes of the memory private to a call that calls computed together may fill, unless a single one fills more."""
SHARED = 4
"""On several threads, portions that are to stay near fill so many times the threads' own caches: the rest lies in one that the
threads share, and in a portion that is small, levels have fewer rows than threads."""


def near_limit(near: int, threads: int) -> int:
    """The limit for calls that are to stay near: in `near` bytes for each thread. Of 0 bytes, that of the memory."""
    return min(MEMORY, near * threads * (SHARED if threads > 1 else 1)) if near else MEMORY


class Portions:
    """`map(many, calls)` is `many(calls)`, in portions that fill at most `limit` bytes each where there are several calls.

    How much a call fills is known only when it has been linearized: `many` tells it by `note`, and gives way to `again` where
    a portion turns out too large. The last one seen is the guess for the next.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.each = 0.0
        """Bytes of one call, by the portion seen last."""

    def map(self, many: Callable[[list[Args]], list[Any]], calls: list[Args]) -> list[Any]:
        start, outputs = 0, []
        while start < len(calls):
            left = len(calls) - start
            most = max(1, int(self.limit / self.each)) if self.each else left
            size = -(-left // -(-left // most))  # all portions alike
            outputs += many(calls[start : start + size])
            start += size
        return outputs

    def note(self, calls: int, size: int) -> bool:
        """Tells what some calls fill; whether that is too much for one portion."""
        self.each = size / calls
        return size > self.limit and calls > 1
