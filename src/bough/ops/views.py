"""Operators that move elements without computing: reshape, permute, slices, joins, padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bough.base.errors import InternalError
from bough.ir.expr import (
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
    agree,
    axes,
    broadcast,
    concrete,
    guard,
    kernel,
    move,
    normal_axis,
    number,
    plus,
    point,
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


def _reshaped(x: Shape, a: Attributes) -> Shape:
    shape: Shape = a["shape"]
    agree(times(x), times(shape), "reshape")
    return shape


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
    taken: Array = np.take(x, start + step * np.arange(shape[axis]), axis)
    return taken


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
        inside = apply(comparison, sub(i[-1], i[-2]), as_expr(a.get("diagonal", 0)))
        return guard([inside], element, number(0, element.dtype))

    return view(
        name, "(x) {diagonal}", summary, lambda x, a: x, lambda x, a, _: meaning(x, a.get("diagonal", 0)), value
    )


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


OPERATORS: tuple[Operator, ...] = (
    reindexed("copy", "(x)", "the same elements in a tensor of its own",
              lambda x, a: x, lambda x, a, _: x.copy(), lambda x, i, a: i),
    reindexed("reshape", "(x) {shape}", "the same elements in row-major order under another shape",
              _reshaped, lambda x, a, shape: x.reshape(shape),
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
    Operator("concat", "(x, ...) {axis}", "tensors joined along an axis", _concat_infer, _concat_evaluate, _concat_lower),
)  # fmt: skip
