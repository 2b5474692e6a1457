"""ATen operators that read and write at computed positions, and that sort."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from bough.frontends.builder import Builder, Operand, Unsupported
from bough.frontends.converters import Absent, axis_of, converts
from bough.ir import expr
from bough.ir.dtypes import BOOL, I64
from bough.ir.expr import Extent, as_expr, as_extent
from bough.ir.functions import reduction_unit
from bough.ir.kernel import Reduction
from bough.ir.program import Value
from bough.ops.building import broadcast, times


@converts("embedding.default")
def _embedding(b: Builder, weight: Value, indices: Value, padding_idx: int = -1, *_: Any) -> Value:
    return b.emit("embedding", weight, indices, padding_idx=padding_idx)


@converts("_embedding_bag_forward_only.default", "_embedding_bag.default", "embedding_bag.padding_idx", "embedding_bag.default")
def _embedding_bag(
    b: Builder, weight: Value, indices: Value, offsets: Value, scale_grad_by_freq: bool = False, mode: int = 0,
    sparse: bool = False, per_sample_weights: Value | None = None, include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> tuple[Any, ...]:  # fmt: skip
    """Bounds are kept inside the list, as torch's check would."""
    count = b.symbolic(indices.type.shape[0])
    bounds = b.cast(offsets, I64)
    if not include_last_offset:
        bounds = b.emit("concat", bounds, b.reshape(count, (1,)), axis=0)
    bounds = b.emit("min", b.emit("max", bounds, b.number(0, I64)), count)
    padding = None if padding_idx is None or padding_idx < 0 else padding_idx
    kind = ("sum", "mean", "max")[mode]
    y = b.emit("embedding_bag", weight, indices, bounds, per_sample_weights, mode=kind, padding=padding)
    return (y, *(Absent("what embedding bags keep for their gradient"),) * 3)


@converts("index_select.default")
def _index_select(b: Builder, x: Value, dim: int, indices: Value) -> Value:
    return b.emit("take", x, indices, axis=axis_of(dim, x.type.rank), wrap=False)


@converts("gather.default")
def _gather(b: Builder, x: Value, dim: int, indices: Value, *, sparse_grad: bool = False) -> Value:
    return b.emit("gather", x, indices, axis=axis_of(dim, x.type.rank))


@converts("take_along_dim.default")
def _take_along_dim(b: Builder, x: Value, indices: Value, dim: int | None = None) -> Value:
    if dim is None:
        flat = b.reshape(x, (times(x.type.shape),))
        return b.emit("take", flat, b.reshape(indices, b.expected[0].shape), axis=0, wrap=False)
    axis = axis_of(dim, x.type.rank)
    indices = b.emit("mod", b.cast(indices, I64), b.symbolic(x.type.shape[axis]))
    others = [(*v.type.shape[:axis], 1, *v.type.shape[axis + 1 :]) for v in (x, indices)]
    shape = broadcast(others, "take_along_dim")
    x, indices = (b.emit("expand", v, shape=(*shape[:axis], v.type.shape[axis], *shape[axis + 1 :])) for v in (x, indices))
    return b.emit("gather", x, indices, axis=axis)


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


@converts("scatter.src", "scatter.value")
def _scatter(b: Builder, x: Value, dim: int, indices: Value, updates: Operand) -> Value:
    values = _like_indices(b, b.operand(updates, x.type.dtype), indices)
    return b.emit("scatter", x, indices, values, axis=axis_of(dim, x.type.rank), mode="set")


@converts("scatter_add.default")
def _scatter_add(b: Builder, x: Value, dim: int, indices: Value, updates: Value) -> Value:
    return _scatter_reduce(b, x, dim, indices, updates, "sum")


@converts("scatter_reduce.two")
def _scatter_reduce(
    b: Builder, x: Value, dim: int, indices: Value, updates: Value, reduce: str, *, include_self: bool = True
) -> Value:
    axis, dtype, updates = axis_of(dim, x.type.rank), x.type.dtype, _like_indices(b, updates, indices)
    mode, reduction = _MODES[reduce]
    if reduce == "mean" or not include_self:
        ones = b.emit("expand", b.number(1, dtype), shape=updates.type.shape)
        before = b.emit("expand", b.number(int(include_self), dtype), shape=x.type.shape)
        counts = b.emit("scatter", before, indices, ones, axis=axis, mode="add")
    if not include_self:
        x = b.emit("select", b.emit("gt", counts, b.number(0, dtype)), b.number(reduction_unit(reduction, dtype), dtype), x)
    result = b.emit("scatter", x, indices, updates, axis=axis, mode=mode)
    if reduce != "mean":
        return result
    return b.emit("div" if dtype.is_float else "floordiv", result, b.emit("max", counts, b.number(1, dtype)))


_MODES: dict[str, tuple[str, Reduction]] = {
    "sum": ("add", "sum"), "mean": ("add", "sum"), "prod": ("prod", "prod"), "amax": ("max", "max"), "amin": ("min", "min"),
}  # fmt: skip
"""By PyTorch's name for a reduction: the mode of a scatter, and the reduction whose unit it starts from."""


@converts("index_reduce.default")
def _index_reduce(
    b: Builder, x: Value, dim: int, indices: Value, updates: Value, reduce: str, *, include_self: bool = True
) -> Value:
    """Whole slices along an axis, in place of elements."""
    shape, axis = updates.type.shape, axis_of(dim, x.type.rank)
    column = b.reshape(indices, (*(1,) * axis, shape[axis], *(1,) * (len(shape) - axis - 1)))
    everywhere = b.emit("expand", column, shape=shape)
    return _scatter_reduce(b, x, dim, everywhere, updates, reduce, include_self=include_self)


def _like_indices(b: Builder, updates: Value, indices: Value) -> Value:
    """Updates beyond the indices' shape are not used."""
    if not updates.type.rank:
        return b.emit("expand", updates, shape=indices.type.shape)
    for axis, size in enumerate(indices.type.shape):
        updates = b.slice(updates, axis, 0, size)
    return updates


@converts("index_put.default", "_unsafe_index_put.default")
def _index_put(
    b: Builder, x: Value, indices: Sequence[Value | None], values: Value, accumulate: bool = False, *_: Any
) -> Value:
    values = b.cast(values, x.type.dtype)
    if any(i is not None and i.type.dtype == BOOL for i in indices):
        return _put_under_mask(b, x, indices, values, accumulate)
    wide = [None if i is None else b.cast(i, I64) for i in indices]
    return b.emit("index_put", x, values, *wide, mode="add" if accumulate else "set")


@converts("index_add.default")
def _index_add(b: Builder, x: Value, dim: int, indices: Value, updates: Value, *, alpha: Operand = 1) -> Value:
    scaled = updates if alpha == 1 else b.emit("mul", updates, b.operand(alpha, updates.type.dtype))
    return _put_slices(b, x, dim, indices, scaled, "add")


@converts("index_copy.default")
def _index_copy(b: Builder, x: Value, dim: int, indices: Value, updates: Value) -> Value:
    return _put_slices(b, x, dim, indices, updates, "set")


def _put_slices(b: Builder, x: Value, dim: int, indices: Value, updates: Value, mode: str) -> Value:
    """Whole slices along an axis, each where an index says."""
    shape, axis = x.type.shape or (1,), axis_of(dim, max(x.type.rank, 1))
    indices = b.reshape(b.cast(indices, I64), (times(indices.type.shape),))
    updates = b.reshape(updates, (*shape[:axis], indices.type.shape[0], *shape[axis + 1 :]))
    y = b.emit("index_put", b.reshape(x, shape), updates, *(None,) * axis, indices, mode=mode, wrap=False)
    return b.reshape(y, x.type.shape)


def _put_under_mask(b: Builder, x: Value, indices: Sequence[Value | None], values: Value, accumulate: bool) -> Value:
    """One number wherever a mask over the leading axes holds."""
    mask = indices[0]
    if len(indices) != 1 or mask is None or values.type.rank or accumulate:
        raise Unsupported("writing several values under a mask")
    mask = b.reshape(mask, (*mask.type.shape, *(1,) * (x.type.rank - mask.type.rank)))
    return b.emit("select", mask, values, x)


@converts("sort.default")
def _sort(b: Builder, x: Value, dim: int = -1, descending: bool = False) -> tuple[Value, ...]:
    return _of_rows(b, "sort", x, axis=axis_of(dim, x.type.rank), descending=descending)


@converts("sort.stable")
def _sort_stable(
    b: Builder, x: Value, *, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> tuple[Value, ...]:
    return _sort(b, x, dim, descending)


@converts("argsort.default")
def _argsort(b: Builder, x: Value, dim: int = -1, descending: bool = False) -> Value:
    return _sort(b, x, dim, descending)[1]


@converts("argsort.stable")
def _argsort_stable(b: Builder, x: Value, *, stable: bool, dim: int = -1, descending: bool = False) -> Value:
    return _argsort(b, x, dim, descending)


@converts("topk.default")
def _topk(b: Builder, x: Value, k: Extent, dim: int = -1, largest: bool = True, _: bool = True) -> tuple[Value, ...]:
    if not isinstance(k, int):
        axis = axis_of(dim, x.type.rank)
        return tuple(b.slice(y, axis, 0, k, 1) for y in _sort(b, x, dim, largest))
    return _of_rows(b, "topk", x, k=k, axis=axis_of(dim, x.type.rank), largest=largest)


def _of_rows(b: Builder, op: str, x: Value, **attributes: Any) -> tuple[Value, ...]:
    """An operator with several results along an axis; torch takes a tensor of rank 0 for one of a single element."""
    if x.type.rank:
        return b.assign(op, (x,), attributes)
    return tuple(b.reshape(y, ()) for y in b.assign(op, (b.reshape(x, (1,)),), attributes))


@converts("kthvalue.default")
def _kthvalue(b: Builder, x: Value, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Value, ...]:
    return tuple(_at(b, y, dim, k - 1) for y in _sort(b, x, dim))


@converts("median.dim")
def _median_of_axis(b: Builder, x: Value, dim: int, keepdim: bool = False) -> tuple[Value, ...]:
    """The lower one of two in the middle; NaN, and where the first one stood, where there is any."""
    if not x.type.rank:
        x = b.reshape(x, (1,))
    axis = axis_of(dim, x.type.rank)
    size = as_expr(x.type.shape[axis])
    values, places = _sort(b, x, axis)
    middle = as_extent(expr.floordiv(expr.sub(size, 1), 2))
    value, place = _at(b, values, axis, middle), _at(b, places, axis, middle)
    if x.type.dtype.is_float:
        last = _at(b, values, axis, as_extent(expr.sub(size, 1)))
        nan = b.emit("isnan", last)
        first = b.reshape(b.emit("argmax", x, axis=axis, keep=False), place.type.shape)
        value, place = b.emit("select", nan, last, value), b.emit("select", nan, first, place)
    return value, place


@converts("median.default")
def _median(b: Builder, x: Value) -> Value:
    count = reduce(lambda n, size: expr.mul(n, as_expr(size)), x.type.shape, as_expr(1))
    return _median_of_axis(b, b.reshape(x, (as_extent(count),)), 0)[0]


def _at(b: Builder, x: Value, dim: int, place: Extent) -> Value:
    """One position of an axis, in the shape that is expected."""
    if not x.type.rank:
        return x
    stop = as_extent(expr.add(as_expr(place), 1))
    return b.reshape(b.slice(x, axis_of(dim, x.type.rank), place, stop), b.expected[0].shape)
