"""All operators in one table, and the three things it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bough.base.errors import InternalError
from bough.ir.bfloat import from_bf16, to_bf16
from bough.ir.dtypes import BF16
from bough.ir.kernel import Kernel, Operand
from bough.ir.program import TensorType
from bough.ops import (
    attention,
    bags,
    convolution,
    creation,
    indexing,
    normalization,
    padding,
    pointwise,
    pooling,
    products,
    reductions,
    resampling,
    scans,
    scatter,
    sorting,
    special,
    views,
)
from bough.ops.names import lower_apart
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types

FAMILIES: dict[str, tuple[Operator, ...]] = {
    "Pointwise": (*pointwise.OPERATORS, *special.OPERATORS),
    "Views": (*views.OPERATORS, *padding.OPERATORS, *creation.OPERATORS),
    "Reductions": (*reductions.OPERATORS, *scans.OPERATORS),
    "Products": products.OPERATORS,
    "Convolution": convolution.OPERATORS,
    "Pooling": pooling.OPERATORS,
    "Normalization": normalization.OPERATORS,
    "Attention": attention.OPERATORS,
    "Resampling": resampling.OPERATORS,
    "Indexing": (*indexing.OPERATORS, *bags.OPERATORS, *scatter.OPERATORS),
    "Sorting": sorting.OPERATORS,
}

OPERATORS: dict[str, Operator] = {o.name: o for family in FAMILIES.values() for o in family}


def operator(name: str) -> Operator:
    """The row of the table. Raises InternalError for a name that is not there: front ends check first."""
    try:
        return OPERATORS[name]
    except KeyError:
        raise InternalError(f"no operator is named {name}") from None


def infer(op: str, types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    """The types of the results."""
    return operator(op).infer(types, attributes)


def evaluate(op: str, arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    """The results in NumPy, computed in the type of the arrays: float64 arrays give float64 results.

    `results` have concrete shapes. 16-bit floats (bf16 as uint16 bit patterns) are computed in float32 and rounded once.
    Raises InternalError where the meaning gives another shape than `results` says.
    """
    wide = any(a is not None and a.dtype == np.float64 for a in arrays)
    with np.errstate(all="ignore"):
        values = operator(op).evaluate([None if a is None else _widen(a) for a in arrays], attributes, results)
    return tuple(_narrow(op, v, t, wide) for v, t in zip(values, results, strict=True))


def lower(op: str, args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
    """Kernels that compute `results` when run in order.

    Each lists as inputs what it loads; intermediates are operands named `<result>.<stage>`. Free axes stand in the order of
    the result's dimensions, reduced ones behind them.
    """
    return lower_apart(operator(op), args, results, attributes)


def _widen(array: Array) -> Array:
    if array.dtype == np.uint16:
        return from_bf16(array)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _narrow(op: str, given: Any, result: TensorType, wide: bool) -> Array:
    value: Array = np.asarray(given)
    if value.shape != result.shape:
        raise InternalError(f"{op}: the meaning has shape {value.shape}, the type {result.shape}")
    if wide and result.dtype.is_float and value.dtype == np.float64:
        return value
    if result.dtype == BF16:
        return to_bf16(value)
    return value.astype(result.dtype.numpy, copy=False)
