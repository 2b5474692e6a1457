"""Functions of the user's that are not traced: calls of them stay in Python (see `frontends.host_calls`)."""

from __future__ import annotations

import types
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from bough.base.errors import CompileError
from bough.base.source import Location
from bough.frontends import markers
from bough.frontends.host_calls import HostCall, Kind, example
from bough.frontends.staging.choices import Choice
from bough.frontends.staging.rewrite import is_rewritten
from bough.frontends.staging.scalars import Scalar
from bough.frontends.staging.scopes import AttributeOf, Content, Scope
from bough.frontends.staging.signals import Signal
from bough.frontends.structure import Slot, Structure, fill, map_leaves

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging

_CODES = frozenset({"BGH-CTRL-001", "BGH-TRACE-001"})
"""Of errors that say that Python would have to run."""


@dataclass(slots=True)
class Stays:
    """The functions that stay in Python, as far as traces have told: by their code, and their calls by kinds of arguments."""

    functions: set[types.CodeType] = field(default_factory=set)
    calls: dict[Hashable, HostCall] = field(default_factory=dict)


@dataclass(slots=True)
class Given:
    """The arguments of a call: a nesting with slots, and the tensors."""

    inputs: Structure
    tensors: list[torch.Tensor]
    key: Hashable

    def kinds(self) -> list[Kind]:
        return [(t.dtype, tuple(map(int, t.shape))) for t in self.tensors]


class HostNeeded(Signal):
    """A trace cannot go on before it is known what a function gives that stays in Python."""

    def __init__(self, function: types.FunctionType, given: Given) -> None:
        self.function, self.given = function, given

    def run(self, stays: Stays) -> bool:
        """Runs the function once, outside of the trace. Whether that tells what it gives."""
        code = self.function.__code__
        location = Location(code.co_filename, code.co_firstlineno, code.co_name)
        made = example(self.function, self.given.inputs, self.given.kinds(), location)
        if made is not None:
            stays.functions.add(code)
            stays.calls[self.given.key] = made
        return made is not None


def called(staging: DataStaging, stays: Stays, function: types.FunctionType, args: Any, kwargs: Any) -> Any:
    """A call that stays in Python; NotImplemented for functions that are traced."""
    if function.__code__ not in stays.functions:
        return NotImplemented
    given = _given(staging, function, args, kwargs)
    if given is None or _has_changed_objects(staging):
        raise staging.refused(
            f"`{function.__name__}`, which runs in Python, is called with what only the trace knows",
            "it takes tensors of known sizes, numbers and objects that the model has not changed",
            "pass it tensors",
        )
    if given.key not in stays.calls:
        raise HostNeeded(function, given)
    call = stays.calls[given.key]
    results = markers.host(given.tensors, call)
    staging.made_here(results)
    return fill(call.outputs, results, lambda t: Scalar(staging, t))


def needed(staging: DataStaging, function: types.FunctionType, args: Any, kwargs: Any, error: Exception) -> BaseException:
    """What to raise where a function could not be traced: the error, or that the function stays in Python."""
    if staging.tries > 0 or error is staging.raised or (isinstance(error, CompileError) and error.code not in _CODES):
        return error
    given = _given(staging, function, args, kwargs)
    return error if given is None or _has_changed_objects(staging) else HostNeeded(function, given)


def _has_changed_objects(staging: DataStaging) -> bool:
    """Whether an object has been changed that was there before the trace: calls of the compiled function leave it as it is, so a
    function in Python would not see it."""
    scope: Scope | None = staging.scope
    while scope is not None:
        for place, _ in scope.journal.values():
            if isinstance(place, (AttributeOf, Content)) and not staging.is_own(place.owner):
                return True
        scope = scope.parent
    return False


def _given(staging: DataStaging, function: types.FunctionType, args: Any, kwargs: Any) -> Given | None:
    """The arguments, where they are tensors of known sizes, numbers, and objects that are there before the trace."""
    tensors: list[torch.Tensor] = []
    told: list[Hashable] = []
    unfit = is_rewritten(function)

    def leaf(value: Any, _: str) -> Any:
        nonlocal unfit
        number = isinstance(value, Scalar)
        if number or isinstance(value, torch.Tensor):
            tensor = value.tensor if number else value
            unfit = unfit or isinstance(value, torch.nn.Parameter) or not all(type(s) is int for s in tensor.shape)
            tensors.append(tensor)
            told.append((tensor.dtype, tuple(tensor.shape), number))
            return Slot(len(tensors) - 1, number)
        plain = value is None or isinstance(value, (bool, int, float, str))
        unknown = isinstance(value, Choice) or staging.varied_content(value) is not None
        unfit = unfit or unknown or (not plain and staging.is_own(value))
        told.append((type(value), value) if plain else id(value))
        return value

    inputs = map_leaves((tuple(args), dict(kwargs)), "", leaf)
    key = (function.__code__, str(map_leaves(inputs, "", lambda v, path: path)), tuple(told))
    return None if unfit or not tensors else Given(inputs, tensors, key)
