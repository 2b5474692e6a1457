"""Parts from which the kernels of operators are built: axes, loads that widen 16-bit floats, broadcasting, extents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bough.base.errors import InternalError
from bough.ir.dtypes import BF16, F16, F32, DType
from bough.ir.expr import Cast, Const, Expr, Extent, Load, Var, add, apply, as_expr, as_extent, loads, mul, sub
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Reduction, Statement, Store
from bough.ir.program import TensorType

ZERO = Const(0)


def compute_type(dtype: DType) -> DType:
    """The type in which values of `dtype` are computed: 16-bit floats in f32, everything else as it is."""
    return F32 if dtype in (BF16, F16) else dtype


def axes(prefix: str, extents: Iterable[Extent]) -> tuple[Axis, ...]:
    """Axes `prefix0, prefix1, ...` with these extents."""
    return tuple(Axis(f"{prefix}{n}", e) for n, e in enumerate(extents))


def point(over: Iterable[Axis]) -> tuple[Expr, ...]:
    """The index variables of axes."""
    return tuple(Var(a.name) for a in over)


def load(operand: Operand, *index: Expr | int) -> Expr:
    """One element, in the type that it is computed in."""
    return cast(Load(operand.name, tuple(as_expr(i) for i in index), operand.dtype), compute_type(operand.dtype))


def move(operand: Operand, index: Sequence[Expr]) -> Load:
    """One element as it is: where nothing is computed, 16-bit floats need not be widened."""
    return Load(operand.name, tuple(index), operand.dtype)


def cast(value: Expr, dtype: DType) -> Expr:
    """The value in `dtype`; the same expression where it has that type."""
    if value.dtype == dtype:
        return value
    return Const(float(value.value), dtype) if isinstance(value, Const) and dtype.is_float else Cast(value, dtype)


def store(operand: Operand, index: Sequence[Expr | int], value: Expr) -> Store:
    """Stores a value, rounded to the operand's type."""
    return Store(operand.name, tuple(as_expr(i) for i in index), cast(value, operand.dtype))


def load_broadcast(operand: Operand, index: Sequence[Expr]) -> Expr:
    """The element that NumPy broadcasting puts at `index` of a result of the same or a higher rank."""
    skip = len(index) - len(operand.shape)
    return load(operand, *(ZERO if e == 1 else i for e, i in zip(operand.shape, index[skip:], strict=True)))


def kernel(
    name: str,
    over: Sequence[Axis],
    arguments: Iterable[Operand | None],
    outputs: Sequence[Operand],
    body: Sequence[Statement],
) -> Kernel:
    """A kernel whose inputs are those of `arguments` that its body and its axes' extents load, in order and once each."""
    read = [*(e for s in body for e in _expressions(s)), *(as_expr(a.extent) for a in over)]
    used = {ld.source for e in read for ld in loads(e)}
    inputs = {a.name: a for a in arguments if a is not None and a.name in used}
    return Kernel(name, tuple(over), tuple(inputs.values()), tuple(outputs), tuple(body))


def _expressions(s: Statement) -> tuple[Expr, ...]:
    if isinstance(s, Store):
        return (*s.index, s.value)
    return (s.value.body,) if isinstance(s.value, Reduce) else (s.value,)


def reduce(name: str, op: Reduction, over: Sequence[Axis], body: Expr) -> tuple[Let, Expr]:
    """The statement `name = op(over) body` and the local that holds its value."""
    return Let(name, Reduce(op, tuple(a.name for a in over), body)), Var(name, body.dtype)


def let(name: str, value: Expr) -> tuple[Let, Expr]:
    """The statement `name = value` and the local that holds it."""
    return Let(name, value), Var(name, value.dtype)


def number(value: float | int | bool, dtype: DType) -> Const:
    """A literal of `dtype`."""
    if dtype.is_float:
        return Const(float(value), dtype)
    return Const(bool(value) if dtype.kind == "bool" else int(value), dtype)


def scalar(value: Expr | float | int | bool, dtype: DType) -> Expr:
    """A literal or an extent, converted to `dtype`."""
    return number(value, dtype) if isinstance(value, int | float) else cast(value, dtype)


def conjunction(conditions: Sequence[Expr]) -> Expr | None:
    """All of them; None where there is none."""
    result: Expr | None = None
    for c in conditions:
        result = c if result is None else apply("and", result, c)
    return result


def guard(conditions: Sequence[Expr], value: Expr, otherwise: Expr) -> Expr:
    """`value` where all conditions hold; without conditions just `value`."""
    condition = conjunction(conditions)
    return value if condition is None else apply("select", condition, value, otherwise)


def within(at: Expr, low: int, size: Extent, high: int) -> list[Expr]:
    """What must be tested for position `at` of a padded dimension to lie on one of the `size` elements that have `low`
    more before and `high` more behind them."""
    after = [apply("lt", at, add(as_expr(size), low))] if high > 0 else []
    return [apply("ge", at, Const(low)), *after] if low > 0 else after


def plus(a: Extent, b: Extent) -> Extent:
    """The sum of two extents."""
    return as_extent(add(a, b))


def minus(a: Extent, b: Extent) -> Extent:
    """The difference of two extents."""
    return as_extent(sub(a, b))


def times(extents: Iterable[Extent]) -> Extent:
    """The product of extents, 1 for none."""
    result: Expr = Const(1)
    for e in extents:
        result = mul(result, e)
    return as_extent(result)


def affine(*terms: tuple[Expr | int, Extent]) -> Expr:
    """The sum of `index * factor`."""
    result: Expr = ZERO
    for index, factor in terms:
        result = add(result, mul(index, as_expr(factor)))
    return result


def normal_axis(axis: int, rank: int, op: str) -> int:
    """The axis counted from the front."""
    if not -rank <= axis < rank:
        raise InternalError(f"{op}: axis {axis} of a tensor of rank {rank}")
    return axis % rank


def normal_axes(given: Sequence[int] | int | None, rank: int, op: str) -> tuple[int, ...]:
    """Axes counted from the front in rising order; None means all of them."""
    if given is None:
        return tuple(range(rank))
    if isinstance(given, int):
        given = (given,)
    found = sorted({normal_axis(a, rank, op) for a in given})
    if len(found) != len(given):
        raise InternalError(f"{op}: axes {tuple(given)} name a dimension twice")
    return tuple(found)


def agree(a: Extent, b: Extent, op: str) -> Extent:
    """What both are. Raises InternalError for two numbers that differ; a symbolic extent is taken as equal to what it meets,
    and a number wins."""
    if isinstance(a, int) and isinstance(b, int) and a != b:
        raise InternalError(f"{op}: sizes {a} and {b} should be equal")
    return b if isinstance(b, int) else a


def broadcast(shapes: Sequence[Sequence[Extent]], op: str) -> tuple[Extent, ...]:
    """NumPy's broadcast shape. A symbolic extent is taken as equal to what it meets, unless that is 1; a number wins."""
    rank = max((len(s) for s in shapes), default=0)
    result: list[Extent] = [1] * rank
    for shape in shapes:
        for d, e in enumerate(shape, rank - len(shape)):
            have = result[d]
            if have == 1 or (isinstance(e, int) and e != 1 and not isinstance(have, int)):
                result[d] = e
            elif isinstance(have, int) and isinstance(e, int) and e not in (1, have):
                raise InternalError(f"{op}: shapes {[tuple(map(str, s)) for s in shapes]} do not broadcast")
    return tuple(result)


def per_dimension(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """A number per spatial dimension, from one for all or one for each."""
    given = (value,) if isinstance(value, int) else tuple(value)
    if len(given) == 1:
        given *= rank
    if len(given) != rank:
        raise InternalError(f"{value} does not give a number for each of {rank} dimensions")
    return given


def concrete(result: TensorType) -> tuple[int, ...]:
    """The sizes of a result type that an evaluation was given."""
    if not all(isinstance(e, int) for e in result.shape):
        raise InternalError("an evaluation needs result types with concrete shapes")
    return tuple(e for e in result.shape if isinstance(e, int))
