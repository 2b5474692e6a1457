"""Expressions: each is emitted once, as a scalar where it does not depend on the lane and as a vector where it does."""

from __future__ import annotations

from typing import Any

from bough.codegen import llvm_types as t
from bough.codegen.arithmetic import cast, emit_function
from bough.codegen.indices import as_operand, emit_index, materialize
from bough.codegen.linear import Linear
from bough.codegen.memory import load
from bough.codegen.state import Emission, Lanes, Operand, Scope
from bough.ir.dtypes import BOOL, I64, DType
from bough.ir.expr import Apply, Cast, Const, Expr, Load, Var, loads


def evaluate(em: Emission, scope: Scope, e: Expr) -> Operand:
    """The value of `e`: index arithmetic symbolic, all else an LLVM value."""
    if isinstance(e, Var):  # these tests run for each element of unrolled tiles
        return scope.value(e.name)
    if isinstance(e, Const):
        return Linear(t.wrap(int(e.value))) if e.dtype == I64 else t.constant(e.dtype, e.value)
    if isinstance(e, Load):
        return load(em, scope, e.source, [evaluate(em, scope, i) for i in e.index])
    if isinstance(e, Cast):
        return _cast(em, scope, evaluate(em, scope, e.value), e.value.dtype, e.dtype)
    if e.function == "select":
        condition, a, b = e.args
        return _select(em, scope, condition, a, b, e.dtype)
    return _apply(em, scope, e.function, [evaluate(em, scope, a) for a in e.args], e.args[0].dtype)


def scalar(em: Emission, scope: Scope, e: Expr) -> Any:
    """The LLVM value of an expression."""
    return materialize(em, evaluate(em, scope, e), scope.lane_count)


def _apply(em: Emission, scope: Scope, function: str, args: list[Operand], dtype: DType) -> Operand:
    lanes = scope.lane_count
    if dtype == I64:
        symbolic = emit_index(em, function, args, lanes)
        if symbolic is not None:
            return symbolic
    values = [materialize(em, a, lanes) for a in args]
    width = max(t.lanes_of(v) for v in values)
    result = emit_function(em.builder, function, [t.splat(em.builder, v, width) for v in values], dtype)
    return as_operand(result) if t.element_type(result) == t.INT64 else result


def _cast(em: Emission, scope: Scope, value: Operand, source: DType, target: DType) -> Operand:
    if source == target:
        return value
    result = cast(em.builder, materialize(em, value, scope.lane_count), source, target)
    if target != I64:
        return result
    bounds = {"bool": (0, 1), "u8": (0, 255)}.get(source.name, (None, None))
    return as_operand(result, *bounds)


def constant_condition(condition: Any) -> bool | None:
    """The value of a condition that is known now."""
    if not t.is_constant(condition) or t.lanes_of(condition):
        return None
    return bool(condition.constant)


def _select(em: Emission, scope: Scope, condition: Expr, a: Expr, b: Expr, dtype: DType) -> Operand:
    """The branch not taken is not evaluated: its loads may be outside."""
    test = scalar(em, scope, condition)
    known = constant_condition(test)
    if known is not None:
        return evaluate(em, scope, a if known else b)
    guarded = bool(loads(a) or loads(b))
    lanes = scope.lane_count

    def branch(e: Expr, inner: Scope) -> Any:
        return materialize(em, evaluate(em, inner, e), lanes)

    if not t.lanes_of(test):
        if guarded:
            wide = _depends_on_lane(scope, a) or _depends_on_lane(scope, b)
            width = lanes if wide else 0
            result = em.merge(
                test,
                lambda: t.splat(em.builder, branch(a, scope.child()), width),
                lambda: t.splat(em.builder, branch(b, scope.child()), width),
            )
        else:
            result = _blend(em, test, branch(a, scope), branch(b, scope))
    else:
        assert scope.lanes is not None
        mask = scope.lanes.mask
        yes, no = scope, scope
        if guarded:
            yes = scope.child(Lanes(lanes, em.mask_and(mask, test), False))
            no = scope.child(Lanes(lanes, em.mask_and(mask, em.mask_not(test)), False))
        result = _blend(em, test, branch(a, yes), branch(b, no))
    return as_operand(result) if dtype == I64 else result


def _blend(em: Emission, test: Any, a: Any, b: Any) -> Any:
    width = max(t.lanes_of(v) for v in (test, a, b))
    a, b = t.splat(em.builder, a, width), t.splat(em.builder, b, width)
    return em.builder.select(test, a, b)


def _depends_on_lane(scope: Scope, e: Expr) -> bool:
    """Whether the value of an expression may differ between lanes."""
    if scope.lanes is None:
        return False
    match e:
        case Var(name, _):
            value = scope.value(name)
            return bool(value.lane) if isinstance(value, Linear) else t.lanes_of(value) > 0
        case Const():
            return False
        case Load(_, parts, _) | Apply(_, parts, _):
            return any(_depends_on_lane(scope, p) for p in parts)
        case Cast(value, _):
            return _depends_on_lane(scope, value)


def condition(em: Emission, scope: Scope, e: Expr) -> Any:
    """A condition as `i1`, or a vector of them."""
    assert e.dtype == BOOL
    return scalar(em, scope, e)
