"""What a reduction starts from, how it takes a step, and where long sums are cut."""

from __future__ import annotations

from bough.ir.dtypes import BOOL, DType
from bough.ir.expr import Apply, Cast, Const, Expr

SUM_BLOCK = 32
"""Longer sums are cut into blocks of so many terms: each is summed in order, then the sums of the blocks in order. The error
grows with the square root of the longer of the two, not of the whole (Blanchard, Higham and Mary 2020, section 2): with 32 it
stays below that of PyTorch's products of one row, which have a sum in each lane of a vector. The length is the same for every
schedule, so that it is no part of what a search may change."""
UNITS: dict[str, float] = {"sum": 0.0, "prod": 1.0, "max": float("-inf"), "min": float("inf"), "any": 0.0, "all": 1.0}
COMBINE = {"sum": "add", "prod": "mul", "max": "max", "min": "min", "any": "or", "all": "and"}


def unit_of(op: str, dtype: DType) -> Const:
    """The value that leaves a reduction unchanged."""
    if dtype == BOOL:
        return Const(bool(UNITS[op]), BOOL)
    if dtype.is_integer:
        low, high = -(2 ** (dtype.bits - 1)), 2 ** (dtype.bits - 1) - 1
        if dtype.kind == "uint":
            low, high = 0, 2**dtype.bits - 1
        return Const({"sum": 0, "prod": 1, "max": low, "min": high, "any": 0, "all": 1}[op], dtype)
    return Const(UNITS[op], dtype)


def combine(op: str, acc: Expr, value: Expr) -> Expr:
    """One step of a reduction. A sum of float products takes one rounding per step (fused multiply-add)."""
    if op == "sum" and isinstance(value, Apply) and value.function == "mul" and value.dtype.is_float:
        return Apply("fma", (value.args[0], value.args[1], acc), acc.dtype)
    if op == "sum" and isinstance(value, Cast) and value.dtype != acc.dtype:
        return Apply("add", (acc, Cast(value, acc.dtype)), acc.dtype)
    return Apply(COMBINE[op], (acc, value), acc.dtype)
