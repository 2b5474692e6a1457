"""Recursive models in the ways people write them: compiled from their source, they say what eager PyTorch says.

BOUGH_TEST_MODELS=all runs those that take longest too.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import binary_models  # noqa: F401
import bushy_models  # noqa: F401
import graph_models  # noqa: F401
import list_models  # noqa: F401
import pytest
import torch
from _pytest.mark import ParameterSet
from held_out import CASES, Case
from torch.utils._pytree import tree_flatten

import bough

SIZES = (1, 2, 3, 5, 9, 24)


def params() -> Iterator[ParameterSet]:
    """One for each model, with what is known to be lacking."""
    for name, case in CASES.items():
        marks: list[pytest.MarkDecorator | pytest.Mark] = []
        if case.lacking:
            marks.append(pytest.mark.xfail(reason=case.lacking, raises=bough.CompileError, strict=True))
        yield pytest.param(case, id=name, marks=marks)


@pytest.mark.parametrize("case", [*params()])
def test_agrees_with_eager(case: Case) -> None:
    torch.manual_seed(0)
    model = case.make().eval().requires_grad_(False)
    random = Random(1)
    compiled = bough.compile(model, case.arguments(random, 7), threads=1, cache=False)
    samples = [case.arguments(random, nodes) for nodes in SIZES for _ in range(3)]
    alone = [compiled(*args) for args in samples]
    for args, given in zip(samples, alone):
        expected = model(*args)
        assert tree_flatten(given)[1] == tree_flatten(expected)[1]
        torch.testing.assert_close(given, expected, rtol=2e-5, atol=2e-6)
    together = compiled.map(samples if len(samples[0]) > 1 else [x for (x,) in samples])
    for one, other in zip(tree_flatten(alone)[0], tree_flatten(together)[0]):
        assert torch.equal(one, other)
