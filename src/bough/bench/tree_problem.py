"""Recursive models on lists of structures, in calls of so many structures each."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from bough.bench.peers import Session
from bough.bench.problem import Array, Work, largest_error
from bough.bench.tree_work import Needs, count, mean_work
from bough.bench.zoo import Entry

TOLERANCE = 2.0**-16
Run = Callable[[tuple[Any, ...]], Sequence[Any]]
"""The outputs of the structures of one call."""


@dataclass(frozen=True, slots=True)
class TreeProblem:
    """`calls` are the structures of each call. `eager` is the model as eager PyTorch runs it best: the same, but where a
    structure shares nodes it remembers their results, without which it would take exponential time.

    Outputs are those of all structures in their order.
    """

    entry: Entry
    module: nn.Module
    eager: nn.Module
    calls: tuple[tuple[Any, ...], ...]
    work: Work
    error: Callable[[Sequence[Array]], float]
    tolerance: float = TOLERANCE
    facts: Mapping[str, Any] = field(default_factory=dict)


class Workload:
    """A model and structures, with what takes long to find out and does not depend on how many go into a call."""

    def __init__(self, entry: Entry, hidden: int, structures: Sequence[Any]) -> None:
        self.entry, self.structures = entry, tuple(structures)
        self.module = entry.model(hidden)
        self.eager = self.module if entry.shared is None else remembering(self.module, entry.shared)

    @functools.cached_property
    def needs(self) -> list[Needs]:
        return [count(self.eager, structure) for structure in self.structures]

    @functools.cached_property
    def reference(self) -> list[Array]:
        return in_float64(self.module, self.entry.shared, self.structures)

    def error(self, outputs: Sequence[Array]) -> float:
        """The largest over all structures of what `largest_error` says."""
        if len(outputs) != len(self.reference):
            return float("inf")
        return max(largest_error([right], [given]) for right, given in zip(self.reference, outputs))

    def problem(self, batch: int) -> TreeProblem:
        """The structures in calls of `batch`; the last call takes those that are left."""
        starts = range(0, len(self.structures), batch)
        calls = tuple(self.structures[i : i + batch] for i in starts)
        work = mean_work([self.needs[i : i + batch] for i in starts])
        return TreeProblem(self.entry, self.module, self.eager, calls, work, self.error)


def in_float64(module: nn.Module, shared: str | None, structures: Sequence[Any]) -> list[Array]:
    """The outputs of all structures one after the other, all arithmetic in float64."""
    double = copy.deepcopy(module).double()
    if shared is not None:
        double = remembering(double, shared)
    with torch.inference_mode(), _InFloat64():
        return leaves([double(structure) for structure in structures])


def leaves(outputs: Any) -> list[Array]:
    """The arrays of nested outputs."""
    return [array.numpy() if isinstance(array, torch.Tensor) else array for array in pytree.tree_leaves(outputs)]


def remembering(module: nn.Module, method: str) -> nn.Module:
    """A copy of the module that calls `method` once for every node of a structure and remembers what it gave."""
    module = copy.copy(module)
    known: dict[int, Any] = {}
    compute, forward = functools.partial(getattr(type(module), method), module), functools.partial(type(module).forward, module)

    def once(node: Any) -> Any:
        key = id(node)
        if key not in known:
            known[key] = compute(node)
        return known[key]

    def fresh(structure: Any) -> Any:
        known.clear()
        return forward(structure)

    setattr(module, method, once)
    module.forward = fresh
    return module


def tree_session(problem: TreeProblem, run: Run, threads: int | None = None) -> Session:
    """One call after the other over all structures, on so many threads of PyTorch if told."""

    def call() -> None:
        with _torch_threads(threads):
            for structures in problem.calls:
                run(structures)

    def outputs() -> list[Array]:
        with _torch_threads(threads):
            return leaves([run(structures) for structures in problem.calls])

    return Session(call, outputs, len(problem.calls))


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _InFloat64(TorchFunctionMode):
    """Makes operands in float32, which come with the structures, operands in float64."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        args, kwargs = pytree.tree_map(_double, (args, kwargs or {}))
        return func(*args, **kwargs)


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, torch.Tensor) and value.dtype == torch.float32 else value
