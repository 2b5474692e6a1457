"""Match the body of an instruction with the body of a reduction: every binding of operands to expressions."""

from __future__ import annotations

from bough.ir.expr import Apply, Cast, Const, Expr, Load, Var
from bough.ir.functions import FUNCTIONS
from bough.mapping.mapping import Mismatch

Bindings = dict[str, Expr]


def match(pattern: Expr, value: Expr, where: str) -> list[Bindings] | Mismatch:
    """All ways to bind the loads of `pattern` to subexpressions of `value` such that both are the same expression.

    Both are in normal form. Operands of commutative functions match in either order; nothing is reassociated, so the
    instruction computes each term exactly as the program does. The mismatch is the deepest one.
    """
    match pattern:
        case Load(source, _, dtype):
            if value.dtype != dtype:
                because = f"the instruction's operand {source} holds {dtype}"
                return Mismatch(f"the value `{describe(value)}` is {value.dtype}", where, because, 2)
            return [{source: value}]
        case Const() | Var():
            if pattern == value:
                return [{}]
            return Mismatch(f"`{describe(value)}` differs", where, f"the instruction has `{describe(pattern)}` there", 2)
        case Cast(inner, dtype):
            if isinstance(value, Cast) and value.dtype == dtype:
                return match(inner, value.value, where)
            because = f"the instruction converts {inner.dtype} to {dtype} there"
            return Mismatch(f"`{describe(value)}` is no conversion to {dtype}", where, because, 1)
        case Apply(function, args, dtype):
            if not isinstance(value, Apply) or value.function != function or value.dtype != dtype:
                because = f"the instruction computes `{describe(pattern)}` ({dtype})"
                return Mismatch(f"`{describe(value)}` is no {dtype} {function}", where, because, 1)
            orders = [value.args]
            if FUNCTIONS[function].commutative and value.args[::-1] != value.args:
                orders.append(value.args[::-1])
            return _first_or_all([_arguments(args, order, where) for order in orders])


def _arguments(patterns: tuple[Expr, ...], values: tuple[Expr, ...], where: str) -> list[Bindings] | Mismatch:
    found: list[Bindings] = [{}]
    for pattern, value in zip(patterns, values, strict=True):
        each = match(pattern, value, where)
        if isinstance(each, Mismatch):
            return each
        found = [{**a, **b} for a in found for b in each if all(a[k] == b[k] for k in a.keys() & b.keys())]
    if not found:
        return Mismatch("two places differ", where, "the instruction reads one operand in both", 2)
    return found


def _first_or_all(answers: list[list[Bindings] | Mismatch]) -> list[Bindings] | Mismatch:
    found: list[Bindings] = []
    for answer in answers:
        if not isinstance(answer, Mismatch):
            found.extend(b for b in answer if b not in found)
    return found or deepest([a for a in answers if isinstance(a, Mismatch)])


def deepest(mismatches: list[Mismatch]) -> Mismatch:
    """The one that came furthest, the first of several."""
    return max(mismatches, key=lambda m: m.stage)


def describe(e: Expr) -> str:
    """An expression for messages, with its leaves by name."""
    match e:
        case Const(value, _):
            return str(value)
        case Var(name, _):
            return name
        case Load(source, index, _):
            return f"{source}[{', '.join(map(describe, index))}]"
        case Cast(value, dtype):
            return f"{dtype}({describe(value)})"
        case Apply(function, args, _):
            sign = {"add": "+", "sub": "-", "mul": "*"}.get(function)
            if sign and len(args) == 2:
                return f"{describe(args[0])} {sign} {describe(args[1])}"
            return f"{function}({', '.join(map(describe, args))})"
