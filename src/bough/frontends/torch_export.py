"""PyTorch modules to Programs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch._ops import OpOverload
from torch.export import ExportedProgram

from bough.base.errors import CompileError, InternalError
from bough.frontends import locations
from bough.frontends.converters import CONVERTERS, overload_name
from bough.frontends.decompositions import rules
from bough.frontends.dimensions import DynamicSpec, check_computed, check_decomposed
from bough.frontends.dropout import remove_dropout
from bough.frontends.errors import MissingOperators
from bough.frontends.structure import Slot, Structure
from bough.frontends.trace import ONE_AT_A_TIME, Trace, trace
from bough.frontends.translate import Missings, is_translatable, translate
from bough.ir.program import Program

__all__ = ["Imported", "Slot", "Structure", "export"]


@dataclass(frozen=True, slots=True)
class Imported:
    """A module as a Program.

    `inputs` is the nesting of a call, `(args, kwargs)`: slot i of it is parameter i of the entry function, called
    `names[i]`; the other leaves are constants of the compiled function. `outputs` is the nesting of the result: slot i is
    result i. The constants of the function share memory with the module's weights where those are contiguous.
    """

    program: Program
    inputs: Structure
    outputs: Structure
    names: tuple[str, ...]
    sets_attributes: bool = False
    """Whether forward sets attributes of modules, which are as before again."""


def export(
    module: Callable[..., Any],
    args: tuple[Any, ...],
    *,
    dynamic: DynamicSpec | None = None,
    kwargs: Mapping[str, Any] | None = None,
    empty: bool = True,
) -> Imported:
    """Traces a module (or a function of tensors) on example arguments and translates it.

    `dynamic={"x": {0: "batch"}}` makes axis 0 of the argument `x` of any size; `Dim("batch", 1, 64)` in place of the name
    gives a range. Tensors inside an argument are called `x.0`, `x.key`. Axes of one name have one size. `empty=False`: the caller
    sees to it that the module meets no size 0 where that matters.

    Raises CompileError for what cannot be compiled, with the user's line where there is one; for operators that the
    table has not, once, with all of them.
    """
    traced = trace(module, args, kwargs, dynamic, empty)
    try:
        program, missing = _translate(traced)
    except InternalError as error:
        if not traced.computed.supposed.met:
            raise
        raise _equal_by_condition(str(error)) from error
    if missing:
        raise MissingOperators(missing)
    return Imported(program, traced.inputs, traced.outputs, traced.paths, traced.sets_attributes)


def _equal_by_condition(because: str) -> CompileError:
    return CompileError(
        "sizes that are equal only because a condition says so are used as one",
        code="BGH-DIM-001",
        because=because.split(" (please")[0],
        advice="write the size that is meant, as in x[:4] behind `if x.shape[0] == 4:`, or give both one name",
    )


def _translate(traced: Trace) -> tuple[Program, Missings]:
    """Decomposing costs more than tracing, so it is for what has no converter, and for updates in place that views share."""
    exported = traced.exported
    remove_dropout(exported)
    if is_translatable(exported.graph_module):
        return translate(traced, exported)
    with traced.computed.active():
        exported = _decompose(exported)
    check_computed(traced.computed, traced.symbols.names)
    check_decomposed(traced.computed, traced.dims, traced.symbols.names)
    return translate(traced, exported)


def _decompose(exported: ExportedProgram) -> ExportedProgram:
    """Everything into what has a converter, as far as torch knows how; updates in place become values."""
    with ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return exported.run_decompositions(rules())  # type: ignore[no-any-return]
        except CompileError:
            raise
        except Exception as error:
            raise _not_decomposed(exported, error) from error


def _not_decomposed(exported: ExportedProgram, error: Exception) -> CompileError:
    """torch does not say at which node it failed, but only those without a converter are taken apart."""
    unknown = [n for n in exported.graph.nodes if isinstance(n.target, OpOverload) and overload_name(n.target) not in CONVERTERS]
    first = unknown[0] if unknown else None
    return CompileError(
        "torch cannot take an operator of the module apart" + (f": {first.target}" if first else ""),
        code="BGH-TRACE-001",
        because=str(error).strip().split("\n")[0],
        advice="write this line with other operators",
        location=locations.of_node(first) if first else None,
    )
