"""Networks with control flow on computed values, on inputs that take different ways, in calls of so many inputs each."""

from __future__ import annotations

import copy
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from bough.bench.dynamic_work import mean_work, needs
from bough.bench.peers import Session
from bough.bench.problem import Array, Work, largest_error
from bough.bench.zoo.dynamic import DynamicEntry, Size

TOLERANCE = 1e-4
Args = tuple[Any, ...]
Run = Callable[[tuple[Args, ...]], Sequence[Any]]
"""The outputs of the inputs of one call."""


@dataclass(frozen=True, slots=True)
class DynamicProblem:
    """`calls` are the inputs of each call that is timed, `checked` the inputs whose outputs are compared. `facts` says which
    share of these takes each way, the most frequent first."""

    module: torch.nn.Module
    dynamic: Mapping[str, Mapping[int, str]] | None
    calls: tuple[tuple[Args, ...], ...]
    checked: tuple[Args, ...]
    work: Work
    error: Callable[[Sequence[Array]], float]
    tolerance: float = TOLERANCE
    facts: Mapping[str, Any] = field(default_factory=dict)


class Workload:
    """A network and so many inputs, with what takes long to find out and does not depend on how many go into a call."""

    def __init__(self, entry: DynamicEntry, checked: int, timed: int, size: Size = "usual") -> None:
        self.network = entry.network(size)
        self.inputs = tuple(self.network.inputs(number) for number in range(checked))
        self.timed = self.inputs[:timed]

    @functools.cached_property
    def eager(self) -> list[Any]:
        with torch.inference_mode():
            return [self.network.module(*copy.deepcopy(args)) for args in self.inputs]

    @functools.cached_property
    def reference(self) -> list[list[Array]]:
        """Of each input: float64's outputs where its decisions are those of float32, else eager PyTorch's."""
        double = copy.deepcopy(self.network.module)
        found = []
        with torch.inference_mode():
            for args, output in zip(self.inputs, self.eager):
                exact = arrays(in_float64(double, args))
                right = arrays(output)
                found.append(exact if _same_decisions(exact, right) else right)
        return found

    def error(self, outputs: Sequence[Array]) -> float:
        """The largest error of any output of any input relative to the largest element of that output; infinite where a decision
        differs: a number that is no float, or a shape."""
        right = [array for one in self.reference for array in one]
        if len(right) != len(outputs) or not _same_decisions(right, outputs):
            return float("inf")
        floats = [(a, b) for a, b in zip(right, outputs) if _is_float(a)]
        return max((largest_error([a], [b]) for a, b in floats if a.any() or b.any()), default=0.0)

    @functools.cached_property
    def shares(self) -> list[float]:
        """Of the ways that the inputs take."""
        paths = Counter(self.network.path(output) for output in self.eager)
        return [count / len(self.inputs) for _, count in paths.most_common()]

    def problem(self, batch: int) -> DynamicProblem:
        """The timed inputs in calls of `batch`; the last call takes those that are left."""
        calls = tuple(self.timed[i : i + batch] for i in range(0, len(self.timed), batch))
        work = mean_work([needs(self.network.module, args) for args in self.timed], len(calls))
        network, facts = self.network, {"paths": self.shares}
        return DynamicProblem(network.module, network.dynamic, calls, self.inputs, work, self.error, facts=facts)


def arrays(outputs: Any) -> list[Array]:
    """The arrays and numbers of nested outputs, as arrays."""
    leaves = pytree.tree_leaves(outputs)
    return [leaf.numpy() if isinstance(leaf, torch.Tensor) else np.asarray(leaf) for leaf in leaves]


def dynamic_session(problem: DynamicProblem, run: Run) -> Session:
    """One call after the other over all inputs that are timed."""

    def call() -> None:
        for inputs in problem.calls:
            run(inputs)

    def outputs() -> list[Array]:
        return [array for output in run(problem.checked) for array in arrays(output)]

    return Session(call, outputs, len(problem.calls))


def in_float64(module: torch.nn.Module, args: Args) -> Any:
    """The results of the module in float64, which is what its weights are in afterwards."""
    with _default_dtype(torch.float64):
        return module.double()(*pytree.tree_map(_double, args))


def _same_decisions(right: Sequence[Array], given: Sequence[Array]) -> bool:
    if len(right) != len(given):
        return False
    return all(a.shape == b.shape and ((_is_float(a) and _is_float(b)) or np.array_equal(a, b)) for a, b in zip(right, given))


def _is_float(array: Array) -> bool:
    return bool(array.dtype.kind == "f")


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, torch.Tensor) and value.dtype == torch.float32 else value


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """So that what a network makes itself is of the type of its weights."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
