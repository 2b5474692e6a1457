"""Operators that move elements without computing: reshape, permute, slices, joins, padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bough.base.errors import InternalError
from bough.ir.expr import (
    Const,
    Expr,
    Extent,
    add,
    apply,
    as_expr,
    as_extent,
    floordiv,
    maximum,
    minimum,
    mod,
    mul,
    sub,
)
from bough.ir.kernel import Kernel, Operand
from bough.ir.program import TensorType
from bough.ops.building import (
    ZERO,
    axes,
    broadcast,
    cast,
    compute_type,
    guard,
    kernel,
    move,
    normal_axis,
    number,
    plus,
    point,
    scalar,
    store,
    times,
)
from bough.ops.operator import Array, Arrays, Attributes, Operands, Operator, Types, present
from bough.ops.reshape import reshape_index

Shape = tuple[Extent, ...]
Value = Callable[[Operand, tuple[Expr, ...], Attributes], Expr]


def view(
    name: str,
    signature: str,
    summary: str,
    shape: Callable[[Shape, Attributes], Shape],
    meaning: Callable[[Array, Attributes, tuple[int, ...]], Array],
    value: Value,
) -> Operator:
    """An operator of one argument: the result's shape, its meaning given that shape, the element at an index of it."""

    def infer(types: Types, attributes: Attributes) -> tuple[TensorType, ...]:
        x: TensorType = present(types[0], name)
        return (TensorType(x.dtype, tuple(as_extent(e) for e in shape(x.shape, attributes))),)

    def evaluate(arrays: Arrays, attributes: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
        return (meaning(present(arrays[0], name), attributes, concrete(results[0])),)

    def lower(args: Operands, results: Sequence[Operand], attributes: Attributes) -> tuple[Kernel, ...]:
        x, (y,) = present(args[0], name), results
        over = axes("i", y.shape)
        i = point(over)
        return (kernel(name, over, args, results, [store(y, i, value(x, i, attributes))]),)

    return Operator(name, signature, summary, infer, evaluate, lower)


def concrete(result: TensorType) -> tuple[int, ...]:
    """The sizes of a result type that an evaluation was given."""
    if not all(isinstance(e, int) for e in result.shape):
        raise InternalError("an evaluation needs result types with concrete shapes")
    return tuple(e for e in result.shape if isinstance(e, int))


def reindexed(
    name: str,
    signature: str,
    summary: str,
    shape: Callable[[Shape, Attributes], Shape],
    meaning: Callable[[Array, Attributes, tuple[int, ...]], Array],
    source: Callable[[Shape, tuple[Expr, ...], Attributes], Sequence[Expr]],
) -> Operator:
    """A view whose every element is the one at `source(shape of x, index, attributes)`."""
    return view(name, signature, summary, shape, meaning, lambda x, i, a: move(x, source(x.shape, i, a)))


# --- slices, flips, rolls ---


def _slice_shape(x: Shape, a: Attributes) -> Shape:
    axis = normal_axis(a["axis"], len(x), "slice")
    length = sub(as_expr(a["stop"]), as_expr(a["start"]))
    step: int = a.get("step", 1)
    size = as_extent(floordiv(add(length, step - 1), step))
    return tuple(size if d == axis else e for d, e in enumerate(x))


def _slice_meaning(x: Array, a: Attributes, shape: tuple[int, ...]) -> Array:
    axis, step = a["axis"] % x.ndim, a.get("step", 1)
    start = as_extent(a["start"])
    if not isinstance(start, int):
        raise InternalError("slice: an evaluation needs a concrete start")
    return x.take(start + step * np.arange(shape[axis]), axis)


def _slice_source(x: Shape, i: tuple[Expr, ...], a: Attributes) -> list[Expr]:
    axis = normal_axis(a["axis"], len(x), "slice")
    return [add(as_expr(a["start"]), mul(v, a.get("step", 1))) if d == axis else v for d, v in enumerate(i)]


def _axes_of(a: Attributes, rank: int, op: str) -> list[int]:
    return [normal_axis(axis, rank, op) for axis in a["axes"]]


def _flip_source(x: Shape, i: tuple[Expr, ...], a: Attributes) -> list[Expr]:
    flipped = _axes_of(a, len(x), "flip")
    return [sub(sub(as_expr(x[d]), 1), v) if d in flipped else v for d, v in enumerate(i)]


def _roll_source(x: Shape, i: tuple[Expr, ...], a: Attributes) -> list[Expr]:
    result = list(i)
    for axis, shift in zip(_axes_of(a, len(x), "roll"), a["shifts"], strict=True):
        result[axis] = mod(sub(result[axis], shift), as_expr(x[axis]))
    return result


def _repeat_shape(x: Shape, a: Attributes) -> Shape:
    skip = len(a["repeats"]) - len(x)
    return tuple(times((e, r)) for e, r in zip((*((1,) * skip), *x), a["repeats"], strict=True))


def _repeat_source(x: Shape, i: tuple[Expr, ...], a: Attributes) -> list[Expr]:
    skip = len(i) - len(x)
    repeats = a["repeats"][skip:]
    return [
        ZERO if e == 1 else v if r == 1 else mod(v, as_expr(e)) for e, v, r in zip(x, i[skip:], repeats, strict=True)
    ]


def _permute_source(x: Shape, i: tuple[Expr, ...], a: Attributes) -> list[Expr]:
    order = [normal_axis(d, len(x), "permute") for d in a["order"]]
    return [i[order.index(d)] for d in range(len(x))]


def _expand_shape(x: Shape, a: Attributes) -> Shape:
    skip = len(a["shape"]) - len(x)
    return tuple(x[d - skip] if d >= skip and e == -1 else e for d, e in enumerate(a["shape"]))


# --- diagonals ---


def _diagonal_axes(rank: int, a: Attributes) -> tuple[int, int]:
    return normal_axis(a.get("axis1", 0), rank, "diagonal"), normal_axis(a.get("axis2", 1), rank, "diagonal")


def _diagonal_shape(x: Shape, a: Attributes) -> Shape:
    first, second = _diagonal_axes(len(x), a)
    offset: int = a.get("offset", 0)
    rows = add(as_expr(x[first]), min(offset, 0))
    columns = sub(as_expr(x[second]), max(offset, 0))
    size = as_extent(maximum(minimum(rows, columns), 0))
    return (*(e for d, e in enumerate(x) if d not in (first, second)), size)


def _diagonal_source(x: Shape, i: tuple[Expr, ...], a: Attributes) -> list[Expr]:
    first, second = _diagonal_axes(len(x), a)
    offset: int = a.get("offset", 0)
    rest = iter(i[:-1])
    along = {first: add(i[-1], max(-offset, 0)), second: add(i[-1], max(offset, 0))}
    return [along[d] if d in along else next(rest) for d in range(len(x))]


def _triangle(name: str, summary: str, comparison: str, meaning: Callable[..., Array]) -> Operator:
    def value(x: Operand, i: tuple[Expr, ...], a: Attributes) -> Expr:
        element = move(x, i)
        inside = apply(comparison, sub(i[-1], i[-2]), Const(a.get("diagonal", 0)))
        return guard([inside], element, number(0, element.dtype))

    return view(
        name, "(x) {diagonal}", summary, lambda x, a: x, lambda x, a, _: meaning(x, a.get("diagonal", 0)), value
    )


# --- padding ---


def _pad_shape(x: Shape, a: Attributes) -> Shape:
    return tuple(plus(e, plus(low, high)) for e, low, high in zip(x, a["low"], a["high"], strict=True))


def _pad_meaning(x: Array, a: Attributes, shape: tuple[int, ...]) -> Array:
    low: tuple[int, ...] = a["low"]
    mode = a.get("mode", "constant")
    grids = [np.arange(n) - before for n, before in zip(shape, low, strict=True)]
    if mode == "constant":
        inside = [(g >= 0) & (g < n) for g, n in zip(grids, x.shape, strict=True)]
        result = np.full(shape, a.get("value", 0), x.dtype)
        result[np.ix_(*inside)] = x[np.ix_(*(g[m] for g, m in zip(grids, inside, strict=True)))]
        return result
    ends = [n - 1 for n in x.shape]
    if mode == "reflect":
        grids = [np.where(abs(g) > end, 2 * end - abs(g), abs(g)) for g, end in zip(grids, ends, strict=True)]
    elif mode == "replicate":
        grids = [g.clip(0, end) for g, end in zip(grids, ends, strict=True)]
    elif mode == "circular":
        grids = [g % (end + 1) for g, end in zip(grids, ends, strict=True)]
    else:
        raise InternalError(f"pad: unknown mode {mode}")
    return x[np.ix_(*grids)]


def _pad_value(x: Operand, i: tuple[Expr, ...], a: Attributes) -> Expr:
    mode = a.get("mode", "constant")
    index, conditions = list(i), []
    for d, (low, high) in enumerate(zip(a["low"], a["high"], strict=True)):
        if low == 0 and high == 0:
            continue
        size, at = as_expr(x.shape[d]), sub(i[d], low)
        last = sub(size, 1)
        if mode == "reflect":
            away = maximum(at, sub(0, at))
            at = minimum(away, sub(mul(last, 2), away))
        elif mode == "replicate":
            at = minimum(maximum(at, 0), last)
        elif mode == "circular":
            at = mod(at, size)
        elif mode == "constant":
            conditions += [apply("ge", at, ZERO)] if not isinstance(low, int) or low > 0 else []
            conditions += [apply("lt", at, size)] if not isinstance(high, int) or high > 0 else []
        else:
            raise InternalError(f"pad: unknown mode {mode}")
        index[d] = at
    element = move(x, index)
    return guard(conditions, element, number(a.get("value", 0), element.dtype))


# --- concat ---


def _concat_infer(types: Types, a: Attributes) -> tuple[TensorType, ...]:
    given: list[TensorType] = [present(t, "concat") for t in types]
    axis = normal_axis(a["axis"], given[0].rank, "concat")
    shape = given[0].shape
    for t in given[1:]:
        joined = plus(shape[axis], t.shape[axis])
        same = broadcast((shape[:axis] + shape[axis + 1 :], t.shape[:axis] + t.shape[axis + 1 :]), "concat")
        shape = (*same[:axis], joined, *same[axis:])
    return (TensorType(given[0].dtype, shape),)


def _concat_evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    return (np.concatenate([present(x, "concat") for x in arrays], a["axis"]),)


def _concat_lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
    (y,) = results
    given: list[Operand] = [present(x, "concat") for x in args]
    axis = normal_axis(a["axis"], len(y.shape), "concat")
    over = axes("i", y.shape)
    i = point(over)
    starts: list[Extent] = [0]
    for x in given:
        starts.append(plus(starts[-1], x.shape[axis]))

    def element(n: int) -> Expr:
        return move(given[n], [sub(v, as_expr(starts[n])) if d == axis else v for d, v in enumerate(i)])

    value = element(len(given) - 1)
    for n in reversed(range(len(given) - 1)):
        value = guard([apply("lt", i[axis], as_expr(starts[n + 1]))], element(n), value)
    return (kernel("concat", over, given, results, [store(y, i, value)]),)


# --- tensors from nothing ---


def _full_infer(types: Types, a: Attributes) -> tuple[TensorType, ...]:
    return (TensorType(a["dtype"], tuple(as_extent(e) for e in a["shape"])),)


def _number_of(value: object, op: str) -> float | int | bool:
    value = as_extent(value) if isinstance(value, Const) else value
    if not isinstance(value, int | float):
        raise InternalError(f"{op}: an evaluation needs concrete numbers")
    return value


def _full_evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    return (np.full(concrete(results[0]), _number_of(a["value"], "full"), compute_type(a["dtype"]).numpy),)


def _full_lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
    (y,) = results
    over = axes("i", y.shape)
    return (kernel("full", over, args, results, [store(y, point(over), scalar(a["value"], y.dtype))]),)


def _iota_infer(types: Types, a: Attributes) -> tuple[TensorType, ...]:
    return (TensorType(a["dtype"], (as_extent(a["size"]),)),)


def _iota_evaluate(arrays: Arrays, a: Attributes, results: tuple[TensorType, ...]) -> tuple[Array, ...]:
    dtype = compute_type(a["dtype"]).numpy
    start, step = (_number_of(a.get(key, n), "iota") for key, n in (("start", 0), ("step", 1)))
    steps = np.arange(concrete(results[0])[0])
    return ((steps.astype(dtype) * dtype.type(step) + dtype.type(start)),)


def _iota_lower(args: Operands, results: Sequence[Operand], a: Attributes) -> tuple[Kernel, ...]:
    (y,) = results
    over = axes("i", y.shape)
    (i,) = point(over)
    dtype = compute_type(y.dtype)
    start, step = scalar(a.get("start", 0), dtype), scalar(a.get("step", 1), dtype)
    value = apply("add", apply("mul", cast(i, dtype), step), start)
    return (kernel("iota", over, args, results, [store(y, (i,), value)]),)


OPERATORS: tuple[Operator, ...] = (
    reindexed("copy", "(x)", "the same elements in a tensor of its own",
              lambda x, a: x, lambda x, a, _: x.copy(), lambda x, i, a: i),
    reindexed("reshape", "(x) {shape}", "the same elements in row-major order under another shape",
              lambda x, a: tuple(a["shape"]), lambda x, a, shape: x.reshape(shape),
              lambda x, i, a: reshape_index(x, tuple(as_extent(e) for e in a["shape"]), i)),
    reindexed("permute", "(x) {order}", "dimension d of the result is dimension order[d] of x",
              lambda x, a: tuple(x[d] for d in a["order"]), lambda x, a, _: x.transpose(a["order"]), _permute_source),
    reindexed("expand", "(x) {shape}", "dimensions of size 1, and new ones in front, repeated to shape; -1 keeps one",
              _expand_shape, lambda x, a, shape: np.broadcast_to(x, shape),
              lambda x, i, a: [ZERO if e == 1 else v for e, v in zip(x, i[len(i) - len(x):], strict=True)]),
    reindexed("slice", "(x) {axis, start, stop, step}", "elements start, start + step, ... below stop along an axis",
              _slice_shape, _slice_meaning, _slice_source),
    reindexed("flip", "(x) {axes}", "reversed along axes",
              lambda x, a: x, lambda x, a, _: np.flip(x, a["axes"]), _flip_source),
    reindexed("roll", "(x) {shifts, axes}", "moved cyclically by shifts along axes",
              lambda x, a: x, lambda x, a, _: np.roll(x, a["shifts"], a["axes"]), _roll_source),
    reindexed("repeat", "(x) {repeats}", "tiled repeats[d] times along each dimension",
              _repeat_shape, lambda x, a, _: np.tile(x, a["repeats"]), _repeat_source),
    reindexed("diagonal", "(x) {offset, axis1, axis2}", "the diagonal of two dimensions, as a new last one",
              _diagonal_shape,
              lambda x, a, _: np.diagonal(x, a.get("offset", 0), a.get("axis1", 0), a.get("axis2", 1)), _diagonal_source),
    _triangle("tril", "x on and below a diagonal of the last two dimensions, else 0", "le", np.tril),
    _triangle("triu", "x on and above a diagonal of the last two dimensions, else 0", "ge", np.triu),
    view("pad", "(x) {low, high, value, mode}",
         "low and high more elements around each dimension (fewer where negative); mode constant, reflect, replicate, circular",
         _pad_shape, _pad_meaning, _pad_value),
    Operator("concat", "(x, ...) {axis}", "tensors joined along an axis", _concat_infer, _concat_evaluate, _concat_lower),
    Operator("full", "() {shape, value, dtype}", "one number everywhere", _full_infer, _full_evaluate, _full_lower),
    Operator("iota", "() {size, start, step, dtype}", "start, start + step, ...", _iota_infer, _iota_evaluate, _iota_lower),
)  # fmt: skip
