"""ATen operators that reduce axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bough.frontends.builder import Builder, Unsupported
from bough.frontends.converters import Converter, axis_of, converts, enter_all
from bough.ir.dtypes import BOOL, I64
from bough.ir.program import Value

Axes = int | Sequence[int] | None


def axes_of(axes: Axes, rank: int) -> tuple[int, ...]:
    """Positions from the front, in order; None and an empty list stand for all axes."""
    given = [axes] if isinstance(axes, int) else list(axes or ())
    return tuple(sorted(axis_of(a, rank) for a in given)) if given and rank else tuple(range(rank))


def _reduce(op: str) -> Converter:
    def convert(b: Builder, x: Value, dim: Axes = None, keepdim: bool = False, **_: Any) -> Value:
        dtype = b.expected[0].dtype
        x = b.cast(x, BOOL if op in ("reduce_any", "reduce_all") else dtype)
        return b.cast(b.emit(op, x, axes=axes_of(dim, x.type.rank), keep=keepdim), dtype)

    return convert


enter_all(
    {
        "sum.default": "reduce_sum", "sum.dim_IntList": "reduce_sum", "mean.default": "reduce_mean",
        "mean.dim": "reduce_mean", "amax.default": "reduce_max", "amin.default": "reduce_min", "max.default": "reduce_max",
        "min.default": "reduce_min", "prod.default": "reduce_prod", "prod.dim_int": "reduce_prod",
        **{f"{n}.{s}": f"reduce_{n}" for n in ("any", "all") for s in ("default", "dim", "dims")},
    },
    _reduce,
)  # fmt: skip


def _position(op: str) -> Converter:
    def convert(b: Builder, x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
        return b.emit(op, x, axis=None if dim is None else axis_of(dim, x.type.rank), keep=keepdim)

    return convert


enter_all({"argmax.default": "argmax", "argmin.default": "argmin"}, _position)


def _with_position(value: str, position: str) -> Converter:
    def convert(b: Builder, x: Value, dim: int, keepdim: bool = False) -> list[Value]:
        axis = axis_of(dim, x.type.rank)
        return [b.emit(value, x, axes=(axis,), keep=keepdim), b.emit(position, x, axis=axis, keep=keepdim)]

    return convert


converts("max.dim")(_with_position("reduce_max", "argmax"))
converts("min.dim")(_with_position("reduce_min", "argmin"))


def variance(b: Builder, x: Value, dim: Axes, correction: float | None, keepdim: bool) -> Value:
    """The variance over axes with Bessel's correction of 1 unless another is given."""
    return b.emit(
        "reduce_var", x, axes=axes_of(dim, x.type.rank), keep=keepdim, correction=1 if correction is None else correction
    )


@converts("var.correction")
def _var(b: Builder, x: Value, dim: Axes = None, *, correction: float | None = None, keepdim: bool = False) -> Value:
    return variance(b, x, dim, correction, keepdim)


@converts("std.correction")
def _std(b: Builder, x: Value, dim: Axes = None, *, correction: float | None = None, keepdim: bool = False) -> Value:
    return b.emit("sqrt", variance(b, x, dim, correction, keepdim))


@converts("var_mean.correction")
def _var_mean(
    b: Builder, x: Value, dim: Axes = None, *, correction: float | None = None, keepdim: bool = False
) -> list[Value]:
    mean = b.emit("reduce_mean", x, axes=axes_of(dim, x.type.rank), keep=keepdim)
    return [variance(b, x, dim, correction, keepdim), mean]


@converts("var.dim", "var.default")
def _var_dim(b: Builder, x: Value, dim: Any = None, unbiased: bool = True, keepdim: bool = False) -> Value:
    dim, unbiased = (None, dim) if isinstance(dim, bool) else (dim, unbiased)
    return variance(b, x, dim, int(unbiased), keepdim)


@converts("std.dim", "std.default")
def _std_dim(b: Builder, x: Value, dim: Any = None, unbiased: bool = True, keepdim: bool = False) -> Value:
    dim, unbiased = (None, dim) if isinstance(dim, bool) else (dim, unbiased)
    return b.emit("sqrt", variance(b, x, dim, int(unbiased), keepdim))


def _scan(op: str) -> Converter:
    def convert(b: Builder, x: Value, dim: int, **_: Any) -> Value:
        dtype = b.expected[0].dtype
        return b.cast(b.emit(op, b.cast(x, dtype), axis=axis_of(dim, x.type.rank)), dtype)

    return convert


enter_all({"cumsum.default": "cumsum", "cumprod.default": "cumprod", "logcumsumexp.default": "logcumsumexp"}, _scan)


def _running_extreme(op: str) -> Converter:
    def convert(b: Builder, x: Value, dim: int) -> list[Value]:
        """Where an element is the extreme so far, or NaN, its position counts: the last one of them is wanted."""
        axis = axis_of(dim, x.type.rank)
        if not x.type.rank:
            return [x, b.emit("full", shape=(), value=0, dtype=I64)]
        values = b.emit(op, x, axis=axis)
        size = x.type.shape[axis]
        places = b.reshape(
            b.emit("iota", size=size, start=0, step=1, dtype=I64), (size, *(1,) * (x.type.rank - 1 - axis))
        )
        reached = b.emit("or", b.emit("eq", x, values), b.emit("isnan", x))
        return [values, b.emit("cummax", b.emit("select", reached, places, b.number(0, I64)), axis=axis)]

    return convert


enter_all({"cummax.default": "cummax", "cummin.default": "cummin"}, _running_extreme)


@converts("logsumexp.default")
def _logsumexp(b: Builder, x: Value, dim: Axes, keepdim: bool = False) -> Value:
    axes = axes_of(dim, x.type.rank)
    x = b.cast(x, b.expected[0].dtype)
    highest = b.emit("reduce_max", x, axes=axes, keep=True)
    zero = b.number(0, x.type.dtype)
    shift = b.emit("select", b.emit("isinf", highest), zero, highest)
    total = b.emit("reduce_sum", b.emit("exp", b.emit("sub", x, shift)), axes=axes, keep=True)
    result = b.emit("add", b.emit("log", total), shift)
    return result if keepdim else b.reshape(result, b.expected[0].shape)


@converts("linalg_vector_norm.default", "norm.ScalarOpt_dim", "norm.Scalar")
def norm(b: Builder, x: Value, ord: float | None = 2, dim: Axes = None, keepdim: bool = False, **_: Any) -> Value:
    """(sum of |x|^ord)^(1/ord) over axes."""
    axes, dtype = axes_of(dim, x.type.rank), b.expected[0].dtype
    x = b.cast(x, dtype)
    ord = 2 if ord is None else ord
    if ord == 2:
        return b.emit("sqrt", b.emit("reduce_sum", b.emit("square", x), axes=axes, keep=keepdim))
    size = b.emit("abs", x)
    if ord == float("inf"):
        return b.emit("reduce_max", size, axes=axes, keep=keepdim)
    if ord == 1:
        return b.emit("reduce_sum", size, axes=axes, keep=keepdim)
    if ord <= 0:
        raise Unsupported(f"a norm of order {ord}")
    total = b.emit("reduce_sum", b.emit("pow", size, b.number(ord, dtype)), axes=axes, keep=keepdim)
    return b.emit("pow", total, b.number(1 / ord, dtype))
