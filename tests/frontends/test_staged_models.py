"""Models in which tensors go down, lists are filled, joined and used, and loops carry states; staged and interpreted, against
eager PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from deciding_models import MODELS as DECIDING
from joining_models import MODELS as JOINING
from listing_models import MODELS as LISTING
from pairing_models import MODELS as PAIRING
from passing_models import MODELS as PASSING
from staged_run import check_text, run, same
from turning_models import MODELS as TURNING

from bough import ops
from bough.frontends.staging import stage
from bough.ir.verify_recursion import verify_recursion

MODELS = {**PASSING, **LISTING, **TURNING, **JOINING, **PAIRING, **DECIDING}


def build(name: str) -> tuple[Any, list[tuple[Any, ...]]]:
    torch.manual_seed(0)
    make, examples = MODELS[name]
    return make().eval().requires_grad_(False), examples()


@pytest.mark.parametrize("name", MODELS)
def test_as_eager(name: str) -> None:
    model, examples = build(name)
    staged = stage(model, examples[0])
    verify_recursion(staged.recursion, ops.infer)
    check_text(staged.recursion)
    for args in examples:
        same(run(staged, *args), model(*args))
