"""The driver of rules, on a small algebra."""

from __future__ import annotations

from bough.ir.dtypes import F32, I32
from bough.ir.expr import Apply, Cast, Const, Expr, Load, Var
from bough.rewrite import EXACT, Rules, rewrite

X, Y = Var("x", F32), Var("y", F32)


def f(name: str, *args: Expr) -> Expr:
    return Apply(name, args, F32)


def double_negation(e: Expr) -> Expr | None:
    match e:
        case Apply("neg", (Apply("neg", (x,), _),), _):
            return x
    return None


def subtraction(e: Expr) -> Expr | None:
    match e:
        case Apply("sub", (a, b), _):
            return f("add", a, f("neg", b))
    return None


def no_casts(e: Expr) -> Expr | None:
    return e.value if isinstance(e, Cast) else None


RULES: Rules = {"neg": (double_negation,), "sub": (subtraction,), "cast": (no_casts,)}


def test_what_a_rule_makes_is_rewritten_too() -> None:
    assert rewrite(f("sub", X, f("sub", X, f("neg", Y))), RULES) == f("add", X, f("neg", f("add", X, Y)))


def test_operands_come_first_and_indices_are_operands() -> None:
    e = Load("a", (Cast(Cast(Var("i"), I32), I32),), F32)
    assert rewrite(f("exp", e), RULES) == f("exp", Load("a", (Var("i"),), F32))


def test_nothing_changed_is_the_same_object() -> None:
    e = f("add", f("neg", X), Load("a", (Var("i"),), F32))
    assert rewrite(e, RULES) is e
    assert rewrite(e, EXACT) is e


def test_rules_of_every_function_come_after_its_own() -> None:
    seen = []

    def note(e: Expr) -> Expr | None:
        seen.append(e)
        return Const(1.0, F32) if e == f("exp", X) else None

    assert rewrite(f("neg", f("exp", X)), {"*": (note,), "neg": (double_negation,)}) == f("neg", Const(1.0, F32))
    assert seen == [f("exp", X), f("neg", Const(1.0, F32))]
