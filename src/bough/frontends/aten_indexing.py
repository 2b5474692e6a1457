"""ATen operators that read at computed positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bough.frontends.builder import Builder, Unsupported
from bough.frontends.converters import axis_of, converts
from bough.ir.dtypes import BOOL, I64
from bough.ir.program import Value


@converts("embedding.default")
def _embedding(b: Builder, weight: Value, indices: Value, padding_idx: int = -1, *_: Any) -> Value:
    return b.emit("embedding", weight, indices, padding_idx=padding_idx)


@converts("index_select.default")
def _index_select(b: Builder, x: Value, dim: int, indices: Value) -> Value:
    return b.emit("take", x, indices, axis=axis_of(dim, x.type.rank))


@converts("gather.default")
def _gather(b: Builder, x: Value, dim: int, indices: Value, *, sparse_grad: bool = False) -> Value:
    return b.emit("gather", x, indices, axis=axis_of(dim, x.type.rank))


@converts("take_along_dim.default")
def _take_along_dim(b: Builder, x: Value, indices: Value, dim: int | None = None) -> Value:
    if dim is None or x.type.shape[: dim % x.type.rank] != indices.type.shape[: dim % x.type.rank]:
        raise Unsupported("take_along_dim with broadcasting")
    return b.emit("gather", x, indices, axis=axis_of(dim, x.type.rank))


@converts("index.Tensor", "_unsafe_index.Tensor")
def _index(b: Builder, x: Value, indices: Sequence[Value | None]) -> Value:
    """One indexed axis is a `take`; several, with the axes between them whole, are the general `index`."""
    if any(i is not None and i.type.dtype == BOOL for i in indices):
        raise Unsupported("indexing by a mask: the size of the result depends on computed values")
    used = [axis for axis, i in enumerate(indices) if i is not None]
    if len(used) == 1:
        return b.emit("take", x, indices[used[0]], axis=used[0])
    wide = [None if i is None else b.cast(i, I64) for i in indices]
    return b.emit("index", x, *wide)
