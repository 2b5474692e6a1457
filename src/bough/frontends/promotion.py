"""PyTorch's type promotion among tensors, rank-0 tensors and Python numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch

from bough.ir.dtypes import BF16, BOOL, F16, F32, F64, I8, I16, I32, I64, U8, DType
from bough.ir.program import Value

FROM_TORCH: dict[torch.dtype, DType] = {
    torch.float64: F64, torch.float32: F32, torch.float16: F16, torch.bfloat16: BF16, torch.int64: I64,
    torch.int32: I32, torch.int16: I16, torch.int8: I8, torch.uint8: U8, torch.bool: BOOL,
}  # fmt: skip
TO_TORCH = {ours: theirs for theirs, ours in FROM_TORCH.items()}

Number = bool | int | float


def common_dtype(operands: Sequence[Value | Number]) -> DType:
    """The type in which an operator of mixed operands computes.

    Tensors of rank >= 1 decide; rank-0 tensors and then numbers raise it only to a higher kind (bool < integer < float).
    """
    tiers: tuple[list[torch.dtype], ...] = ([], [], [])
    for o in operands:
        if isinstance(o, Value):
            tiers[0 if o.type.rank else 1].append(TO_TORCH[o.type.dtype])
        else:
            tiers[2].append(_number_dtype(o))
    found: torch.dtype | None = None
    for tier in tiers:
        if not tier:
            continue
        of_tier = reduce(torch.promote_types, tier)
        if found is None:
            found = of_tier
        elif _rank(of_tier) > _rank(found):
            found = torch.promote_types(found, of_tier) if tier is not tiers[2] else of_tier
    assert found is not None
    return FROM_TORCH[found]


def _number_dtype(value: Number) -> torch.dtype:
    if isinstance(value, bool):
        return torch.bool
    return torch.int64 if isinstance(value, int) else torch.get_default_dtype()


def _rank(dtype: torch.dtype) -> int:
    return 0 if dtype is torch.bool else 2 if dtype.is_floating_point else 1
