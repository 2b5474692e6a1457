"""One call as it went: which phase ran on which thread, from when to when."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from bough.runtime.arrays import Array

APART = 2_000
"""Nanoseconds between two indices of a phase from which on a thread counts as having paused."""


@dataclass(frozen=True, slots=True)
class Span:
    """A thread at work, in microseconds from the beginning of the call. Thread 0 is the caller's."""

    thread: int
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of a phase, until all its threads are done. `phase` is its place among the timeline's."""

    phase: int
    begin: float
    end: float
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """`phases` are the names of the kernels of each. `total` is the call's length in microseconds as Python sees it: arguments
    are checked, and structures linearized, before the first turn. Not `whole`: the call has more turns than were kept."""

    phases: tuple[tuple[str, ...], ...]
    turns: tuple[Turn, ...]
    threads: int
    total: float
    whole: bool


def read_turns(events: Array, zero: int) -> tuple[Turn, ...]:
    """The turns that the events of a record tell of, in order; `zero` is when the call began, in nanoseconds.

    The first event of each turn is the mark, on the caller's thread; the last mark stands behind all phases.
    """
    threads: dict[int, int] = {}
    found: list[Turn] = []
    runs = [list(run) for _, run in groupby(sorted(events.tolist(), key=lambda e: (e[1], e[3])), key=lambda e: e[1])]
    for run, following in zip(runs, runs[1:]):
        (number, _, caller, _, begin), *work = run
        threads.setdefault(caller, 0)
        end = following[0][3]
        spans: list[tuple[int, int, int]] = [] if work else [(0, begin, end)]  # a phase that is not shared out
        for thread in dict.fromkeys(e[2] for e in work):
            spans += _spans([e for e in work if e[2] == thread], threads.setdefault(thread, len(threads)))
        found.append(Turn(number, _since(zero, begin), _since(zero, end), tuple(
            Span(t, _since(zero, a), _since(zero, b)) for t, a, b in spans
        )))  # fmt: skip
    return tuple(found)


def _spans(work: list[list[int]], thread: int) -> list[tuple[int, int, int]]:
    """What a thread did in a turn, without the shortest pauses."""
    out: list[tuple[int, int, int]] = []
    for *_, begin, end in work:
        if out and begin - out[-1][2] < APART:
            out[-1] = (thread, out[-1][1], end)
        else:
            out.append((thread, begin, end))
    return out


def _since(zero: int, now: int) -> float:
    return (now - zero) / 1e3
