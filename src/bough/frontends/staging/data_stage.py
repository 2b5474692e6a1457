"""A module whose course depends on what it computes, as one that torch can trace: its functions run rewritten (see `thunks`)."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from bough.base.errors import CompileError
from bough.base.records import put_together, taken_apart
from bough.frontends import torch_export
from bough.frontends.dimensions import DynamicSpec
from bough.frontends.errors import mutation
from bough.frontends.inference_mode import outside_inference_mode
from bough.frontends.staging import growing, layouts
from bough.frontends.staging.choices import Choice, settled
from bough.frontends.staging.data import DataStaging
from bough.frontends.staging.host_functions import HostNeeded, Stays
from bough.frontends.staging.made_anew import depends_on_arguments
from bough.frontends.staging.remembered import Site
from bough.frontends.staging.scalars import Scalar
from bough.frontends.staging.torch_calls import NotesNumbers, Watch
from bough.frontends.structure import ComputedChoice, ComputedNumber, ComputedRows
from bough.frontends.trace import Trace, trace

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Example:
    """What a module is traced with."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] | None
    dynamic: DynamicSpec | None

    def trace(self, module: Callable[..., Any]) -> Trace:
        return trace(module, self.args, self.kwargs, self.dynamic)


@outside_inference_mode
def export_staged(
    module: Callable[..., Any],
    args: tuple[Any, ...],
    *,
    dynamic: DynamicSpec | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> torch_export.Imported:
    """`torch_export.export` of a module with control flow on computed values."""
    example = _Example(args, kwargs, dynamic)
    return _staged(module, example, lambda staged: torch_export.export(staged, args, dynamic=dynamic, kwargs=kwargs))


_OF_SIZES = "BGH-DIM-001"
_OF_CONTROL = frozenset({"BGH-CTRL-001", "BGH-TRACE-001", "BGH-MUT-001", "BGH-OP-001", _OF_SIZES})
"""Where torch's own trace may end because of control on computed values, or of Python values computed from tensors; and where it
takes `len(x)`, or the number of turns of `for row in x`, as it is in the example."""


@outside_inference_mode
def export_module(
    module: Callable[..., Any],
    args: tuple[Any, ...],
    *,
    dynamic: DynamicSpec | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> torch_export.Imported:
    """`torch_export.export`, and `export_staged` where the module's course depends on computed values."""
    plain: CompileError | None = None
    with NotesNumbers() as numbers:
        try:
            made = torch_export.export(module, args, dynamic=dynamic, kwargs=kwargs)
        except CompileError as error:
            if error.code not in _OF_CONTROL:
                raise
            plain = error
    if plain is None and not numbers.met:  # torch would turn a computed number into text, for one
        if made.sets_attributes:
            _check_state(module, _Example(args, kwargs, dynamic))
        return made
    try:
        return export_staged(module, args, dynamic=dynamic, kwargs=kwargs)
    except CompileError as error:
        of_control = error.code == "BGH-CTRL-001" or (plain is not None and plain.code == "BGH-CTRL-001")
        if of_control and (plain is None or plain.code != _OF_SIZES):
            raise
    if plain is not None:
        raise plain
    return made


def _check_state(module: Callable[..., Any], example: _Example) -> None:
    """Raises CompileError for attributes that a call reads and changes, which torch's own trace does not tell."""
    staged = _Staged(module)
    try:
        example.trace(staged)
        _check_made(example, staged)
    except CompileError as error:
        if error.code == "BGH-MUT-001":
            raise
        raise CompileError(
            "a call sets attributes of modules, and it cannot be told whether another call would read them",
            code="BGH-MUT-001",
            because=error.what,
            advice="return the values, or set the attributes in Python code around the model",
            location=error.location,
        ) from None


def _check_made(example: _Example, traced: _Staged) -> None:
    """Raises CompileError where a call makes of its arguments what stays on the module: another one would find it there."""
    makes = traced.attempt.makes
    if makes and depends_on_arguments(example.trace(traced.attempt.showing_made()).exported):
        raise mutation(" and ".join(f"`{name}`" for name in makes), None)


@outside_inference_mode
def trace_module(
    module: Callable[..., Any],
    args: tuple[Any, ...],
    *,
    dynamic: DynamicSpec | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Trace:
    """The trace of a module, which is staged where its course depends on computed values."""
    try:
        return trace(module, args, kwargs, dynamic)
    except CompileError as error:
        if error.code not in _OF_CONTROL:
            raise
    example = _Example(args, kwargs, dynamic)
    return _staged(module, example, example.trace)


MOST_HOST_CALLS = 32
"""How many functions, or kinds of arguments of them, may stay in Python."""


def trace_with_host_calls(
    module: Callable[..., Any],
    args: tuple[Any, ...],
    *,
    dynamic: DynamicSpec | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Trace | None:
    """The trace of a module in which functions of the user's stay in Python that cannot be traced: the innermost that take and
    give tensors. None where there are none."""
    stays, example = Stays(), _Example(args, kwargs, dynamic)
    for _ in range(MOST_HOST_CALLS):
        try:
            made = _staged(module, example, example.trace, stays)
            return made if made.computed.hosts else None
        except HostNeeded as needed:
            if not needed.run(stays):
                break
    return None


def _staged(
    module: Callable[..., Any], example: _Example, run: Callable[[_Staged], Result], stays: Stays | None = None
) -> Result:
    """`run` of the staged module. Where that fails, it is tried without what was remembered of loops, and where the model takes
    slices of known length at computed places, such as `x[i : i + 8]`, they are then taken to lie inside their axis, so that the
    model knows their size."""
    first = _Staged(module, stays=stays)
    try:
        result, traced = run(first), first
    except CompileError:
        others = [(False, False)] * first.attempt.has_recalled + [(True, True)] * first.attempt.met_window
        for windows, remembers in others:
            traced = _Staged(module, windows, stays, remembers)
            with contextlib.suppress(CompileError):
                result = run(traced)
                break
        else:
            raise
    _check_made(example, traced)
    return result


class _Attempt:
    """What staging found out that concerns another attempt; torch.export would reset an attribute of a module."""

    met_window = has_recalled = False
    makes: tuple[str, ...] = ()
    """Attributes that were made where there was nothing."""
    showing_made: Callable[[], _Staged]
    """The same module, staged in the same way, whose result is what those hold."""


class _Staged(nn.Module):
    """The module, so that its weights are found. Its forward knows it by a closure: torch wraps what is read as an attribute."""

    def __init__(
        self,
        model: Callable[..., Any],
        windows: bool = False,
        stays: Stays | None = None,
        remembers: bool = True,
        shows_made: bool = False,
    ) -> None:
        """`shows_made`: the result is what the call makes on modules where there was nothing."""
        super().__init__()
        self.model = model
        self.training = False
        self.attempt = attempt = _Attempt()
        attempt.showing_made = lambda: _Staged(model, windows, stays, remembers, shows_made=True)
        site = Site() if remembers else None

        def forward(*args: Any, **kwargs: Any) -> Any:
            staging = DataStaging(windows, stays, site)
            try:
                with Watch(staging):
                    result = _result(staging, staging.call(model, *args, **kwargs))
                    made = staging.state.check(model)
                    attempt.makes = tuple(made)
                    return [*made.values()] if shows_made else result
            finally:
                attempt.met_window, attempt.has_recalled = staging.met_window, staging.has_recalled
                staging.special.restore()
                staging.scope.undo()

        original = model.forward if isinstance(model, nn.Module) else model
        with contextlib.suppress(ValueError):  # built-in functions do not tell
            forward.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
        self.forward = functools.update_wrapper(forward, original, ("__name__",), ())


def _result(staging: DataStaging, value: Any) -> Any:
    """What the call returns, as the trace takes it."""
    value = growing.as_argument(staging, settled(value))
    match value:
        case Scalar(whole=torch.Tensor() as whole):
            kinds = ComputedNumber(value.tensor), ComputedNumber(value.tensor.to(torch.int64))
            return ComputedChoice(whole.to(torch.int64), kinds)
        case Scalar():
            return ComputedNumber(value.tensor)
        case Choice():
            left = staging.left(value)
            numbers = [left.index(n) if n in left else 0 for n in range(len(value.alternatives))]
            selector = layouts.renumbered(value.selector.tensor, numbers)
            return ComputedChoice(selector, tuple(_result(staging, value.alternatives[n]) for n in left))
        case growing.Rows():
            return ComputedRows(_result(staging, layouts.build(staging, value.part, iter(value.leaves))))
        case _ if (record := taken_apart(value)) is not None:
            return put_together(record, type(value))(*(_result(staging, part) for part in record.parts))
        case tuple() | list():
            parts = [_result(staging, v) for v in value]
            return parts if isinstance(value, list) else tuple(parts)
        case dict():
            return {k: _result(staging, v) for k, v in value.items()}
    return value.clone() if isinstance(value, torch.Tensor) else value
