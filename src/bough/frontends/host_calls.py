"""Calls of Python functions that are not traced: what they take and give, found by running them once on tensors like those of the
trace, and checked at each call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

import torch

from bough.base.errors import CompileError, InputError
from bough.base.source import Location
from bough.frontends.structure import Slot, Structure, as_records, fill, map_leaves

Kind = tuple[torch.dtype, tuple[int, ...]]
"""Element type and shape of a tensor."""
_NUMBERS = {bool: torch.bool, int: torch.int64, float: torch.float64}


@dataclass(frozen=True, slots=True)
class HostCall:
    """`function` of `inputs`, a nesting with a slot for each tensor, gives `outputs`, whose tensors have these `kinds`."""

    function: Callable[..., Any]
    inputs: Structure
    outputs: Structure
    kinds: tuple[Kind, ...]
    location: Location

    def __call__(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Raises InputError for results of another kind than in the example."""
        args, kwargs = fill(self.inputs, tensors, lambda t: t.item())
        outputs, results = flattened(self.function(*args, **kwargs))
        if outputs != self.outputs or tuple(map(_kind, results)) != self.kinds:
            raise InputError(
                f"`{self.location.function}`, which runs in Python, gave another kind of result than for the example",
                code="BGH-IN-017",
                because=f"the compiled function relies on {_described(self.kinds)}; these are {_described(map(_kind, results))}",
                advice="let it give results of the same shapes and types in each call",
                location=self.location,
            )
        return results


def example(function: Callable[..., Any], inputs: Structure, kinds: Sequence[Kind], location: Location) -> HostCall | None:
    """The call, by its results for tensors of these kinds. None where it fails, where it gives what is no nesting of tensors and
    numbers, or where it changes what it is given or gives a part of it: of that the trace would not know."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        given = [_like(k) for k in kinds]
        call = args, kwargs = fill(inputs, given, lambda t: t.item())
        before, memory = _state(call), {t.untyped_storage().data_ptr() for t in _tensors_of(call)}
        try:
            outputs, results = flattened(function(*args, **kwargs))
        except Exception:  # whatever the user's function raises for numbers that mean nothing
            return None
    if _state(call) != before or any(t.untyped_storage().data_ptr() in memory for t in results):
        return None
    return HostCall(function, inputs, outputs, tuple(map(_kind, results)), location)


def flattened(result: Any) -> tuple[Structure, list[torch.Tensor]]:
    """A nesting with slots for tensors and numbers, and the tensors. Raises CompileError for anything else."""
    found: list[torch.Tensor] = []

    def leaf(value: Any, _: str) -> Structure:
        number = type(value) in _NUMBERS
        if not number and not isinstance(value, torch.Tensor):
            if value is None or isinstance(value, str):
                return value
            raise CompileError(f"a {type(value).__name__} is no tensor", code="BGH-ARG-001", because="", advice="")
        found.append(torch.tensor(value, dtype=_NUMBERS[type(value)]) if number else value.detach())
        return Slot(len(found) - 1, number)

    return map_leaves(as_records(result, ""), "", leaf), found


def _state(values: Any) -> list[Any]:
    """What tells whether something in a nesting of tensors and objects has been changed."""
    found: list[Any] = []
    for value in _within(values):
        held = value if isinstance(value, (list, tuple, dict, set)) else getattr(value, "__dict__", ())
        inner = [(k, id(v)) for k, v in held.items()] if isinstance(held, dict) else list(map(id, held))
        found.append((id(value), getattr(value, "_version", None), inner))
    return found


def _tensors_of(values: Any) -> list[torch.Tensor]:
    return [v for v in _within(values) if isinstance(v, torch.Tensor)]


def _within(values: Any) -> list[Any]:
    """All tensors, containers and objects of the user's in a nesting, each once."""
    found: dict[int, Any] = {}
    work = [values]
    while work:
        value = work.pop()
        own = value if isinstance(value, (list, tuple, dict, set)) else getattr(value, "__dict__", None)
        if id(value) in found or (own is None and not isinstance(value, torch.Tensor)) or isinstance(value, (type, ModuleType)):
            continue
        found[id(value)] = value
        if own is not None and not callable(own) and not isinstance(value, (torch.Tensor, FunctionType)):
            work.extend(own.values() if isinstance(own, dict) else own)
    return list(found.values())


def _like(kind: Kind) -> torch.Tensor:
    dtype, shape = kind
    return torch.rand(shape).to(dtype) if dtype.is_floating_point else torch.zeros(shape, dtype=dtype)


def _kind(tensor: torch.Tensor) -> Kind:
    return tensor.dtype, tuple(tensor.shape)


def _described(kinds: Any) -> str:
    return ", ".join(f"{str(d).removeprefix('torch.')}{list(s)}" for d, s in kinds) or "nothing"
