"""Runs staged recursions by the interpreter and compares results in the user's nesting."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bough import ops
from bough.frontends.staging import Listed, Staged
from bough.frontends.structure import Slot
from bough.ir.interpret_recursion import interpret_recursion


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
