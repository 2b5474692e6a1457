"""Scalar expressions as Python source over NumPy values: how the loop interpreter runs them quickly.

Values of `i64` and `bool` that do not vary over vector lanes are Python numbers, all others NumPy scalars, and arrays
over the lanes in vector loops.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bough.base.errors import InternalError
from bough.ir.bfloat import from_bf16, to_bf16
from bough.ir.dtypes import BF16, BOOL, I64, DType
from bough.ir.evaluate import Array, clip_index, compute_type, convert
from bough.ir.expr import Apply, Cast, Const, Expr, Load, Var, children
from bough.ir.functions import FUNCTIONS

_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=",
    "and": "&", "or": "|", "xor": "^",
}  # fmt: skip


@dataclass(slots=True)
class Scope:
    """What the names of the IR are called in the Python source, which of them vary over lanes or are never negative."""

    names: dict[str, str] = field(default_factory=dict)
    varying: frozenset[str] = frozenset()
    natural: frozenset[str] = frozenset()
    lane: str | None = None

    def inner(self) -> Scope:
        return Scope(dict(self.names), self.varying, self.natural, self.lane)

    def varies(self, e: Expr) -> bool:
        return e.name in self.varying if isinstance(e, Var) else any(self.varies(k) for k in children(e))

    def is_natural(self, e: Expr) -> bool:
        """Whether `e` is plainly not negative."""
        match e:
            case Const(value, _):
                return value >= 0
            case Var(name, _):
                return name in self.natural
            case Apply("add" | "mul" | "min" | "max" | "floordiv" | "mod", args, _):
                return all(self.is_natural(a) for a in args)
            case _:
                return False


class ExpressionEmitter:
    """Emits expressions; `namespace` collects the objects that the source refers to."""

    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {
            "row": read_row, "gather": gather, "where": np.where, "outside": outside, "convert": convert,
            "from_bf16": from_bf16, "to_bf16": to_bf16,
        }  # fmt: skip
        self._count = 0

    def fresh(self, hint: str) -> str:
        self._count += 1
        return f"{hint}{self._count}"

    def share(self, hint: str, value: Any) -> str:
        """A name of the namespace for an object."""
        name = self.fresh(hint)
        self.namespace[name] = value
        return name

    def expr(self, e: Expr, scope: Scope, mask: str | None = None) -> str:
        """The source of `e`. `mask` names the lanes whose value counts; loads of the others may lie outside."""
        match e:
            case Const(value, dtype):
                if dtype in (I64, BOOL):
                    return f"({value})"
                return self.share("const", compute_type(dtype).type(value))
            case Var(name, _):
                return scope.names[name]
            case Load():
                loaded = self.load(e, scope, mask)
                return f"from_bf16({loaded})[()]" if e.dtype == BF16 else loaded
            case Cast(value, dtype):
                return self.cast(value, dtype, scope, mask)
            case Apply("select", (condition, a, b), _):
                return self.select(condition, a, b, scope, mask)
            case Apply(function, args, dtype):
                sources = [self.expr(a, scope, mask) for a in args]
                result = self.apply(function, sources, args, scope)
                return f"convert({result}, {self.type(dtype)}, {self.type(dtype)})" if dtype == BF16 else result

    def type(self, dtype: DType) -> str:
        self.namespace[f"type_{dtype}"] = dtype
        return f"type_{dtype}"

    def apply(self, function: str, sources: list[str], args: tuple[Expr, ...], scope: Scope) -> str:
        if (function in _INFIX and args[0].dtype != BOOL) or function in ("and", "or", "xor"):
            return f"({sources[0]} {_INFIX[function]} {sources[1]})"
        plain = args[0].dtype in (I64, BOOL) and not any(scope.varies(a) for a in args)
        if plain and function in ("min", "max"):
            return f"{function}({', '.join(sources)})"
        if plain and function == "not" and args[0].dtype == BOOL:
            return f"(not {sources[0]})"
        if function in ("floordiv", "mod") and isinstance(args[1], Const) and args[1].value and args[0].dtype == I64:
            return f"({sources[0]} {'//' if function == 'floordiv' else '%'} {sources[1]})"
        self.namespace[f"f_{function}"] = FUNCTIONS[function].evaluate
        return f"f_{function}({', '.join(sources)})"

    def cast(self, value: Expr, dtype: DType, scope: Scope, mask: str | None) -> str:
        source = self.expr(value, scope, mask)
        if dtype == BOOL:
            return f"({source} != 0)"
        if dtype == I64 and not value.dtype.is_float and not scope.varies(value):
            return f"int({source})"
        return f"convert({source}, {self.type(value.dtype)}, {self.type(dtype)})"

    def select(self, condition: Expr, a: Expr, b: Expr, scope: Scope, mask: str | None) -> str:
        chosen = self.expr(condition, scope, mask)
        if not scope.varies(condition):
            return f"({self.expr(a, scope, mask)} if {chosen} else {self.expr(b, scope, mask)})"
        name = self.fresh("mask")
        both = f"({name} & {mask})" if mask else name
        neither = f"(~{name} & {mask})" if mask else f"~{name}"
        return f"where(({name} := {chosen}), {self.expr(a, scope, both)}, {self.expr(b, scope, neither)})"

    def load(self, e: Load, scope: Scope, mask: str | None) -> str:
        buffer = scope.names[e.source]
        if mask is None:
            run = self.lane_run(e.index, scope)
            if run is not None:
                return f"row({buffer}, {run[0]}, {run[1]}, {scope.names[scope.lane or '']}.size)"
            if not any(scope.varies(i) for i in e.index):
                return f"{buffer}[{self.index(e.index, scope)}]"
        parts = "".join(f"{self.expr(i, scope, mask)}, " for i in e.index)
        return f"gather({buffer}, ({parts}), {mask})"

    def index(self, index: tuple[Expr, ...], scope: Scope) -> str:
        """A subscript by scalars, which NumPy checks from above and this from below."""
        parts = []
        for i in index:
            source = self.expr(i, scope)
            name = self.fresh("at")
            natural = scope.is_natural(i)
            parts.append(source if natural else f"({name} if ({name} := {source}) >= 0 else outside({name}))")
        return ", ".join(parts) if parts else "()"

    def lane_run(self, index: tuple[Expr, ...], scope: Scope) -> tuple[str, str] | None:
        """(the other indices, the start) where neighbouring lanes are neighbouring elements of the last dimension."""
        if not index or scope.lane is None or any(scope.varies(i) for i in index[:-1]):
            return None
        start = _without_lane(index[-1], scope)
        if start is None:
            return None
        first = self.index(index[:-1], scope)
        return (f"({first},)" if index[:-1] else "()"), self.expr(start, scope)


def _without_lane(e: Expr, scope: Scope) -> Expr | None:
    """`start` where `e` is start + lane."""
    match e:
        case Var(name, _) if name == scope.lane:
            return Const(0)
        case Apply("add", (a, b), dtype):
            for varying, other in ((a, b), (b, a)):
                start = None if scope.varies(other) else _without_lane(varying, scope)
                if start is not None:
                    return Apply("add", (start, other), dtype)
        case Apply("sub", (a, b), dtype) if not scope.varies(b):
            start = _without_lane(a, scope)
            return None if start is None else Apply("sub", (start, b), dtype)
    return None


def outside(index: Any) -> Any:
    raise InternalError(f"index {index} is negative")


def read_row(array: Array, first: tuple[int, ...], start: int, count: int) -> Array:
    """A copy of `count` neighbouring elements of the last dimension."""
    if start < 0 or start + count > array.shape[-1]:
        raise InternalError(f"elements {start} to {start + count} are outside a dimension of size {array.shape[-1]}")
    index: tuple[Any, ...] = (*first, slice(start, start + count))
    return np.array(array[index])


def gather(array: Array, index: tuple[Any, ...], mask: Any) -> Any:
    """Elements at arrays of indices; those outside are arbitrary where `mask` is false."""
    inside = clip_index("a buffer", index, array.shape, mask)
    if 0 in array.shape:
        return np.zeros(np.broadcast_shapes(*(np.shape(i) for i in index)), array.dtype)
    return array[inside]
