"""A module that recurses in plain Python, as a Recursion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bough.base.errors import CompileError
from bough.base.visits import Fail, Member, Variant, Visit, Visits, with_repeats
from bough.frontends.errors import Missing, MissingOperators
from bough.frontends.inference_mode import outside_inference_mode
from bough.frontends.promotion import FROM_TORCH
from bough.frontends.staging.cells import Arrays, export_cell, row_results
from bough.frontends.staging.discover import Function, Learned, World
from bough.frontends.staging.primitives import Primitives
from bough.frontends.staging.record import Record
from bough.frontends.staging.signals import Restart, refuse_source
from bough.frontends.staging.symbols import Symbol
from bough.frontends.staging.table_rows import with_ranges
from bough.frontends.staging.templates import Listed
from bough.frontends.staging.ways import Way
from bough.frontends.structure import Slot, Structure, map_leaves, static_leaf
from bough.frontends.trace import _check_module, _parameter_names, quiet
from bough.ir.program import TensorType
from bough.ir.recursion import Cell, Recursion

MOST_RESTARTS = 200


@dataclass(frozen=True, slots=True)
class Staged:
    """`recursion`'s entry takes the tuple of the arguments called `names`; `outputs` is the nesting of the result: slot i is
    result i of the entry, `Listed(k)` what is collected in list k."""

    recursion: Recursion
    outputs: Structure
    names: tuple[str, ...]


@outside_inference_mode
def stage(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None) -> Staged:
    """Runs the user's functions on symbolic objects and finds every way through them; `args` are examples of the objects.

    Raises CompileError for recursion that cannot be linearized, and for what cannot be compiled.
    """
    if isinstance(module, nn.Module):
        _check_module(module)
    named = dict(kwargs or {})
    names = (*_parameter_names(module, len(args)), *named)
    values = (*args, *named.values())

    def entry(staging: Primitives, root: Any) -> Any:
        given = [_argument(root, n, v) for n, v in enumerate(values)]
        return staging.call(module, *given[: len(args)], **dict(zip(named, given[len(args) :], strict=True)))

    learned = Learned()
    for _ in range(MOST_RESTARTS):
        world = World(entry, values, learned)
        try:
            with torch.no_grad(), quiet():
                world.discover()
                return _assemble(world, module, names)
        except Restart:
            continue
        finally:
            world.effects.restore()
    raise CompileError(
        "the front end comes to no end with this recursion",
        code="BGH-REC-001",
        because=f"each of {MOST_RESTARTS} runs of its source found something that the one before it had taken for otherwise",
        advice="let functions take and return fewer kinds of values, or split them",
    )


def _argument(root: Symbol, number: int, value: Any) -> Any:
    """An argument of the call: numbers, strings and None are fixed at their values, all else is symbolic."""
    if value is None or isinstance(value, (bool, int, float, str)):
        test, wanted = ("is_none", None) if value is None else ("equals", value)
        place = root._place.item(number)
        root._run.require(place, test, wanted, False, f"argument {number} is not {value!r}, as it was in the example")
        return value
    return root[number]


def _assemble(world: World, module: Any, names: tuple[str, ...]) -> Staged:
    """Numbers the ways and exports the tensor code of each."""
    if not _ways(world.entry):
        refusal = next(end for _, end, _ in world.entry.ways.ends() if isinstance(end, Fail))
        raise refuse_source(
            refusal.what,
            "the example itself goes this way, and no rule says what it comes to",
            "if plain PyTorch takes the example, write this part in another way",
            refusal.location,
        )
    cells = _cells(world, module)
    visits = []
    results = {}
    arguments: dict[str, tuple[TensorType, ...]] = {}
    remembered: set[tuple[str, int]] = set()
    for function in world.functions.values():
        ways = _ways(function)
        if not ways:
            continue
        for number, way in enumerate(ways):
            if way.record.remembers or function.base[0] in world.cached:
                remembered.add((function.name, number))
        variants = tuple(with_ranges(_variant(n, w.record), cells[function.name, n]) for n, w in enumerate(ways))
        visits.append(Visit(function.name, function.ways.decision(), variants, function.location))
        rows = row_results(function.template)
        shapes = [tuple(t.shape)[n in rows :] for n, t in enumerate(function.types)]
        results[function.name] = tuple(TensorType(FROM_TORCH[t.dtype], s) for t, s in zip(function.types, shapes, strict=True))
        if function.arguments:
            arguments[function.name] = tuple(TensorType(FROM_TORCH[a.dtype], a.shape) for a in function.arguments)
    _refuse_memos(world, remembered, arguments)
    _refuse_early_uses(world)
    described = with_repeats(Visits(tuple(visits), world.entry.name, _members(world)), remembered, arguments)
    recursion = Recursion(described, cells, results, arguments, row_results(world.entry.template))
    return Staged(recursion, _outputs(world), names)


def _members(world: World) -> tuple[Member, ...]:
    return tuple(Member(name, tuple(sorted(found)), of) for (of, name), found in world.members.items())


def _ways(function: Function) -> list[Way]:
    return [end for _, end, _ in function.ways.ends() if isinstance(end, Way)]


def _cells(world: World, module: Any) -> dict[tuple[str, int], Cell]:
    """The tensor code of each way, by function and number. Raises one error for the operators that all of them lack."""
    shared: Arrays = {}
    cells: dict[tuple[str, int], Cell] = {}
    missing: list[Missing] = []
    for function in world.functions.values():
        for number, way in enumerate(_ways(function)):
            way.number = number
            try:
                cell = export_cell(world, module, function, way.record, f"{function.name}_{number}", shared)
            except MissingOperators as error:
                missing += error.missing
            else:
                cells[function.name, number] = cell
    if missing:
        raise MissingOperators(missing)
    return cells


def _refuse_early_uses(world: World) -> None:
    """A list is used when all that fills it has been called."""
    records = {f.name: [w.record for _, w, _ in f.ways.ends() if isinstance(w, Way)] for f in world.functions.values()}
    fills = {name: {c.list for r in of for c in r.collects} for name, of in records.items()}
    for _ in fills:
        for name, of in records.items():
            fills[name] |= {number for r in of for c in r.calls for number in fills[c.function]}
    for record in records[world.entry.name]:
        for number, calls in record.list_uses.items():
            late = next((c for c in record.calls[calls:] if number in fills[c.function]), None)
            if late is not None:
                raise refuse_source(
                    "a list that functions of the recursion fill is used before they all have run",
                    "what is in it is known when the recursion is over",
                    "use it after the last call that appends to it, or fill another list",
                    late.location,
                )


def _refuse_memos(world: World, remembered: set[tuple[str, int]], arguments: Mapping[str, object]) -> None:
    for name, _ in remembered:
        if name in arguments:
            raise refuse_source(
                f"`{name}` keeps a memo of results by object, and is passed tensors",
                "which caller's tensors an object's result is of depends on the order of visits",
                "leave out the memo, or the tensors",
                next(f.location for f in world.functions.values() if f.name == name),
            )


def _variant(number: int, record: Record) -> Variant:
    collects, payloads = tuple(record.collects), tuple(record.payloads)
    name = f"way{number}"
    return Variant(name, tuple(record.eaches), tuple(record.calls), payloads, collects, location=record.location)


def _outputs(world: World) -> Structure:
    template = world.entry.template
    assert template is not None

    def leaf(value: Any, path: str) -> Any:
        return value if isinstance(value, (Slot, Listed)) else static_leaf(value, path)

    outputs: Structure = map_leaves(template.tree, "result", leaf)
    return outputs
