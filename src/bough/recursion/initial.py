"""What is known at level 1, where every call of the stage ends in a base variant: initial states, walks over no children."""

from __future__ import annotations

from typing import Any

import numpy as np

from bough import ops
from bough.base.visits import Stage
from bough.ir.interpret_program import run_program
from bough.ir.program import Program
from bough.ir.recursion import Cell, Recursion, Returned
from bough.recursion.regions import Member
from bough.recursion.specialize import specialize

Array = np.ndarray[Any, Any]


def first_cell(recursion: Recursion, stage: Stage, member: Member) -> Cell | None:
    """The cell of a step variant for its activations at level 1; None where nothing is known there.

    A call of a function whose only base variant computes the same for all objects gives that; a walk whose elements are
    called by a function without base variants has no elements.
    """
    variant = recursion.visits.function(member[0]).variants[member[1]]
    cell = recursion.cells[member]
    empty: set[str] = set()
    known: dict[int, Array] = {}
    for c, call in enumerate(variant.calls):
        if call.function not in stage.functions:
            continue
        if call.each is not None:
            if not any(f == call.function for f, _ in stage.base):
                empty.add(cell.sizes[call.each])
            continue
        results = initial_results(recursion, stage, call.function)
        for n, source in enumerate(cell.sources):
            if results is not None and isinstance(source, Returned) and source.call == c:
                known[n] = results[source.result]
    return specialize(cell, known, frozenset(empty)) if known or empty else None


def initial_results(recursion: Recursion, stage: Stage, function: str) -> tuple[Array, ...] | None:
    """What the only base variant of a function gives for every object; None where there are several, or it depends on one."""
    base = [member for member in stage.base if member[0] == function]
    if len(base) != 1 or recursion.cells[base[0]].function.params or recursion.cells[base[0]].sizes:
        return None
    f = recursion.cells[base[0]].function
    return run_program(Program({f.name: f}, f.name), [], ops.evaluate)
