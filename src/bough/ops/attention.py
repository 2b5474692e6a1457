"""Scaled dot-product attention in four stages: scores, softmax's statistics and powers, product with the values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bough.base.errors import InternalError
from bough.ir.dtypes import BOOL, DType
from bough.ir.expr import Expr, Extent, Var, apply, as_expr, as_extent, floordiv, select
from bough.ir.kernel import Axis, Kernel, Operand
from bough.ir.program import TensorType
from bough.ops.building import (
    ZERO,
    affine,
    agree,
    axes,
    broadcast,
    cast,
    compute_type,
    kernel,
    load,
    load_broadcast,
    number,
    reduce,
    scalar,
    store,
)
from bough.ops.normalization import softmax_stages
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types, present


def _heads_per_group(q: Sequence[Extent], k: Sequence[Extent]) -> Extent:
    """How many heads of the queries share a head of the keys; 1 where there are equally many."""
    if len(q) < 3 or q[-3] == k[-3]:
        return 1
    return as_extent(floordiv(as_expr(q[-3]), as_expr(k[-3])))


def _infer(types: Types, a: Attributes) -> tuple[TensorType, ...]:
    q, k, v = (present(t, "attention") for t in types[:3])
    if not q.rank == k.rank == v.rank >= 2:
        raise InternalError(f"attention: queries, keys and values of rank {q.rank}, {k.rank}, {v.rank}")
    agree(q.shape[-1], k.shape[-1], "attention")
    agree(k.shape[-2], v.shape[-2], "attention")
    batch = broadcast((q.shape[:-3], k.shape[:-3], v.shape[:-3]), "attention")
    return (TensorType(q.dtype, (*batch, *q.shape[-3:-1], v.shape[-1])),)


def _scale(a: Attributes, width: Extent, dtype: DType) -> Expr:
    given: float | None = a.get("scale")
    if given is not None:
        return number(given, dtype)
    return number(width**-0.5, dtype) if isinstance(width, int) else apply("rsqrt", scalar(as_expr(width), dtype))


def _evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    q, k, v = (present(x, "attention") for x in arrays[:3])
    mask = arrays[3] if len(arrays) > 3 else None
    if q.ndim > 2 and q.shape[-3] != k.shape[-3]:
        k, v = (np.repeat(x, q.shape[-3] // k.shape[-3], -3) for x in (k, v))
    scale = a.get("scale")
    scores = (q @ np.swapaxes(k, -1, -2)) * q.dtype.type(q.shape[-1] ** -0.5 if scale is None else scale)
    if a.get("causal", False):
        scores = np.where(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, -np.inf)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + mask
    largest = scores.max(-1, keepdims=True, initial=-np.inf)
    powers = np.exp(scores - np.where(largest == -np.inf, 0, largest))
    sums = powers.sum(-1, keepdims=True)
    return (np.where(sums == 0, 0, powers @ v / sums).astype(q.dtype),)


class _Axes:
    """The axes of attention: batch `i`, group `g` and member `m` of a head, query `t`, key `s`, width `e`."""

    def __init__(self, q: Operand, k: Operand, v: Operand, y: Operand) -> None:
        shared = _heads_per_group(q.shape, k.shape)
        self.batch = axes("i", y.shape[:-3])
        self.heads: tuple[Axis, ...] = ()
        self.query_head: tuple[Expr, ...] = ()
        self.key_head: tuple[Expr, ...] = ()
        if len(q.shape) >= 3:
            group = Axis("g0", k.shape[-3])
            self.heads, self.query_head = (group,), (Var(group.name),)
            self.key_head = self.query_head
        if shared != 1:
            member = Axis("m0", shared)
            self.heads = (*self.heads, member)
            self.query_head = (affine((Var(group.name), shared), (Var(member.name), 1)),)
        self.query, self.key = Axis("t0", q.shape[-2]), Axis("s0", k.shape[-2])
        self.width, self.out = Axis("e0", q.shape[-1]), Axis("v0", v.shape[-1])
        self.t, self.s, self.e, self.o = (Var(a.name) for a in (self.query, self.key, self.width, self.out))
        self.lead: tuple[Expr, ...] = (*(Var(a.name) for a in self.batch), *self.query_head)
        self.free: tuple[Axis, ...] = (*self.batch, *self.heads, self.query)

    def element(self, x: Operand, head: tuple[Expr, ...], *index: Expr) -> Expr:
        """An element of a whole-batch operand; its batch dimensions broadcast."""
        batch = (Var(a.name) for a in self.batch)
        here = (ZERO if e == 1 else b for e, b in zip(x.shape[: len(self.batch)], batch, strict=True))
        return load(x, *here, *head, *index)


def _scores(
    q: Operand, k: Operand, mask: Operand | None, target: Operand, over: _Axes, attributes: Attributes
) -> Kernel:
    product = apply(
        "mul", over.element(q, over.query_head, over.t, over.e), over.element(k, over.key_head, over.s, over.e)
    )
    statement, total = reduce("total", "sum", (over.width,), product)
    value = apply("mul", total, _scale(attributes, q.shape[-1], total.dtype))
    outside = number(-math.inf, value.dtype)
    place = (*over.lead, over.t, over.s)
    if attributes.get("causal", False):
        value = select(apply("le", over.s, over.t), value, outside)
    if mask is not None:
        here = load_broadcast(mask, place)
        value = select(here, value, outside) if mask.dtype == BOOL else apply("add", value, cast(here, value.dtype))
    box = (*over.free, over.key, over.width)
    return kernel("attention.scores", box, (q, k, mask), (target,), [statement, store(target, place, value)])


def _lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
    q, k, v = (present(x, "attention") for x in args[:3])
    mask = args[3] if len(args) > 3 else None
    (y,) = results
    over = _Axes(q, k, v, y)
    scores = Operand(f"{y.name}.scores", compute_type(q.dtype), (*y.shape[:-1], k.shape[-2]))
    first = _scores(q, k, mask, scores, over, a)
    softmax = softmax_stages(scores, len(scores.shape) - 1, y.name, masked=True)
    power = load(softmax.powers, *over.lead, over.t, over.s)
    product = apply("mul", power, over.element(v, over.key_head, over.s, over.o))
    statement, total = reduce("total", "sum", (over.key,), product)
    sums = load(softmax.sums, *over.lead, over.t)
    zero = number(0, sums.dtype)
    # A row whose every key is masked has the sum 0, and attends to nothing.
    value = select(apply("eq", sums, zero), zero, apply("div", total, sums))
    last = kernel(
        "attention",
        (*over.free, over.out, over.key),
        (softmax.powers, softmax.sums, v),
        results,
        [statement, store(y, (*over.lead, over.t, over.o), value)],
    )
    return (first, *softmax.kernels, last)


OPERATORS: tuple[Operator, ...] = (
    Operator(
        "attention",
        "(q, k, v, mask | None) {causal, scale}",
        "softmax(q kᵀ * scale + mask) v over [..., head, position, width]; heads of q may share those of k and v; a bool "
        "mask keeps, causal keeps keys up to the query's own position; 0 where nothing is kept",
        _infer,
        _evaluate,
        _lower,
    ),
)
