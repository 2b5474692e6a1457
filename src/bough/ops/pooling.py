"""Pooling and resampling over the trailing spatial dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bough.base.errors import InternalError
from bough.ir.evaluate import evaluate as evaluate_expression
from bough.ir.expr import (
    Const,
    Expr,
    Extent,
    Var,
    add,
    apply,
    as_expr,
    as_extent,
    floordiv,
    maximum,
    minimum,
    mul,
    select,
    sub,
)
from bough.ir.functions import reduction_unit
from bough.ir.kernel import Axis, Kernel, Operand, Reduction, Statement
from bough.ir.program import TensorType
from bough.ops.building import (
    axes,
    cast,
    guard,
    kernel,
    load,
    move,
    number,
    per_dimension,
    plus,
    point,
    reduce,
    store,
    within,
)
from bough.ops.operator import Array, Arrays, Attributes, Infer, Operands, Operator, Types, present
from bough.ops.windows import sliding_windows


@dataclass(frozen=True)
class Windows:
    """The attributes of a pooling, one number per spatial dimension."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil: bool

    @staticmethod
    def of(a: Attributes) -> Windows:
        size = tuple(a["window"])
        rank = len(size)
        return Windows(
            size,
            per_dimension(a.get("stride") or size, rank),
            per_dimension(a.get("padding", 0), rank),
            per_dimension(a.get("dilation", 1), rank),
            bool(a.get("ceil_mode", False)),
        )

    @property
    def rank(self) -> int:
        return len(self.size)

    def reach(self, d: int) -> int:
        """Elements between the first and the last of a window, both included."""
        return self.dilation[d] * (self.size[d] - 1) + 1

    def count(self, n: Extent, d: int) -> Extent:
        """The number of windows over n elements: with `ceil` a last one may hang over, but must start on an element."""
        p, s = self.padding[d], self.stride[d]
        room = add(as_expr(n), 2 * p - self.reach(d))
        if not self.ceil:
            return plus(as_extent(floordiv(room, s)), 1)
        whole = add(floordiv(add(room, s - 1), s), 1)
        if isinstance(whole, Const) and isinstance(n, int):
            windows = int(whole.value)
            return windows - 1 if (windows - 1) * s >= n + p else windows
        late = apply("ge", mul(sub(whole, 1), s), add(as_expr(n), p))
        return select(late, sub(whole, 1), whole)

    def covered(self, n: Extent, d: int) -> Expr:
        """Elements from the first of the first window to the last of the last one."""
        return add(mul(sub(as_expr(self.count(n, d)), 1), self.stride[d]), self.reach(d))

    def plain(self, d: int) -> bool:
        """Whether every window lies inside the input, whatever its size."""
        return self.padding[d] == 0 and not self.ceil


def _infer(name: str) -> Infer:
    def infer(types: Types, a: Attributes) -> tuple[TensorType, ...]:
        x: TensorType = present(types[0], name)
        w = Windows.of(a)
        lead = x.rank - w.rank
        return (TensorType(x.dtype, (*x.shape[:lead], *(w.count(e, d) for d, e in enumerate(x.shape[lead:])))),)

    return infer


def _int(e: Extent) -> int:
    e = as_extent(e)
    if not isinstance(e, int):
        raise InternalError("pooling: an evaluation needs concrete sizes")
    return e


def _lowest(x: Array) -> float | int:
    return -np.inf if x.dtype.kind == "f" else int(np.iinfo(x.dtype).min)


def _windows(x: Array, w: Windows, fill: float | int) -> Array:
    """All windows of x, their own dimensions last; `fill` outside x."""
    lead = x.ndim - w.rank
    after = [_int(w.covered(x.shape[lead + d], d)) - x.shape[lead + d] - w.padding[d] for d in range(w.rank)]
    pads = [(0, 0)] * lead + [(p, max(e, 0)) for p, e in zip(w.padding, after)]
    padded = np.pad(x, pads, constant_values=fill)
    return sliding_windows(padded, w.size, w.stride, w.dilation)


def _axes_behind(rank: int) -> tuple[int, ...]:
    return tuple(range(-rank, 0))


class _Sweep:
    """The axes of a kernel that moves windows over x: free `i`, inside the window `k`; x padded first where need be."""

    def __init__(self, name: str, x: Operand, y: Operand, w: Windows, fill: float | int) -> None:
        self.free = axes("i", y.shape)
        self.inside = axes("k", w.size)
        self.i = point(self.free)
        self.before: tuple[Kernel, ...] = ()
        lead = len(y.shape) - w.rank
        if not all(w.plain(d) for d in range(w.rank)):
            self.before, x = self._pad(name, x, y, w, fill)
        moved = [
            add(mul(i, s), mul(Var(k.name), d))
            for i, k, s, d in zip(self.i[lead:], self.inside, w.stride, w.dilation, strict=True)
        ]
        self.source = x
        self.element = load(x, *self.i[:lead], *moved)

    def _pad(
        self, name: str, x: Operand, y: Operand, w: Windows, fill: float | int
    ) -> tuple[tuple[Kernel, ...], Operand]:
        lead = len(y.shape) - w.rank
        room = [2 * w.padding[d] + (w.stride[d] - 1 if w.ceil else 0) for d in range(w.rank)]
        shape = (*x.shape[:lead], *(plus(e, r) for e, r in zip(x.shape[lead:], room)))
        padded = Operand(f"{y.name}.padded", x.dtype, shape)
        over = axes("i", shape)
        i = point(over)
        index = list(i)
        conditions: list[Expr] = []
        for d, low, r in zip(range(lead, len(shape)), w.padding, room):
            index[d] = sub(i[d], low)
            conditions += within(i[d], low, x.shape[d], r - low)
        value = guard(conditions, move(x, index), number(fill, x.dtype))
        return (kernel(f"{name}.padded", over, (x,), (padded,), [store(padded, i, value)]),), padded


# --- max_pool ---


def _max_evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x: Array = present(arrays[0], "max_pool")
    w = Windows.of(a)
    return (_windows(x, w, _lowest(x)).max(_axes_behind(w.rank)),)


def _max_lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
    x, (y,) = present(args[0], "max_pool"), results
    w = Windows.of(a)
    lowest = reduction_unit("max", x.dtype)
    sweep = _Sweep("max_pool", x, y, w, lowest)
    statement, best = reduce("best", "max", sweep.inside, sweep.element)
    body: list[Statement] = [statement, store(y, sweep.i, best)]
    return (*sweep.before, kernel("max_pool", (*sweep.free, *sweep.inside), (sweep.source,), results, body))


# --- avg_pool ---


def _window_count(i: Expr, n: Extent, w: Windows, d: int, include_pad: bool) -> Expr:
    """How many elements window `i` of a dimension is divided by."""
    if w.plain(d) or (include_pad and not w.ceil):
        return Const(w.size[d])
    p, size = w.padding[d], as_expr(n)
    start = sub(mul(i, w.stride[d]), p)
    end = minimum(add(start, w.size[d]), add(size, p))
    if not include_pad:
        start, end = maximum(start, 0), minimum(end, size)
    return sub(end, start)


def _avg_evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    x: Array = present(arrays[0], "avg_pool")
    w = Windows.of(a)
    y = _windows(x, w, 0).sum(_axes_behind(w.rank))
    if a.get("divisor"):
        return (y / x.dtype.type(a["divisor"]),)
    lead = y.ndim - w.rank
    counts = np.ones((1,) * w.rank, np.int64)
    for d in range(w.rank):
        e = _window_count(Var("i"), x.shape[lead + d], w, d, a.get("count_include_pad", True))
        along = np.arange(y.shape[lead + d]).reshape([-1 if n == d else 1 for n in range(w.rank)])
        counts = counts * evaluate_expression(e, {"i": along})
    return (y / counts.astype(x.dtype),)


def _avg_lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
    x, (y,) = present(args[0], "avg_pool"), results
    w = Windows.of(a)
    sweep = _Sweep("avg_pool", x, y, w, 0)
    statement, total = reduce("total", "sum", sweep.inside, sweep.element)
    count: Expr = Const(a.get("divisor") or 1)
    if not a.get("divisor"):
        lead = len(y.shape) - w.rank
        for d in range(w.rank):
            here = _window_count(sweep.i[lead + d], x.shape[lead + d], w, d, a.get("count_include_pad", True))
            count = mul(count, here)
    body: list[Statement] = [statement, store(y, sweep.i, apply("div", total, cast(count, total.dtype)))]
    return (*sweep.before, kernel("avg_pool", (*sweep.free, *sweep.inside), (sweep.source,), results, body))


# --- adaptive pooling ---


def _adaptive(name: str, summary: str, op: Reduction) -> Operator:
    """Pooling to a given size: window i of o over n elements is floor(i n / o) .. ceil((i + 1) n / o)."""

    def sizes(x: Sequence[Extent], a: Attributes) -> tuple[tuple[Extent, ...], tuple[Extent, ...]]:
        lead = len(x) - len(a["size"])
        return tuple(x[:lead]), tuple(e if o is None else o for e, o in zip(x[lead:], a["size"], strict=True))

    def infer(types: Types, a: Attributes) -> tuple[TensorType, ...]:
        x: TensorType = present(types[0], name)
        lead, out = sizes(x.shape, a)
        return (TensorType(x.dtype, (*lead, *out)),)

    def evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
        x: Array = present(arrays[0], name)
        combine = np.mean if op == "sum" else np.max
        for axis in range(x.ndim - len(a["size"]), x.ndim):
            n, o = x.shape[axis], _int(results[0].shape[axis])
            parts = [x.take(range(i * n // o, -(-(i + 1) * n // o)), axis) for i in range(o)]
            x = np.stack([combine(part, axis) for part in parts], axis)
        return (x,)

    def lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
        x, (y,) = present(args[0], name), results
        free = axes("i", y.shape)
        i = point(free)
        lead = len(y.shape) - len(a["size"])
        index, conditions = list(i), []
        inside: list[Axis] = []
        count: Expr = Const(1)
        for d in range(lead, len(y.shape)):
            n, o = as_expr(x.shape[d]), as_expr(y.shape[d])
            if n == o:
                continue
            k = f"k{len(inside)}"
            whole = floordiv(n, o)
            if o == Const(1) or (isinstance(n, Const) and isinstance(o, Const) and n.value % o.value == 0):
                inside.append(Axis(k, as_extent(whole)))
                index[d] = add(mul(i[d], whole), Var(k))
                count = mul(count, whole)
                continue
            start = floordiv(mul(i[d], n), o)
            length = sub(floordiv(sub(add(mul(add(i[d], 1), n), o), 1), o), start)
            inside.append(Axis(k, plus(as_extent(floordiv(sub(add(n, o), 1), o)), 1)))
            index[d] = add(start, Var(k))
            conditions.append(apply("lt", Var(k), length))
            count = mul(count, length)
        value = load(x, *index)
        body: list[Statement] = []
        if inside:
            unit = number(reduction_unit(op, value.dtype), value.dtype)
            statement, value = reduce("total", op, inside, guard(conditions, value, unit))
            body.append(statement)
        if op == "sum" and count != Const(1):
            value = apply("div", value, cast(count, value.dtype))
        return (kernel(name, (*free, *inside), args, results, [*body, store(y, i, value)]),)

    return Operator(name, "(x) {size}", summary, infer, evaluate, lower)


OPERATORS: tuple[Operator, ...] = (
    Operator("max_pool", "(x) {window, stride, padding, dilation, ceil_mode}", "largest element of each window",
             _infer("max_pool"), _max_evaluate, _max_lower),
    Operator("avg_pool", "(x) {window, stride, padding, ceil_mode, count_include_pad, divisor}", "mean of each window",
             _infer("avg_pool"), _avg_evaluate, _avg_lower),
    _adaptive("adaptive_avg_pool", "mean over windows that divide each dimension into size[d] parts", "sum"),
    _adaptive("adaptive_max_pool", "largest element of windows that divide each dimension into size[d] parts", "max"),
)  # fmt: skip
