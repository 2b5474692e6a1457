"""What a suite is made of: named cases, each of which builds a problem, and the work that a problem cannot do without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Traffic:
    """`bytes` read or written in all, of data that takes `working_set` bytes between two visits to the same place."""

    bytes: float
    working_set: float


@dataclass(frozen=True, slots=True)
class Work:
    """The arithmetic and the data that any program for a problem needs."""

    flops: float
    traffic: tuple[Traffic, ...]

    @property
    def bytes(self) -> float:
        return sum(t.bytes for t in self.traffic)


class Task(Protocol):
    """What every problem has. `error` is the largest difference of outputs from those of float64, relative to the largest
    of these; up to `tolerance` it is rounding. `facts` are figures that only such problems have."""

    @property
    def work(self) -> Work: ...

    @property
    def error(self) -> Callable[[Sequence[Array]], float]: ...

    @property
    def tolerance(self) -> float: ...

    @property
    def facts(self) -> Mapping[str, Any]: ...


P = TypeVar("P", bound=Task)


Form = tuple[Callable[..., Any], tuple[Any, ...]]
"""A module and what to call it with."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A module and its arguments, ready to run.

    `forms` gives both in each of the ways that PyTorch may prefer, one at a time. `write_onnx` writes the module as an ONNX
    model into a folder and returns the file; its inputs are the tensors in the arguments, named x0, x1 and so on, its outputs
    the module's, in their order. The rest is as in every task.
    """

    module: torch.nn.Module
    args: tuple[Any, ...]
    work: Work
    forms: Callable[[], Iterator[Form]]
    write_onnx: Callable[[Path], Path]
    error: Callable[[Sequence[Array]], float]
    tolerance: float
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case(Generic[P]):
    """`build` makes the problem, which may be large: one at a time. `quick`: among the few of a quick run."""

    name: str
    build: Callable[[], P]
    quick: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a suite to take: less of it in a quick run, and sentences from a file where there is one."""

    quick: bool = False
    sentences: Path | None = None


def largest_error(expected: Sequence[Array], outputs: Sequence[Array]) -> float:
    """The largest error of any output, relative to the largest element of it; infinite where the sizes differ."""
    worst = 0.0
    if len(expected) != len(outputs):
        return float("inf")
    for right, given in zip(expected, outputs):
        if right.size != given.size:
            return float("inf")
        distance = float(np.abs(given.reshape(right.shape) - right).max())
        worst = max(worst, distance / float(np.abs(right).max())) if np.isfinite(distance) else float("inf")
    return worst
