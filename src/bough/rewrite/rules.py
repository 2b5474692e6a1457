"""Rewriting by rules: a rule answers with an equal, simpler expression or None; rules are filed by root operator.

The rules of `EXACT` hold bit by bit, NaN and signed zeros included (which NaN it is aside): nothing is reassociated,
`x + 0.0` stays (x may be -0.0), `x * 0.0` stays (x may be infinite).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bough.ir.dtypes import BOOL, DType
from bough.ir.evaluate import evaluate
from bough.ir.expr import Apply, Cast, Const, Expr, children, rebuild
from bough.ir.functions import FUNCTIONS

Rule = Callable[[Expr], Expr | None]
Rules = Mapping[str, tuple[Rule, ...]]
"""Rules by the name of the function at the root, `cast` for conversions, `*` for every `Apply`."""


def rewrite(e: Expr, rules: Rules) -> Expr:
    """Applies rules bottom-up until none answers; the same object where none ever did."""
    return at_root(rebuild(e, tuple(rewrite(k, rules) for k in children(e))), rules)


def at_root(e: Expr, rules: Rules) -> Expr:
    """Applies rules to an expression whose operands have been rewritten."""
    match e:
        case Apply(function, _, _):
            candidates = (*rules.get(function, ()), *rules.get("*", ()))
        case Cast():
            candidates = rules.get("cast", ())
        case _:
            return e
    for rule in candidates:
        new = rule(e)
        if new is not None:
            return rewrite(new, rules)
    return e


def fold_constants(e: Expr) -> Expr | None:
    """f(constants) -> its value."""
    if not isinstance(e, Apply | Cast) or not all(isinstance(k, Const) for k in children(e)):
        return None
    return constant_of(evaluate(e).item(), e.dtype)


def constant_of(value: float | int | bool, dtype: DType) -> Const:
    """A literal of this type."""
    return Const(bool(value) if dtype == BOOL else float(value) if dtype.is_float else int(value), dtype)


def drop_unit(e: Expr) -> Expr | None:
    """x f unit -> x, unit f x -> x where f commutes."""
    match e:
        case Apply(function, (a, b), _):
            row = FUNCTIONS[function]
            if _is(b, row.unit):
                return a
            return b if row.commutative and _is(a, row.unit) else None
    return None


def absorb(e: Expr) -> Expr | None:
    """x f zero -> zero, on integers and bools."""
    match e:
        case Apply(function, (a, b), dtype) if FUNCTIONS[function].zero is not None and not dtype.is_float:
            return next((x for x in (a, b) if _is(x, FUNCTIONS[function].zero)), None)
    return None


def undo(e: Expr) -> Expr | None:
    """f(f(x)) -> x of a function that is its own inverse."""
    match e:
        case Apply(outer, (Apply(inner, (x,), _),), _) if outer == inner:
            return x
    return None


def once(e: Expr) -> Expr | None:
    """f(x, x) -> x."""
    match e:
        case Apply(_, (a, b), _) if a == b:
            return a
    return None


def choose(e: Expr) -> Expr | None:
    """select(true, a, b) -> a; select(c, a, a) -> a."""
    match e:
        case Apply(_, (Const(value, _), a, b), _):
            return a if value else b
        case Apply(_, (_, a, b), _) if a == b:
            return a
    return None


def drop_cast(e: Expr) -> Expr | None:
    """cast(x) to its own type -> x; there and back through a type that holds every value -> x."""
    match e:
        case Cast(value, dtype) if value.dtype == dtype:
            return value
        case Cast(Cast(value, between), dtype) if value.dtype == dtype and holds(between, dtype):
            return value
    return None


EXACT: Rules = {
    "*": (fold_constants, drop_unit, absorb),
    "neg": (undo,),
    "not": (undo,),
    "min": (once,),
    "max": (once,),
    "and": (once,),
    "or": (once,),
    "select": (choose,),
    "cast": (drop_cast, fold_constants),
}


def _is(e: Expr, value: float | int | bool | None) -> bool:
    """Whether `e` is this literal; zeros of floats must agree in sign, all ones of an integer are its `True`."""
    if value is None or not isinstance(e, Const):
        return False
    if e.dtype.is_float:
        return e == Const(value, e.dtype)
    if value is True and e.dtype != BOOL:
        return e.value == ((1 << e.dtype.bits) - 1 if e.dtype.kind == "uint" else -1)
    return e.value == value


def holds(outer: DType, inner: DType) -> bool:
    """Whether every value of `inner` is one of `outer` too."""
    if outer.is_float and inner.is_float:
        return outer.bits > inner.bits or outer == inner
    if outer.is_float:
        return inner.bits <= {"f64": 53, "f32": 24, "f16": 11, "bf16": 8}[outer.name]
    if inner.is_float:
        return False
    return inner == BOOL or (outer.bits > inner.bits and (outer.kind == "int" or inner.kind == "uint"))
