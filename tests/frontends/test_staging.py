"""Recursive modules staged, interpreted, and compared with what Python computes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bough import ops
from bough.frontends.staging import Listed, Staged, is_recursive, stage
from bough.frontends.structure import Slot
from bough.ir.interpret_recursion import interpret_recursion

_SPEC = importlib.util.spec_from_file_location("staging_models", Path(__file__).with_name("staging_models.py"))
assert _SPEC is not None and _SPEC.loader is not None
models = importlib.util.module_from_spec(_SPEC)
sys.modules["staging_models"] = models
_SPEC.loader.exec_module(models)


def build(name: str) -> Any:
    torch.manual_seed(0)
    make, structures = models.MODELS[name]
    return make().eval().requires_grad_(False), structures()


def run(staged: Staged, *args: Any) -> Any:
    """The results in the user's nesting."""
    results = interpret_recursion(staged.recursion, args, ops.evaluate)
    own = len(staged.recursion.results[staged.recursion.visits.entry])

    def filled(tree: Any) -> Any:
        if isinstance(tree, Slot):
            return results[tree.index]
        if isinstance(tree, Listed):
            return results[own + tree.list] if tree.stacked else list(results[own + tree.list])
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


@pytest.mark.parametrize("name", models.MODELS)
def test_as_eager(name: str) -> None:
    model, structures = build(name)
    staged = stage(model, (structures[0],))
    for value in structures:
        same(run(staged, value), model(value))


@pytest.mark.parametrize("name", models.MODELS)
def test_recursion_is_seen_in_the_source(name: str) -> None:
    model, structures = build(name)
    assert is_recursive(model) == (name != "Methods")  # there, methods of the nodes' own recurse
    assert is_recursive(model, (structures[0],))
