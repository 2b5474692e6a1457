"""ATen operators that create, move and join elements."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from bough.frontends.builder import Builder, Operand, Unsupported
from bough.frontends.converters import axis_of, converts
from bough.frontends.symbols import evaluate
from bough.ir import expr
from bough.ir.dtypes import BOOL, I64, DType
from bough.ir.expr import Extent, as_expr, as_extent
from bough.ir.program import Value


@converts(
    "view.default", "reshape.default", "_unsafe_view.default", "flatten.using_ints", "unflatten.int", "unsqueeze.default",
    "view_as.default", "reshape_as.default", "view_copy.default",
)  # fmt: skip
def _reshape(b: Builder, x: Value, *_: Any) -> Value:
    return b.reshape(x, b.expected[0].shape)


@converts("squeeze.default", "squeeze.dim", "squeeze.dims")
def _squeeze(b: Builder, x: Value, axes: int | Sequence[int] | None = None) -> Value:
    rank = x.type.rank
    asked = range(rank) if axes is None else [axes] if isinstance(axes, int) else axes
    for axis in asked:
        size = x.type.shape[axis_of(axis, rank)] if rank else 1
        if not isinstance(size, int):
            raise Unsupported("squeeze of a symbolic size: the rank of the result would depend on it")
    return b.reshape(x, b.expected[0].shape)


@converts("permute.default")
def _permute(b: Builder, x: Value, order: Sequence[int]) -> Value:
    return b.permute(x, [axis_of(d, x.type.rank) for d in order])


@converts("transpose.int", "swapaxes.default", "swapdims.default")
def _transpose(b: Builder, x: Value, first: int, second: int) -> Value:
    order = list(range(x.type.rank))
    if order:
        order[first], order[second] = order[second], order[first]
    return b.permute(x, order)


@converts("t.default", "numpy_T.default", "mT.default", "adjoint.default", "matrix_H.default")
def _t(b: Builder, x: Value) -> Value:
    rank = x.type.rank
    return x if rank < 2 else b.permute(x, [*range(rank - 2), rank - 1, rank - 2])


@converts("movedim.int", "movedim.intlist", "moveaxis.int", "moveaxis.intlist")
def _movedim(b: Builder, x: Value, source: Any, target: Any) -> Value:
    rank = x.type.rank
    sources = [axis_of(s, rank) for s in ([source] if isinstance(source, int) else source)]
    targets = [axis_of(t, rank) for t in ([target] if isinstance(target, int) else target)]
    rest = [d for d in range(rank) if d not in sources]
    order = [-1] * rank
    for s, t in zip(sources, targets, strict=True):
        order[t] = s
    return b.permute(x, [rest.pop(0) if d < 0 else d for d in order])


@converts("expand.default", "expand_as.default", "broadcast_to.default")
def _expand(b: Builder, x: Value, *_: Any, **__: Any) -> Value:
    shape = b.expected[0].shape
    return x if shape == x.type.shape else b.emit("expand", x, shape=shape)


@converts("broadcast_tensors.default")
def _broadcast_tensors(b: Builder, tensors: Sequence[Value]) -> list[Value]:
    shapes = [e.shape for e in b.expected]
    return [t if t.type.shape == s else b.emit("expand", t, shape=s) for t, s in zip(tensors, shapes, strict=True)]


def _from_front(b: Builder, value: Extent, size: Extent) -> Extent:
    """A position that may be counted from the back. Torch has fixed whether a symbolic one is, so the example tells."""
    return as_extent(expr.add(as_expr(size), as_expr(value))) if evaluate(value, b.sizes) < 0 else value


def _position(b: Builder, value: Extent | None, size: Extent, default: Extent) -> Extent:
    """A slice bound counted from the front and clamped to the axis."""
    if value is None:
        return default
    if isinstance(value, int):
        if isinstance(size, int):
            return min(max(value + size if value < 0 else value, 0), size)
        if value == 0 or value >= 1 << 62:
            return 0 if value == 0 else size
    if evaluate(value, b.sizes) < 0:
        return as_extent(expr.maximum(as_expr(_from_front(b, value, size)), 0))
    return value if value == size else as_extent(expr.minimum(as_expr(value), as_expr(size)))


@converts("slice.Tensor", "slice_copy.Tensor")
def _slice(
    b: Builder, x: Value, axis: int = 0, start: Extent | None = None, end: Extent | None = None, step: int = 1
) -> Value:
    axis = axis_of(axis, x.type.rank)
    size, extent = x.type.shape[axis], b.expected[0].shape[axis]
    first = _position(b, start, size, 0)
    stop = _position(b, end, size, size)
    if step == 1:
        stop = as_extent(expr.add(as_expr(first), as_expr(extent)))
    elif first == stop:
        stop = first
    return b.slice(x, axis, first, stop, step)


@converts("narrow.default")
def _narrow(b: Builder, x: Value, axis: int, start: Extent, length: Extent) -> Value:
    return _slice(b, x, axis, start, as_extent(expr.add(as_expr(start), as_expr(length))))


@converts("select.int", "select_copy.int")
def _select(b: Builder, x: Value, axis: int, index: Extent) -> Value:
    axis = axis_of(axis, x.type.rank)
    size = x.type.shape[axis]
    index = _from_front(b, index, size)
    stop = as_extent(expr.add(as_expr(index), 1))
    return b.reshape(b.slice(x, axis, index, stop), (*x.type.shape[:axis], *x.type.shape[axis + 1 :]))


@converts("unbind.int", "unbind_copy.int")
def _unbind(b: Builder, x: Value, axis: int = 0) -> list[Value]:
    axis = axis_of(axis, x.type.rank)
    return [b.select(x, axis, i) for i in range(len(b.expected))]


@converts(
    "split.Tensor", "split.sizes", "split_with_sizes.default", "chunk.default", "unsafe_split.Tensor",
    "unsafe_split_with_sizes.default", "unsafe_chunk.default", "split_with_sizes_copy.default", "split_copy.Tensor",
    "tensor_split.sections", "tensor_split.indices", "hsplit.int", "vsplit.int",
)  # fmt: skip
def _split(b: Builder, x: Value, _: Any, dim: int = 0) -> list[Value]:
    axis = axis_of(dim, x.type.rank)
    parts: list[Value] = []
    start: Extent = 0
    for part in b.expected:
        stop = as_extent(expr.add(as_expr(start), as_expr(part.shape[axis])))
        parts.append(b.slice(x, axis, start, stop))
        start = stop
    return parts


@converts("cat.default", "concat.default", "concatenate.default")
def _concat(b: Builder, tensors: Sequence[Value], dim: int = 0) -> Value:
    expected = b.expected[0]
    axis = axis_of(dim, expected.rank)
    parts = [b.cast(t, expected.dtype) for t in tensors if t.type.rank == expected.rank and t.type.shape[axis] != 0]
    return parts[0] if len(parts) == 1 else b.emit("concat", *parts, axis=axis)


@converts("stack.default")
def _stack(b: Builder, tensors: Sequence[Value], dim: int = 0) -> Value:
    expected = b.expected[0]
    axis = axis_of(dim, expected.rank)
    parts = [b.cast(t, expected.dtype) for t in tensors]
    return b.emit("concat", *(_with_axis(b, p, axis) for p in parts), axis=axis)


def _with_axis(b: Builder, x: Value, axis: int) -> Value:
    return b.reshape(x, (*x.type.shape[:axis], 1, *x.type.shape[axis:]))


@converts("flip.default")
def _flip(b: Builder, x: Value, dims: Sequence[int]) -> Value:
    return b.emit("flip", x, axes=tuple(axis_of(d, x.type.rank) for d in dims))


@converts("roll.default")
def _roll(b: Builder, x: Value, shifts: Any, dims: Any = ()) -> Value:
    shifts = [shifts] if isinstance(shifts, int) else shifts
    dims = [dims] if isinstance(dims, int) else dims
    if dims:
        return b.emit("roll", x, shifts=tuple(shifts), axes=tuple(axis_of(d, x.type.rank) for d in dims))
    size = as_extent(expr.mul(1, 1)) if not x.type.rank else _volume(x.type.shape)
    return b.reshape(b.emit("roll", b.reshape(x, (size,)), shifts=tuple(shifts), axes=(0,)), x.type.shape)


def _volume(shape: Sequence[Extent]) -> Extent:
    total = as_expr(1)
    for size in shape:
        total = expr.mul(total, as_expr(size))
    return as_extent(total)


@converts("repeat.default", "tile.default")
def _repeat(b: Builder, x: Value, repeats: Sequence[int]) -> Value:
    repeats = (*(1,) * (x.type.rank - len(repeats)), *repeats)
    if any(not isinstance(r, int) for r in repeats):
        raise Unsupported("a symbolic number of repetitions")
    x = b.reshape(x, (*(1,) * (len(repeats) - x.type.rank), *x.type.shape))
    return x if prod(repeats) == 1 else b.emit("repeat", x, repeats=tuple(repeats))


@converts("repeat_interleave.self_int")
def _repeat_interleave(b: Builder, x: Value, repeats: int, dim: int | None = None, **_: Any) -> Value:
    if not isinstance(repeats, int):
        raise Unsupported("a symbolic number of repetitions")
    shape = x.type.shape if dim is not None else (_volume(x.type.shape),)
    axis = axis_of(dim or 0, len(shape))
    apart = b.reshape(x, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    wide = b.emit("expand", apart, shape=(*shape[: axis + 1], repeats, *shape[axis + 1 :]))
    return b.reshape(wide, b.expected[0].shape)


@converts("tril.default")
def _tril(b: Builder, x: Value, diagonal: int = 0) -> Value:
    return b.emit("tril", x, diagonal=diagonal)


@converts("triu.default")
def _triu(b: Builder, x: Value, diagonal: int = 0) -> Value:
    return b.emit("triu", x, diagonal=diagonal)


@converts("diagonal.default", "diagonal_copy.default")
def _diagonal(b: Builder, x: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Value:
    rank = x.type.rank
    return b.emit("diagonal", x, offset=offset, axis1=axis_of(dim1, rank), axis2=axis_of(dim2, rank))


def _padded(b: Builder, x: Value, pad: Sequence[int], mode: str, value: float = 0.0) -> Value:
    if any(not isinstance(p, int) for p in pad):
        if mode != "constant":
            raise Unsupported("a symbolic padding")
        return _surrounded(b, x, pad, value)
    low, high = [0] * x.type.rank, [0] * x.type.rank
    for i in range(len(pad) // 2):
        low[-1 - i], high[-1 - i] = pad[2 * i], pad[2 * i + 1]
    if not any(low) and not any(high):
        return x
    return b.emit("pad", x, low=tuple(low), high=tuple(high), value=value, mode=mode)


def _surrounded(b: Builder, x: Value, pad: Sequence[Extent], value: float) -> Value:
    """`x` between arrays of a constant, of which only the call knows how large they are."""
    for axis in range(x.type.rank - 1, x.type.rank - 1 - len(pad) // 2, -1):
        sides = pad[2 * (x.type.rank - 1 - axis) :][:2]
        constant = float(value) if x.type.dtype.is_float else int(value)
        shapes = [(*x.type.shape[:axis], side, *x.type.shape[axis + 1 :]) for side in sides]
        low, high = (None if s[axis] == 0 else b.emit("full", shape=s, value=constant, dtype=x.type.dtype) for s in shapes)
        parts = [p for p in (low, x, high) if p is not None]
        x = parts[0] if len(parts) == 1 else b.emit("concat", *parts, axis=axis)
    return x


@converts("pad.default")
def _pad(b: Builder, x: Value, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Value:
    return _padded(b, x, pad, mode, value or 0.0)


@converts("constant_pad_nd.default")
def _constant_pad(b: Builder, x: Value, pad: Sequence[int], value: float = 0.0) -> Value:
    return _padded(b, x, pad, "constant", value)


@converts(*(f"reflection_pad{n}d.default" for n in (1, 2, 3)))
def _reflection_pad(b: Builder, x: Value, pad: Sequence[int]) -> Value:
    return _padded(b, x, pad, "reflect")


@converts(*(f"replication_pad{n}d.default" for n in (1, 2, 3)))
def _replication_pad(b: Builder, x: Value, pad: Sequence[int]) -> Value:
    return _padded(b, x, pad, "replicate")


def _filled(b: Builder, value: Operand, dtype: DType) -> Value:
    shape = b.expected[0].shape
    if isinstance(value, Value):
        value = b.cast(b.reshape(value, ()), dtype)
        return b.emit("expand", value, shape=shape) if shape else value
    if isinstance(value, (int, float)):
        plain = bool(value) if dtype == BOOL else float(value) if dtype.is_float else int(value)
        return b.emit("full", shape=shape, value=plain, dtype=dtype)
    return _filled(b, b.symbolic(value), dtype)


@converts("zeros.default", "new_zeros.default", "zeros_like.default", "zero.default", "empty.memory_format",
          "new_empty.default", "empty_like.default", "empty_permuted.default")  # fmt: skip
def _zeros(b: Builder, *_: Any, **__: Any) -> Value:
    """Memory that no one has written has no value of its own: zeros will do."""
    return _filled(b, 0, b.expected[0].dtype)


@converts("ones.default", "new_ones.default", "ones_like.default")
def _ones(b: Builder, *_: Any, **__: Any) -> Value:
    return _filled(b, 1, b.expected[0].dtype)


@converts("full.default", "full_like.default", "fill.Scalar", "fill.Tensor")
def _full(b: Builder, _: Any, value: Operand, **__: Any) -> Value:
    return _filled(b, value, b.expected[0].dtype)


@converts("new_full.default")
def _new_full(b: Builder, _: Value, __: Any, value: Operand, **___: Any) -> Value:
    return _filled(b, value, b.expected[0].dtype)


@converts("scalar_tensor.default")
def _scalar_tensor(b: Builder, value: Operand, **_: Any) -> Value:
    return b.operand(value, b.expected[0].dtype)


@converts("copy.default")
def _copy(b: Builder, _: Any, source: Value, *__: Any) -> Value:
    (expected,) = b.expected
    source = b.cast(source, expected.dtype)
    return source if source.type.shape == expected.shape else b.emit("expand", source, shape=expected.shape)


@converts("arange.default", "arange.start", "arange.start_step")
def _arange(b: Builder, *bounds: Operand, **_: Any) -> Value:
    expected = b.expected[0]
    start: Any = bounds[0] if len(bounds) > 1 else 0
    step: Any = bounds[2] if len(bounds) > 2 else 1
    return b.emit("iota", size=expected.shape[0], start=start, step=step, dtype=expected.dtype)


@converts("unfold.default")
def _unfold(b: Builder, x: Value, dim: int, size: int, step: int) -> Value:
    """Windows along an axis, which go to a new last one."""
    axis = axis_of(dim, x.type.rank)
    count = b.expected[0].shape[axis]
    starts = b.reshape(b.emit("iota", size=count, start=0, step=step, dtype=I64), (count, 1))
    positions = b.emit("add", starts, b.emit("iota", size=size, start=0, step=1, dtype=I64))
    rank = x.type.rank
    windows = b.emit("take", x, positions, axis=axis)
    return b.permute(windows, [d for d in range(rank + 1) if d != axis + 1] + [axis + 1])


@converts("eye.default", "eye.m")
def _eye(b: Builder, *_: Any, **__: Any) -> Value:
    rows, columns = b.expected[0].shape
    i = b.reshape(b.emit("iota", size=rows, start=0, step=1, dtype=I64), (rows, 1))
    j = b.emit("iota", size=columns, start=0, step=1, dtype=I64)
    return b.cast(b.emit("eq", i, j), b.expected[0].dtype)


@converts("linspace.default")
def _linspace(b: Builder, start: float, end: float, steps: int, **_: Any) -> Value:
    dtype = b.expected[0].dtype
    if not isinstance(steps, int) or not dtype.is_float:
        raise Unsupported("a symbolic or integer linspace")
    width = (end - start) / (steps - 1) if steps > 1 else 0.0
    return b.emit("iota", size=steps, start=start, step=width, dtype=dtype)


@converts("meshgrid.default", "meshgrid.indexing")
def _meshgrid(b: Builder, tensors: Sequence[Value], *, indexing: str = "ij") -> list[Value]:
    axes = list(range(len(tensors)))
    if indexing == "xy" and len(axes) > 1:
        axes[0], axes[1] = 1, 0
    grids = []
    for tensor, axis, expected in zip(tensors, axes, b.expected, strict=True):
        size = expected.shape[axis]
        column = b.reshape(tensor, tuple(size if d == axis else 1 for d in range(len(axes))))
        grids.append(b.emit("expand", column, shape=expected.shape))
    return grids
