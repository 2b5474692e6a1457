"""Order along an axis, and its first elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bough.ir.dtypes import I64
from bough.ir.expr import Extent
from bough.ir.kernel import Kernel, Operand
from bough.ir.program import TensorType
from bough.ops.building import normal_axis
from bough.ops.merging import by_merging
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types, present
from bough.ops.selection import first_of

MANY, FAR = 512, 16
"""From how many elements on they are merged, unless the first of so many times as many are wanted."""

def _order(x: Array, axis: int, largest: bool) -> Array:
    """Positions in sorted order, ties as they stood."""
    order: Array = np.argsort(np.flip(x, axis) if largest else x, axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(order, axis) if largest else order


def _sorting(
    name: str,
    signature: str,
    summary: str,
    count: Callable[[Extent, Attributes], Extent],
    is_largest: Callable[[Attributes], bool],
) -> Operator:
    def infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
        x: TensorType = present(types[0], name)
        axis = normal_axis(attributes["axis"], x.rank, name)
        shape = (*x.shape[:axis], count(x.shape[axis], attributes), *x.shape[axis + 1 :])
        return TensorType(x.dtype, shape), TensorType(I64, shape)

    def evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
        x: Array = present(arrays[0], name)
        axis = attributes["axis"] % x.ndim
        kept = np.take(_order(x, axis, is_largest(attributes)), np.arange(results[0].shape[axis]), axis)
        return np.take_along_axis(x, kept, axis), kept

    def lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
        x: Operand = present(args[0], name)
        values, places = results
        axis = normal_axis(attributes["axis"], len(x.shape), name)
        count, wanted, largest = x.shape[axis], values.shape[axis], is_largest(attributes)
        if isinstance(count, int) and isinstance(wanted, int) and MANY <= count < FAR * wanted:
            return by_merging(name, x, values, places, axis, count, largest)
        return first_of(name, x, values, places, axis, wanted, largest)

    return Operator(name, signature, summary, infer, evaluate, lower)


OPERATORS: tuple[Operator, ...] = (
    _sorting("sort", "(x) {axis, descending}", "sorted values and where they stood; stable, NaN is the largest",
             lambda n, a: n, lambda a: bool(a.get("descending", False))),
    _sorting("topk", "(x) {k, axis, largest}", "the first k of the sorted values and where they stood; NaN is the largest",
             lambda n, a: a["k"], lambda a: bool(a.get("largest", True))),
)  # fmt: skip
