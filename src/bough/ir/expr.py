"""Scalar expressions: the part that kernels, loops, shapes and instructions share.

Five nodes. All are immutable and compared by structure; index arithmetic is ordinary arithmetic on `i64`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import is_
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
    x = int(a.value) if isinstance(a, Const) and a.dtype == I64 else None
    y = int(b.value) if isinstance(b, Const) and b.dtype == I64 else None
    if x is None and y is None:
        return None
    if x is not None and y is not None:
        return _fold_numbers(function, x, y)
    match function:
        case "add":
            return b if x == 0 else a if y == 0 else None
        case "sub":
            return a if y == 0 else None
        case "mul":
            return Const(0) if x == 0 or y == 0 else b if x == 1 else a if y == 1 else None
        case "floordiv":
            return a if y == 1 else None
        case "mod":
            return Const(0) if y == 1 else None
    return None


def _fold_numbers(function: str, x: int, y: int) -> Const | None:
    match function:
        case "add": return Const(x + y)
        case "sub": return Const(x - y)
        case "mul": return Const(x * y)
        case "min": return Const(min(x, y))
        case "max": return Const(max(x, y))
        case "floordiv" if y: return Const(x // y)
        case "mod" if y: return Const(x % y)
        case _: return None  # fmt: skip


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
    # Passes spend much of their time here, and class patterns take three times as long.
    if isinstance(e, Apply):
        return e.args
    if isinstance(e, Load):
        return e.index
    return (e.value,) if isinstance(e, Cast) else ()


def rebuild(e: Expr, new: tuple[Expr, ...]) -> Expr:
    """The same node over other operands; the same object where they are the same objects. Index arithmetic folds."""
    old = children(e)
    if len(old) == len(new) and all(map(is_, old, new)):
        return e
    if isinstance(e, Apply):
        folded = _fold_index(e.function, new) if e.dtype == I64 else None
        return Apply(e.function, new, e.dtype) if folded is None else folded
    if isinstance(e, Load):
        return Load(e.source, new, e.dtype)
    return Cast(new[0], e.dtype) if isinstance(e, Cast) else e


def substitute(e: Expr, values: dict[str, Expr]) -> Expr:
    """Replaces variables by expressions; returns the same object where nothing changed."""
    if isinstance(e, Var):
        return values.get(e.name, e)
    kids = children(e)
    if not kids:
        return e
    return rebuild(e, tuple([substitute(k, values) for k in kids]))


def variables(e: Expr, into: set[str] | None = None) -> set[str]:
    """The names of all variables in an expression."""
    found: set[str] = set() if into is None else into
    if isinstance(e, Var):
        found.add(e.name)
    else:
        for k in children(e):
            variables(k, found)
    return found


def loads(e: Expr) -> list[Load]:
    """All loads in an expression, outermost first, repeated where they stand repeatedly."""
    found: list[Load] = []
    _add_loads(e, found)
    return found


def _add_loads(e: Expr, found: list[Load]) -> None:
    if isinstance(e, Load):
        found.append(e)
    for k in children(e):
        _add_loads(k, found)


def divides(e: Expr) -> bool:
    """Whether a whole number in an expression is divided by one that may be 0, which stops the program."""
    if isinstance(e, Apply) and e.function in ("floordiv", "mod", "div") and e.dtype.is_integer:
        by = e.args[1]
        if not (isinstance(by, Const) and by.value):
            return True
    return any(map(divides, children(e)))
