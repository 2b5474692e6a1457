"""What the demos share: calls timed in turns, errors, and tables of figures."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor


def make_console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else 100)


Call = Callable[[], object]


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """PyTorch on `count` threads meanwhile; the change itself takes about a microsecond."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def latencies(pytorch: dict[str, Call], bough: Call, seconds: float) -> dict[str, float]:
    """Median milliseconds of each of PyTorch's calls, on one thread or all, whichever is faster, and last of "Bough".

    Calls are taken in turns, so that a disturbance of the machine meets them all. A turn is a burst of calls after a pause,
    because threads of the other library may spin for a while after its calls.
    """
    calls = {name: partial(on_threads, better_threads(call), call) for name, call in pytorch.items()} | {"Bough": bough}
    times: dict[str, list[float]] = {name: [] for name in calls}
    start = time.perf_counter()
    while min(map(len, times.values())) < 9 or time.perf_counter() - start < seconds:
        for name, call in calls.items():
            time.sleep(0.02)
            call()
            burst = time.perf_counter()
            while time.perf_counter() - burst < 0.005:
                times[name].append(milliseconds(call))
    return {name: median(taken) for name, taken in times.items()}


def better_threads(call: Call) -> int:
    """One or all of PyTorch's threads, by the quickest of a few calls."""
    quickest: dict[int, float] = {}
    for count in {1, torch.get_num_threads()}:
        start = time.perf_counter()
        taken = [milliseconds(partial(on_threads, count, call))]
        while len(taken) < 5 and time.perf_counter() - start < 0.1:
            taken.append(milliseconds(partial(on_threads, count, call)))
        quickest[count] = min(taken)
    return min(quickest, key=quickest.__getitem__)


def on_threads(count: int, call: Call) -> object:
    with torch_threads(count):
        return call()


def milliseconds(call: Call) -> float:
    begin = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - begin)


def table(name: str, *figures: str) -> Table:
    made = Table(name, box=None, pad_edge=False)
    for column in figures:
        made.add_column(column, justify="right")
    return made


def largest(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).abs().max())


def warn_if_busy(console: Console) -> None:
    if (load := os.getloadavg()[0]) > torch.get_num_threads() / 2:
        console.print(f"The machine is busy (load {load:.1f}), which slows PyTorch's threads down most: measure on a quiet one.")
