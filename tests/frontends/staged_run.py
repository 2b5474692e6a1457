"""Runs staged recursions by the interpreter and compares results in the user's nesting."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bough import ops
from bough.frontends.staging import Listed, Staged
from bough.frontends.structure import Slot
from bough.ir.interpret_recursion import interpret_recursion
from bough.ir.parse_recursion import parse_recursion
from bough.ir.recursion import Recursion
from bough.ir.recursion_text import print_recursion
from bough.ir.verify_recursion import verify_recursion


def run(staged: Staged, *args: Any) -> Any:
    """The results in the user's nesting."""
    results = interpret_recursion(staged.recursion, args, ops.evaluate)
    own = len(staged.recursion.results[staged.recursion.visits.entry])

    def filled(tree: Any) -> Any:
        if isinstance(tree, Slot):
            return results[tree.index]
        if isinstance(tree, Listed):
            rows = results[own + tree.list if tree.result is None else tree.result]
            return rows if tree.stacked else list(rows)
        if isinstance(tree, (tuple, list)):
            return type(tree)(filled(t) for t in tree)
        return {k: filled(t) for k, t in tree.items()} if isinstance(tree, dict) else tree

    return filled(staged.outputs)


def check_text(recursion: Recursion) -> None:
    """The recursion's text parses back to the same recursion."""
    constants = {c.function.name: {v.name: a for v, a in c.function.constants.items()} for c in recursion.cells.values()}
    found = parse_recursion(print_recursion(recursion), constants)
    verify_recursion(found, ops.infer)
    assert print_recursion(found) == print_recursion(recursion, locations=False)
    assert found.visits == recursion.visits and found.results == recursion.results
    assert found.arguments == recursion.arguments and found.rows == recursion.rows
    for member, cell in recursion.cells.items():
        other = found.cells[member]
        assert (other.sources, other.sizes, other.passes) == (cell.sources, cell.sizes, cell.passes)


def same(got: Any, wanted: Any) -> None:
    if isinstance(wanted, torch.Tensor):
        assert got.shape == tuple(wanted.shape) and got.dtype == wanted.numpy().dtype
        np.testing.assert_allclose(got, wanted.numpy(), rtol=2e-5, atol=2e-5)
    elif isinstance(wanted, dict):
        assert list(got) == list(wanted)
        for k in wanted:
            same(got[k], wanted[k])
    elif isinstance(wanted, (tuple, list)):
        assert len(got) == len(wanted) and isinstance(got, (tuple, list))
        for g, w in zip(got, wanted, strict=True):
            same(g, w)
    else:
        assert got == wanted
