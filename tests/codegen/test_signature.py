"""Signatures: equal for code that differs by names, different for anything that the emitted code depends on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bough.base.source import Location
from bough.codegen.signature import Signature
from bough.ir.dtypes import F32, F64
from bough.ir.expr import Cast, Const, Load, Var, add, apply, mul
from bough.ir.loops import Alloc, Buffer, Fetch, For, If, Invoke, Let, Slice, Stmt, Store


def loop(i: str = "i", t: str = "t", x: str = "x", y: str = "y", acc: str = "acc", scale: float = 2.0, extent: str = "n") -> For:
    """A little of everything, with names to choose."""
    body: tuple[Stmt, ...] = (
        Alloc(Buffer(acc, F32, (4,), "register")),
        Let(t, apply("mul", Load(x, (Var(i),)), Const(scale, F32))),
        If(apply("lt", Var(i), Var(extent)), (Store(acc, (Const(0),), Var(t, F32)),)),
        Invoke("add", (Slice(acc, (Const(0),), (0,)), Slice(y, (mul(Var(i), 4),), (0,)))),
        Fetch(x, (add(Var(i), 16),)),
        Store(y, (add(Var(i), 1),), Cast(Load(acc, (Const(0),)), F32)),
    )
    return For(i, Const(0), Var(extent), body)


def tokens(statement: Stmt) -> list[object]:
    return Signature.of((statement,)).tokens


def test_names_do_not_count() -> None:
    other = loop("j", "u", "a", "b", "sum", extent="m")
    assert tokens(loop()) == tokens(other)
    signature = Signature.of((other,))
    assert list(signature.values) == ["m"] and list(signature.buffers) == ["a", "b"] and signature.written == {"b"}


def test_locations_do_not_count() -> None:
    assert tokens(loop()) == tokens(replace(loop(), location=Location("net.py", 3)))


CHANGES = {
    "constant": loop(scale=3.0),
    "same buffer twice": loop(x="y"),
    "step": replace(loop(), step=2),
    "kind": replace(loop(), kind="parallel"),
    "order": replace(loop(), body=loop().body[::-1]),
    "place": replace(loop(), body=(Alloc(Buffer("acc", F32, (4,), "scratch")), *loop().body[1:])),
    "type": replace(loop(), body=(Alloc(Buffer("acc", F64, (4,), "register")), *loop().body[1:])),
    "fewer": replace(loop(), body=loop().body[:-1]),
    "extent": loop(extent="i"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_counts(change: str) -> None:
    assert tokens(loop()) != tokens(CHANGES[change])


def test_names_that_are_bound_again() -> None:
    """A local that hides another is another: the store names the second `a`, or `b`."""
    lets = (Let("a", Const(1)), Let("b", Const(2)), Let("a", Const(3)), Let("c", Const(4)))
    bodies = [For("i", Const(0), Const(2), (*lets, Store("y", (Var(name),), Const(0.0, F32)))) for name in "abc"]
    assert len({str(tokens(b)) for b in bodies}) == 3


def test_inner_and_outer_names_differ() -> None:
    inner = For("i", Const(0), Const(2), (Store("y", (Var("i"),), Const(0.0, F32)),))
    outer = For("i", Const(0), Const(2), (Store("y", (Var("j"),), Const(0.0, F32)),))
    assert tokens(inner) != tokens(outer)
