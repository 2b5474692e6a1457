"""The tensor code of each way through a function as a straight Program Function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from bough.frontends import torch_export
from bough.frontends.staging import rows_of
from bough.frontends.staging.discover import Function, World
from bough.frontends.staging.primitives import Primitives
from bough.frontends.staging.record import Record
from bough.frontends.staging.results import leaf, listed
from bough.frontends.staging.run import NOTHING, Run
from bough.frontends.staging.signals import refuse_source
from bough.frontends.staging.templates import Listed, Template, flatten, rebuild
from bough.ir.expr import Var
from bough.ir.narrow import used_by
from bough.ir.program import Dim, Value
from bough.ir.program import Function as Straight
from bough.ir.recursion import Cell, Collected, Pass, Read, Returned, Source

Arrays = dict[tuple[int, tuple[int, ...], str], np.ndarray[Any, Any]]


class _Cell(nn.Module):
    """The model, so that its weights are found, with one way through one function for its forward."""

    def __init__(self, model: Any, way: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model
        self.way = way
        self.training = False

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.way(*tensors)


def export_cell(world: World, model: Any, function: Function, record: Record, name: str, shared: Arrays) -> Cell:
    """Repeats the way that `record` notes, under torch.export. `shared` keeps one array per weight over all cells."""
    sources = tuple(record.params)

    def way(*tensors: torch.Tensor) -> Any:
        run = Run(world, function, record.answers, NOTHING, dict(zip(sources, tensors, strict=True)), record.known)
        staging = Primitives(run)
        result = run.invoke()
        _, made = flatten(listed(staging, result), lambda v: leaf(function, run, v))
        return (*made, *run.collected, *run.passed)

    examples = tuple(torch.zeros(t.shape, dtype=t.dtype) for t in record.params.values())
    walks = {n: e for n, s in enumerate(sources) if (e := _each_of(record, s)) is not None}
    dynamic = {f"tensors.{n}": {0: Dim(f"each{e}", 0)} for n, e in walks.items()}
    program = torch_export.export(_Cell(model, way), examples, dynamic=dynamic, empty=False).program
    straight = program.functions[program.entry]
    for value, array in straight.constants.items():
        straight.constants[value] = shared.setdefault((array.ctypes.data, array.strides, str(array.dtype)), array)
    _refuse_rows(world, function, record, straight.results[: len(straight.results) - len(record.passes)])
    used = used_by(straight.body) | set(straight.results)
    kept = [n for n, p in enumerate(straight.params) if p in used]
    params = tuple(straight.params[n] for n in kept)
    for number, param in enumerate(params):
        param.name = f"p{number}"
    made = Straight(name, params, straight.constants, straight.body, straight.results, straight.dims)
    first = len(made.results) - len(record.passes)
    passes = tuple(Pass(call, argument, first + n) for n, (call, argument) in enumerate(record.passes))
    return Cell(made, tuple(sources[n] for n in kept), tuple(f"each{e}" for e in range(len(record.eaches))), passes)


def _refuse_rows(world: World, function: Function, record: Record, results: tuple[Value, ...]) -> None:
    """Every activation has results of one size, so none may grow with a list of its object."""
    lists = row_results(record.template)
    for n, result in enumerate(results):
        shape = result.type.shape
        of_list = n in lists and any(shape[0] == Var(f"each{e}") for e, each in enumerate(record.eaches) if each.list == lists[n])
        if not all(isinstance(extent, int) for extent in (shape[1:] if of_list else shape)):
            walks = [e for e in range(len(record.eaches)) if shape[0] == Var(f"each{e}")]
            if function is world.entry and walks:
                rows_of.learn(world, record, walks[0])
            raise refuse_source(
                f"`{function.name}` returns a tensor that is as long as a list of the structure",
                "the results of all objects are kept in one array",
                "combine its rows (sum, mean, max), or return a row for each element where the recursion is started, made by "
                "[f(x) for x in xs] there",
                record.location,
            )


def row_results(template: Template | None) -> dict[int, int]:
    """The results that have a row for each element of a list that is collected, with the number of the list."""
    found: dict[int, int] = {}

    def note(v: Any) -> Any:
        if isinstance(v, Listed) and v.result is not None:
            found[v.result] = v.list
        return v

    if template is not None:
        rebuild(template.tree, note)
    return found


def _each_of(record: Record, source: Source) -> int | None:
    if isinstance(source, Read):
        return record.payloads[source.payload].each
    if isinstance(source, Collected):
        return source.walk
    return record.calls[source.call].each if isinstance(source, Returned) else None
