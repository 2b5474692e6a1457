"""The models of tests/frontends compiled: what goes down, lists, loops that carry states, several objects. As eager, and `map` has
the bits of single calls."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

import bough

sys.path.append(str(Path(__file__).parent.parent / "frontends"))
import deciding_models
import joining_models
import listing_models
import pairing_models
import passing_models
import turning_models

MODELS: dict[str, Any] = {}
for module in (passing_models, listing_models, turning_models, joining_models, pairing_models, deciding_models):
    MODELS |= module.MODELS


@pytest.mark.parametrize("name", MODELS)
def test_as_eager(name: str) -> None:
    torch.manual_seed(0)
    make, examples = MODELS[name]
    model, samples = make().eval().requires_grad_(False), examples()
    compiled = bough.compile(model, samples[0], threads=2, cache=False)
    alone = [compiled(*args) for args in samples]
    for got, args in zip(alone, samples, strict=True):
        torch.testing.assert_close(got, model(*args), rtol=2e-5, atol=2e-6)
    together = compiled.map([args if len(args) > 1 else args[0] for args in samples])
    for one, other in zip(tree_leaves(alone), tree_leaves(together), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
