"""ATen operators of network layers: products, convolutions, pooling, normalisation, attention, recurrence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from bough.frontends.aten_reductions import axes_of, norm, variance
from bough.frontends.builder import Builder, Operand, Unsupported
from bough.frontends.converters import Absent, Converter, axis_of, converts, enter_all, one_of
from bough.frontends.errors import in_training
from bough.frontends.promotion import TO_TORCH
from bough.frontends.recurrent import CELLS, GATES, Weights, recurrent
from bough.ir import expr
from bough.ir.expr import Extent
from bough.ir.program import Value


@converts("linear.default")
def _linear(b: Builder, x: Value, weight: Value, bias: Value | None = None) -> Value:
    return b.emit("linear", x, weight, bias)


@converts("matmul.default", "mm.default", "bmm.default", "mv.default", "dot.default", "linalg_matmul.default")
def matmul(b: Builder, x: Value, y: Value) -> Value:
    """A vector is a row on the left and a column on the right."""
    left = x if x.type.rank > 1 else b.reshape(x, (1, *x.type.shape))
    right = y if y.type.rank > 1 else b.reshape(y, (*y.type.shape, 1))
    product = b.emit("matmul", left, right)
    if x.type.rank > 1 and y.type.rank > 1:
        return product
    shape = product.type.shape
    rows: tuple[Extent, ...] = shape[-2:-1] if x.type.rank > 1 else ()
    columns: tuple[Extent, ...] = shape[-1:] if y.type.rank > 1 else ()
    return b.reshape(product, (*shape[:-2], *rows, *columns))


@converts("addmm.default", "baddbmm.default", "addmv.default")
def _addmm(b: Builder, start: Value, x: Value, y: Value, *, beta: Operand = 1, alpha: Operand = 1) -> Value:
    product = matmul(b, x, y)
    dtype = product.type.dtype
    if alpha != 1:
        product = b.emit("mul", product, b.operand(alpha, dtype))
    if beta == 0:
        return product
    return b.emit("add", start if beta == 1 else b.emit("mul", start, b.operand(beta, dtype)), product)


@converts("bilinear.default")
def _bilinear(b: Builder, x: Value, y: Value, weight: Value, bias: Value | None = None) -> Value:
    """sum over i, j of x[n, i] * weight[o, i, j] * y[n, j], as a product with x and then one with y."""
    outer, left, right = weight.type.shape
    lead = x.type.shape[:-1]
    by_left = b.reshape(b.permute(weight, (0, 2, 1)), (expr.as_extent(expr.mul(*map(expr.as_expr, (outer, right)))), left))
    partial = b.reshape(b.emit("linear", x, by_left, None), (*lead, outer, right))
    product = b.reshape(b.emit("matmul", partial, b.reshape(y, (*lead, right, 1))), (*lead, outer))
    return product if bias is None else b.emit("add", product, bias)


@converts("_cdist_forward.default")
def _cdist(b: Builder, x: Value, y: Value, p: float, _: int | None = None) -> Value:
    lead, (rows, width) = x.type.shape[:-2], x.type.shape[-2:]
    apart = b.emit(
        "sub", b.reshape(x, (*lead, rows, 1, width)), b.reshape(y, (*y.type.shape[:-2], 1, *y.type.shape[-2:]))
    )
    return norm(b, apart, p, -1)


def _convolve(
    b: Builder, x: Value, weight: Value, bias: Value | None, stride: Any, padding: Any, dilation: Any, groups: int,
    transposed: bool = False, output_padding: Any = 0,
) -> Value:  # fmt: skip
    n = weight.type.rank - 2
    batched = x.type.rank == n + 2
    if isinstance(padding, str):
        x, padding = _pad_same(b, x, weight, one_of(dilation, n)) if padding == "same" else x, 0
    x = x if batched else b.reshape(x, (1, *x.type.shape))
    y = b.emit(
        "convolution", x, weight, bias, stride=one_of(stride, n), padding=one_of(padding, n),
        dilation=one_of(dilation, n), groups=groups, transposed=transposed, output_padding=one_of(output_padding, n),
    )  # fmt: skip
    return y if batched else b.reshape(y, y.type.shape[1:])


def _pad_same(b: Builder, x: Value, weight: Value, dilation: Sequence[int]) -> Value:
    low, high = [0] * x.type.rank, [0] * x.type.rank
    for i, d in enumerate(dilation):
        size = weight.type.shape[2 + i]
        assert isinstance(size, int)
        axis = i - len(dilation)
        low[axis] = d * (size - 1) // 2
        high[axis] = d * (size - 1) - low[axis]
    return b.emit("pad", x, low=tuple(low), high=tuple(high), value=0.0, mode="constant")


@converts("conv1d.default", "conv2d.default", "conv3d.default", "conv1d.padding", "conv2d.padding", "conv3d.padding")
def _conv(
    b: Builder, x: Value, weight: Value, bias: Value | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Value:  # fmt: skip
    return _convolve(b, x, weight, bias, stride, padding, dilation, groups)


@converts("conv_transpose1d.default", "conv_transpose2d.input", "conv_transpose3d.input")
def _conv_transpose(
    b: Builder, x: Value, weight: Value, bias: Value | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Value:  # fmt: skip
    return _convolve(b, x, weight, bias, stride, padding, dilation, groups, True, output_padding)


@converts("convolution.default")
def _convolution(
    b: Builder, x: Value, weight: Value, bias: Value | None, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int,
) -> Value:  # fmt: skip
    return _convolve(b, x, weight, bias, stride, padding, dilation, groups, transposed, output_padding)


def _max_pool(n: int) -> Converter:
    def convert(
        b: Builder, x: Value, window: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
    ) -> Value:
        size = one_of(window, n)
        return b.emit(
            "max_pool", x, window=size, stride=one_of(stride, n) or size, padding=one_of(padding, n),
            dilation=one_of(dilation, n), ceil_mode=ceil_mode,
        )  # fmt: skip

    return convert


def _avg_pool(n: int) -> Converter:
    def convert(
        b: Builder, x: Value, window: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor: int | None = None,
    ) -> Value:  # fmt: skip
        size = one_of(window, n)
        return b.emit(
            "avg_pool", x, window=size, stride=one_of(stride, n) or size, padding=one_of(padding, n),
            ceil_mode=ceil_mode, count_include_pad=count_include_pad, divisor=divisor,
        )  # fmt: skip

    return convert


def _with_indices(pool: Converter) -> Converter:
    def convert(b: Builder, *args: Any, **kwargs: Any) -> list[Any]:
        return [pool(b, *args, **kwargs), Absent("the positions of a pooling's maxima")]

    return convert


def _adaptive_max_pool(n: int) -> Converter:
    def convert(b: Builder, x: Value, size: Any) -> list[Any]:
        return [b.emit("adaptive_max_pool", x, size=one_of(size, n)), Absent("the positions of a pooling's maxima")]

    return convert


for _n in (1, 2, 3):
    converts(f"max_pool{_n}d.default")(_max_pool(_n))
    converts(f"max_pool{_n}d_with_indices.default")(_with_indices(_max_pool(_n)))
    converts(f"avg_pool{_n}d.default")(_avg_pool(_n))
    converts(f"adaptive_max_pool{_n}d.default")(_adaptive_max_pool(_n))


@converts("adaptive_avg_pool1d.default", "adaptive_avg_pool2d.default", "adaptive_avg_pool3d.default",
          "_adaptive_avg_pool2d.default", "_adaptive_avg_pool3d.default")  # fmt: skip
def _adaptive_avg_pool(b: Builder, x: Value, size: Sequence[int]) -> Value:
    if all(s == 1 for s in size):
        rank = x.type.rank
        return b.emit("reduce_mean", x, axes=tuple(range(rank - len(size), rank)), keep=True)
    return b.emit("adaptive_avg_pool", x, size=tuple(size))


def _softmax(op: str) -> Converter:
    def convert(b: Builder, x: Value, dim: int, *_: Any, **__: Any) -> Value:
        row = b.reshape(x, x.type.shape or (1,))  # rank 0 counts as a single element
        y = b.emit(op, b.cast(row, b.expected[0].dtype), axis=axis_of(dim, row.type.rank))
        return b.reshape(y, x.type.shape)

    return convert


enter_all(
    {
        "softmax.int": "softmax", "_softmax.default": "softmax", "special_softmax.int": "softmax",
        "log_softmax.int": "log_softmax", "_log_softmax.default": "log_softmax", "special_log_softmax.int": "log_softmax",
    },
    _softmax,
)  # fmt: skip


@converts("layer_norm.default")
def _layer_norm(
    b: Builder, x: Value, shape: Sequence[int], weight: Value | None = None, bias: Value | None = None, eps: float = 1e-5,
    _: bool = True,
) -> Value:  # fmt: skip
    return b.emit("layer_norm", x, weight, bias, axes=len(shape), eps=eps)


@converts("native_layer_norm.default")
def _native_layer_norm(
    b: Builder, x: Value, shape: Sequence[int], weight: Value | None, bias: Value | None, eps: float
) -> list[Any]:
    statistics = Absent("the statistics of a layer normalisation")
    return [_layer_norm(b, x, shape, weight, bias, eps), statistics, statistics]


@converts("rms_norm.default")
def _rms_norm(b: Builder, x: Value, shape: Sequence[int], weight: Value | None = None, eps: float | None = None) -> Value:
    eps = torch.finfo(TO_TORCH[x.type.dtype]).eps if eps is None else eps
    return b.emit("rms_norm", x, weight, axes=len(shape), eps=eps)


@converts("group_norm.default")
def _group_norm(
    b: Builder, x: Value, groups: int, weight: Value | None = None, bias: Value | None = None, eps: float = 1e-5,
    _: bool = True,
) -> Value:  # fmt: skip
    return b.emit("group_norm", x, weight, bias, groups=groups, eps=eps)


@converts("batch_norm.default")
def _batch_norm(
    b: Builder, x: Value, weight: Value | None, bias: Value | None, mean: Value | None, var: Value | None,
    training: bool, momentum: float, eps: float, cudnn: bool = False,
) -> Value:  # fmt: skip
    if training and mean is not None:
        raise in_training("batch normalisation", b.location)
    if mean is None or var is None:
        others = [d for d in range(x.type.rank) if d != 1]
        mean = b.emit("reduce_mean", x, axes=axes_of(others, x.type.rank), keep=False)
        var = variance(b, x, others, 0, False)
    return b.emit("batch_norm", x, mean, var, weight, bias, eps=eps)


@converts("_native_batch_norm_legit_no_training.default")
def _native_batch_norm(
    b: Builder, x: Value, weight: Value | None, bias: Value | None, mean: Value, var: Value, momentum: float, eps: float
) -> list[Any]:
    statistics = Absent("the statistics of a batch normalisation")
    return [b.emit("batch_norm", x, mean, var, weight, bias, eps=eps), statistics, statistics]


@converts("instance_norm.default")
def _instance_norm(
    b: Builder, x: Value, weight: Value | None, bias: Value | None, mean: Value | None, var: Value | None,
    use_input_stats: bool, momentum: float, eps: float, cudnn: bool = False,
) -> Value:  # fmt: skip
    """Each channel of each sample by itself: a group normalisation with as many groups as channels."""
    if not use_input_stats and mean is not None and var is not None:
        return b.emit("batch_norm", x, mean, var, weight, bias, eps=eps)
    channels = x.type.shape[1]
    if not isinstance(channels, int):
        raise Unsupported("instance normalisation over a symbolic number of channels")
    return b.emit("group_norm", x, weight, bias, groups=channels, eps=eps)


@converts("scaled_dot_product_attention.default")
def _attention(
    b: Builder, q: Value, k: Value, v: Value, mask: Value | None = None, dropout: float = 0.0, causal: bool = False, *,
    scale: float | None = None, enable_gqa: bool = False,
) -> Value:  # fmt: skip
    if dropout > 0:
        raise in_training("the dropout of an attention", b.location)
    if scale is None:
        depth = q.type.shape[-1]
        if not isinstance(depth, int):
            raise Unsupported("attention over a symbolic depth")
        scale = depth**-0.5
    return b.emit("attention", q, k, v, mask, causal=causal, scale=float(scale))


@converts("bough.recurrent.default")
def _recurrent(
    b: Builder, kind: str, x: Value, states: Sequence[Value], weights: Sequence[Value], bias: bool, projection: bool,
    bidirectional: bool,
) -> list[Value]:  # fmt: skip
    """The weights of a layer come as torch stores them: input, hidden, both biases if any, projection if any."""
    count = 2 + 2 * bias + projection
    layers = []
    for i in range(0, len(weights), count):
        w = list(weights[i : i + count])
        input_bias, hidden_bias = (w[2], w[3]) if bias else (None, None)
        layers.append(Weights(w[0], w[1], input_bias, hidden_bias, w[-1] if projection else None))
    y, finals = recurrent(b, kind, x, states, layers, bidirectional)
    return [y, *finals]


def _cell(kind: str) -> Converter:
    def convert(
        b: Builder, x: Value, states: Value | Sequence[Value], w_input: Value, w_hidden: Value, b_input: Value | None = None,
        b_hidden: Value | None = None,
    ) -> Value | tuple[Value, ...]:  # fmt: skip
        given = [states] if isinstance(states, Value) else states
        gates = b.emit("linear", x, w_input, b_input)
        after = CELLS[kind](b, gates, given, Weights(w_input, w_hidden, b_input, b_hidden))
        return after[0] if isinstance(states, Value) else after

    return convert


enter_all({f"{kind}_cell.default": kind for kind in GATES}, _cell)
