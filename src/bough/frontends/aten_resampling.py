"""ATen operators that resize images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bough.frontends.builder import Builder, Unsupported
from bough.frontends.converters import converts
from bough.ir import expr
from bough.ir.dtypes import I64
from bough.ir.expr import Extent, as_expr, as_extent
from bough.ir.program import Value

Positions = np.ndarray[Any, np.dtype[np.float64]]
Shape = Callable[[Positions], Positions]
"""Of a filter: the share of an element by its distance."""


def _factors(given: Sequence[Any], count: int) -> list[float | None]:
    """The factors of a call, for its overload with a list of them and for that with one argument for each."""
    scales = given[0] if given and isinstance(given[0], (list, tuple)) else given
    return [*scales, *(None,) * count][:count]


def _is_exact(before: Extent, after: Extent, factor: float | None) -> bool:
    """Whether the factor is the ratio of the sizes: of whole factors that shows without knowing the sizes."""
    if factor is None:
        return True
    if isinstance(before, int) and isinstance(after, int):
        return after == before * factor
    return factor == int(factor) and after == as_extent(expr.mul(as_expr(before), int(factor)))


def _sizes(before: Extent, after: Extent) -> tuple[int, int]:
    if not isinstance(before, int) or not isinstance(after, int):
        raise Unsupported("resizing a symbolic size by a factor that is not whole")
    return before, after


@converts(*(f"upsample_nearest{n}d.{s}" for n in (1, 2, 3) for s in ("vec", "default")))
def _nearest(b: Builder, x: Value, _: Any = None, *scales: Any) -> Value:
    """PyTorch takes element floor(position / factor), in float32; where that is the exact floor, so does the table."""
    after = b.expected[0].shape[2:]
    factors = _factors(scales, len(after))
    if all(_is_nearest_exact(*s) for s in zip(x.type.shape[2:], after, factors, strict=True)):
        return b.emit("upsample_nearest", x, size=after)
    for axis, (size, factor) in enumerate(zip(after, factors, strict=True), start=2):
        old, new = _sizes(x.type.shape[axis], size)
        positions = b.constant(_nearest_positions(old, new, factor), I64, "positions")
        x = b.emit("take", x, positions, axis=axis)
    return x


def _nearest_positions(before: int, after: int, factor: float | None) -> Any:
    scale = np.float32(1 / factor if factor else before / after)
    return np.minimum(np.floor(np.arange(after, dtype=np.float32) * scale).astype(np.int64), before - 1)


def _is_nearest_exact(before: Extent, after: Extent, factor: float | None) -> bool:
    if isinstance(before, int) and isinstance(after, int):
        return bool((_nearest_positions(before, after, factor) == np.arange(after) * before // after).all())
    return factor is not None and _is_exact(before, after, factor)


@converts(*(f"upsample_{name}.{s}" for name in ("linear1d", "bilinear2d", "trilinear3d") for s in ("vec", "default")))
def _linear(b: Builder, x: Value, _: Any, align_corners: bool, *scales: Any) -> Value:
    after = b.expected[0].shape[2:]
    factors = _factors(scales, len(after))
    if align_corners or all(_is_exact(*s) for s in zip(x.type.shape[2:], after, factors, strict=True)):
        return b.emit("upsample_linear", x, size=after, align_corners=align_corners)
    for axis, (size, factor) in enumerate(zip(after, factors, strict=True), start=2):
        old, new = _sizes(x.type.shape[axis], size)
        x = _interpolate(b, x, axis, np.maximum((np.arange(new) + 0.5) / (factor or new / old) - 0.5, 0))
    return x


def _interpolate(b: Builder, x: Value, axis: int, places: Positions) -> Value:
    """Linear interpolation between the neighbours of each place, the last one repeated."""
    last = x.type.shape[axis]
    assert isinstance(last, int)
    first = np.minimum(places.astype(np.int64), last - 1)
    share = (places - first).astype(x.type.dtype.numpy).reshape(-1, *(1,) * (x.type.rank - 1 - axis))
    before = b.emit("take", x, b.constant(first, I64, "positions"), axis=axis)
    after = b.emit("take", x, b.constant(np.minimum(first + 1, last - 1), I64, "positions"), axis=axis)
    weight = b.constant(share, x.type.dtype, "weights")
    return b.emit("add", before, b.emit("mul", b.emit("sub", after, before), weight))


def _smoothed(b: Builder, x: Value, align_corners: bool, scales: Sequence[Any], shape: Shape, reach: int) -> Value:
    """Resized with a filter as wide as the step, so that no element is passed over: a product with a matrix for each axis."""
    after = b.expected[0].shape[2:]
    for axis, (size, factor) in reversed(list(enumerate(zip(after, _factors(scales, 2), strict=True)))):
        old, new = _sizes(x.type.shape[axis + 2], size)
        corners = (old - 1) / (new - 1) if new > 1 else 0.0
        step = corners if align_corners else 1 / factor if factor else old / new
        weights = _filters(old, new, step, shape, reach).astype(x.type.dtype.numpy)
        if axis:
            x = b.emit("matmul", x, b.constant(weights.T.copy(), x.type.dtype, "filter"))
        else:
            x = b.emit("matmul", b.constant(weights, x.type.dtype, "filter"), x)
    return x


@converts("_upsample_bilinear2d_aa.vec", "_upsample_bilinear2d_aa.default")
def _smooth_linear(b: Builder, x: Value, _: Any, align_corners: bool, *scales: Any) -> Value:
    return _smoothed(b, x, align_corners, scales, _tent, 1)


@converts("_upsample_bicubic2d_aa.vec", "_upsample_bicubic2d_aa.default")
def _smooth_cubic(b: Builder, x: Value, _: Any, align_corners: bool, *scales: Any) -> Value:
    return _smoothed(b, x, align_corners, scales, _cubic, 2)


def _filters(before: int, after: int, step: float, shape: Shape, reach: int) -> Positions:
    """Row i has the shares that the old elements have in the new element i."""
    wide = max(step, 1.0)
    centres = step * (np.arange(after) + 0.5)
    low = np.maximum((centres - reach * wide + 0.5).astype(np.int64), 0)[:, None]
    high = np.minimum((centres + reach * wide + 0.5).astype(np.int64), before)[:, None]
    places = np.arange(before)
    shares = np.where((places >= low) & (places < high), shape((places - centres[:, None] + 0.5) / wide), 0.0)
    made: Positions = shares / shares.sum(axis=1, keepdims=True)
    return made


def _tent(x: Positions) -> Positions:
    made: Positions = np.maximum(1 - np.abs(x), 0)
    return made


def _cubic(x: Positions) -> Positions:
    """Keys' cubic with a = -1/2."""
    x = np.abs(x)
    made: Positions = np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0))
    return made
