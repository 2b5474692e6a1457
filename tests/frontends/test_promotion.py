"""Type promotion is torch's, for every pair of types and ranks."""

from __future__ import annotations

import pytest
import torch

from bough.frontends.promotion import FROM_TORCH, common_dtype
from bough.ir.program import TensorType, Value

Operand = torch.Tensor | bool | int | float
OPERANDS: list[Operand] = [True, 2, 0.5, *(torch.zeros(shape, dtype=t) for t in FROM_TORCH for shape in ((), (2,)))]


def as_operand(x: Operand) -> Value | bool | int | float:
    return Value("x", TensorType(FROM_TORCH[x.dtype], tuple(x.shape))) if isinstance(x, torch.Tensor) else x


@pytest.mark.parametrize("first", OPERANDS, ids=lambda x: str(x.dtype) + str(list(x.shape)) if isinstance(x, torch.Tensor) else str(x))
def test_pairs(first: Operand) -> None:
    for second in OPERANDS:
        if isinstance(first, torch.Tensor) or isinstance(second, torch.Tensor):
            assert common_dtype([as_operand(first), as_operand(second)]) == FROM_TORCH[torch.result_type(first, second)]
