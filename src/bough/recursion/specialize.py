"""A cell where some of its parameters are known: results of initial states, walks over nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bough.ir.expr import Const
from bough.ir.program import Function
from bough.ir.recursion import Cell
from bough.recursion.copying import Copier

Array = np.ndarray[Any, Any]


def specialize(cell: Cell, known: Mapping[int, Array], empty: frozenset[str]) -> Cell:
    """The cell with the parameters `known` (by position) as constants, and with walks of no elements for the lengths named in
    `empty`. Values keep their names."""
    f, known = cell.function, dict(known)
    copy = Copier({}, {name: Const(0) for name in empty})
    constants = {copy.value(v): a for v, a in f.constants.items()}
    kept: list[int] = []
    for n, param in enumerate(f.params):
        value = copy.value(param)
        if 0 in value.type.shape:
            known.setdefault(n, np.zeros([e if isinstance(e, int) else 0 for e in value.type.shape], value.type.dtype.numpy))
        if n in known:
            constants[value] = known[n]
        else:
            kept.append(n)
    body = copy.nodes(f.body)
    params, results = copy.several(tuple(f.params[n] for n in kept)), copy.several(f.results)
    function = Function(f.name, params, constants, body, results, tuple(d for d in f.dims if d.name not in empty))
    return Cell(function, tuple(cell.sources[n] for n in kept), cell.sizes, cell.passes)
