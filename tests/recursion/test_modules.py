"""Modules through the front end, and their lowered sequences against eager PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from recursive_modules import MODULES, tree
from test_lower import SETTINGS, run

import bough
from bough import ops
from bough.frontends.staging import stage
from bough.ir import verify_sequence
from bough.ir.verify_recursion import verify_recursion
from bough.recursion import lower_recursion

TREES = [tree(size, size) for size in (1, 9, 3, 2, 16)]
leaves = torch.utils._pytree.tree_leaves


def module(name: str) -> torch.nn.Module:
    torch.manual_seed(1)
    return MODULES[name]().eval().requires_grad_(False)


@pytest.mark.parametrize("name", MODULES)
def test_sequences_compute_what_modules_do(name: str) -> None:
    model = module(name)
    recursion = stage(model, (TREES[1],)).recursion
    verify_recursion(recursion, ops.infer)
    want = [leaves(model(t)) for t in TREES]
    for setting in ("all", "none", "with refactoring"):
        sequence = lower_recursion(recursion, SETTINGS[setting])
        verify_sequence(sequence)
        for n, got in enumerate(run(recursion, sequence, [(t,) for t in TREES], "native")):
            np.testing.assert_allclose(got, np.stack([w[n].numpy() for w in want]), rtol=2e-5, atol=2e-6, err_msg=setting)


@pytest.mark.parametrize("name", ["Attention", "Sequential", "Nested"])
def test_many_together_have_the_bits_of_one_by_one(name: str) -> None:
    model = module(name)
    compiled = bough.compile(model, (TREES[1],), threads=2)
    for alone, together, want in zip([compiled(t) for t in TREES], compiled.map(TREES), map(model, TREES), strict=True):
        for a, b, w in zip(leaves(alone), leaves(together), leaves(want), strict=True):
            assert torch.equal(a, b)
            torch.testing.assert_close(a, w, rtol=2e-5, atol=2e-6)
