"""Scalar expressions: the part that kernels, loops, shapes and instructions share.

Five nodes. All are immutable and compared by structure; index arithmetic is ordinary arithmetic on `i64`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Union

from bough.ir.dtypes import BOOL, F32, I64, DType


@dataclass(frozen=True, slots=True)
class Const:
    """A literal. Floats are Python floats (inf and nan included), exactly representable in `dtype` or rounded to it.

    Equal where the bits are: 0.0 is not -0.0, nan is nan.
    """

    value: float | int | bool
    dtype: DType = I64

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Const) or self.dtype != other.dtype:
            return False
        a, b = self.value, other.value
        return (a != 0 or math.copysign(1, a) == math.copysign(1, b)) if a == b else (a != a and b != b)

    def __hash__(self) -> int:
        return hash((self.value if self.value == self.value else None, self.dtype))


@dataclass(frozen=True, slots=True)
class Var:
    """A named scalar: an axis, a symbolic size, a loop variable (all `i64`), or a local defined by a `Let`."""

    name: str
    dtype: DType = I64


@dataclass(frozen=True, slots=True)
class Load:
    """One element of an operand or buffer. The index lies inside it wherever the value is used (see `select`)."""

    source: str
    index: tuple["Expr", ...]
    dtype: DType = F32


@dataclass(frozen=True, slots=True)
class Apply:
    """A function of the table in `bough.ir.functions`. `select(c, a, b)` does not evaluate the branch not taken."""

    function: str
    args: tuple["Expr", ...]
    dtype: DType


@dataclass(frozen=True, slots=True)
class Cast:
    """Conversion: float to int truncates, wider float to narrower rounds to nearest even, anything to bool tests != 0."""

    value: "Expr"
    dtype: DType


Expr = Union[Const, Var, Load, Apply, Cast]
Extent = Union[int, Expr]
"""The size of an axis or dimension: a number, or an `i64` expression over symbolic sizes."""


def as_expr(value: "Expr | int") -> Expr:
    """An extent or index as an expression."""
    return Const(value) if isinstance(value, int) else value


def as_extent(value: Extent) -> Extent:
    """The plain number where the expression is a constant."""
    return value.value if isinstance(value, Const) and isinstance(value.value, int) else value


COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})


def apply(function: str, *args: Expr) -> Expr:
    """`Apply` with the result type worked out: comparisons and tests give bool, everything else its value operand's type.

    Integer constants fold, and the units of `add` and `mul` on `i64` vanish, so that index arithmetic stays readable.
    """
    if function in COMPARISONS or function in ("isnan", "isinf"):
        dtype = BOOL
    elif function == "select":
        dtype = args[1].dtype
    else:
        dtype = args[0].dtype
    if dtype is I64 or dtype == I64:
        folded = _fold_index(function, args)
        if folded is not None:
            return folded
    return Apply(function, args, dtype)


def _fold_index(function: str, args: tuple[Expr, ...]) -> Expr | None:
    if len(args) != 2:
        return None
    a, b = args
    if isinstance(a, Const) and isinstance(b, Const):
        x, y = int(a.value), int(b.value)
        match function:
            case "add": return Const(x + y)
            case "sub": return Const(x - y)
            case "mul": return Const(x * y)
            case "min": return Const(min(x, y))
            case "max": return Const(max(x, y))
            case "floordiv" if y: return Const(x // y)
            case "mod" if y: return Const(x % y)
            case _: return None  # fmt: skip
    match function:
        case "add":
            if a == Const(0): return b
            if b == Const(0): return a
        case "sub":
            if b == Const(0): return a
        case "mul":
            if a == Const(0) or b == Const(0): return Const(0)
            if a == Const(1): return b
            if b == Const(1): return a
        case "floordiv":
            if b == Const(1): return a
        case "mod":
            if b == Const(1): return Const(0)
        case _:
            pass  # fmt: skip
    return None


def add(a: Expr | int, b: Expr | int) -> Expr:
    return apply("add", as_expr(a), as_expr(b))


def sub(a: Expr | int, b: Expr | int) -> Expr:
    return apply("sub", as_expr(a), as_expr(b))


def mul(a: Expr | int, b: Expr | int) -> Expr:
    return apply("mul", as_expr(a), as_expr(b))


def floordiv(a: Expr | int, b: Expr | int) -> Expr:
    return apply("floordiv", as_expr(a), as_expr(b))


def ceildiv(a: Expr | int, b: int) -> Expr:
    return floordiv(add(a, b - 1), b)


def mod(a: Expr | int, b: Expr | int) -> Expr:
    return apply("mod", as_expr(a), as_expr(b))


def minimum(a: Expr | int, b: Expr | int) -> Expr:
    return apply("min", as_expr(a), as_expr(b))


def maximum(a: Expr | int, b: Expr | int) -> Expr:
    return apply("max", as_expr(a), as_expr(b))


def select(condition: Expr, a: Expr, b: Expr) -> Expr:
    return apply("select", condition, a, b)


def children(e: Expr) -> tuple[Expr, ...]:
    """The operands of an expression."""
    match e:
        case Load(_, index, _): return index
        case Apply(_, args, _): return args
        case Cast(value, _): return (value,)
        case _: return ()  # fmt: skip


def rebuild(e: Expr, new: tuple[Expr, ...]) -> Expr:
    """The same node over other operands; the same object where they are the same objects. Index arithmetic folds."""
    old = children(e)
    if len(old) == len(new) and all(a is b for a, b in zip(old, new)):
        return e
    match e:
        case Load(source, _, dtype): return Load(source, new, dtype)
        case Apply(function, _, dtype):
            if dtype == I64:
                folded = _fold_index(function, new)
                if folded is not None:
                    return folded
            return Apply(function, new, dtype)
        case Cast(_, dtype): return Cast(new[0], dtype)
        case _: return e  # fmt: skip


def substitute(e: Expr, values: dict[str, Expr]) -> Expr:
    """Replaces variables by expressions; returns the same object where nothing changed."""
    if isinstance(e, Var):
        return values.get(e.name, e)
    kids = children(e)
    if not kids:
        return e
    return rebuild(e, tuple(substitute(k, values) for k in kids))


def variables(e: Expr, into: set[str] | None = None) -> set[str]:
    """The names of all variables in an expression."""
    found: set[str] = set() if into is None else into
    if isinstance(e, Var):
        found.add(e.name)
    for k in children(e):
        variables(k, found)
    return found


def loads(e: Expr) -> list[Load]:
    """All loads in an expression, outermost first, repeated where they stand repeatedly."""
    found: list[Load] = [e] if isinstance(e, Load) else []
    for k in children(e):
        found.extend(loads(k))
    return found
