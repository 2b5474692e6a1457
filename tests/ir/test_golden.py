"""Texts of each level as they are printed, line by line."""

from __future__ import annotations

from collections.abc import Callable

from bough.base.source import Location
from bough.ir.dtypes import F32, I64
from bough.ir.expr import Apply, Cast, Const, Expr, Load, Var, add, apply, floordiv, minimum, mul, select, sub
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Store
from bough.ir.kernel_text import parse_kernel, print_kernel
from bough.ir.loops import Alloc, Buffer, Fetch, For, Function, If, Invoke, Slice
from bough.ir.loops import Let as LoopLet
from bough.ir.loops import Store as LoopStore
from bough.ir.loops_text import parse_loops, print_loops

Golden = Callable[[str, str], None]
i, j, k, batch = (Var(name) for name in ("i", "j", "k", "batch"))


def load(name: str, *index: Expr) -> Load:
    return Load(name, index, F32)


def test_kernel(golden: Golden) -> None:
    """Softmax over the rows of a gathered, padded table."""
    row = Load("at", (i,), I64)
    x = select(apply("ge", row, Const(0)), load("table", row, k), Const(-1e9, F32))
    kernel = Kernel(
        "softmax",
        (Axis("i", batch), Axis("j", 10), Axis("k", 10)),
        (Operand("table", F32, (100, 10)), Operand("at", I64, (batch,)), Operand("scale", F32, (), "zmm")),
        (Operand("y", F32, (batch, 10)),),
        (
            Let("m", Reduce("max", ("k",), x)),
            Let("s", Reduce("sum", ("k",), apply("exp", apply("sub", x, Var("m", F32))))),
            Let("e", apply("exp", apply("sub", load("table", row, j), Var("m", F32)))),
            Store("y", (i, j), apply("mul", apply("div", Var("e", F32), Var("s", F32)), load("scale"))),
        ),
        Location("model.py", 7),
    )
    text = print_kernel(kernel)
    golden("softmax_kernel", text)
    assert parse_kernel(text) == kernel


def test_loops(golden: Golden) -> None:
    lane, v = Var("l"), Var("v")
    at = add(mul(v, 16), lane)
    accumulator = Alloc(Buffer("acc", F32, (2, 16), "register", 64))
    clear = For("l", Const(0), Const(16), (LoopStore("acc", (v, lane), Const(0.0, F32)),), "vector", lanes=16)
    fma = Invoke(
        "avx512.fma",
        (
            Slice("acc", (v, Const(0)), (1,)),
            Slice("x", (i, k)),
            Slice("w", (Var("jo"), k, mul(v, 16)), (2,)),
        ),
    )
    out = For(
        "l",
        Const(0),
        minimum(16, sub(30, mul(v, 16))),
        (
            LoopLet("a", Load("acc", (v, lane), F32)),
            LoopStore("y", (i, add(mul(Var("jo"), 32), at)), Apply("max", (Var("a", F32), Const(0.0, F32)), F32)),
        ),
        "vector",
        lanes=16,
    )
    rows = If(
        apply("lt", i, Const(4)),
        (accumulator, For("v", Const(0), Const(2), (clear,), "unroll"),
         For("k", Const(0), Const(300), (For("v", Const(0), Const(2), (fma,), "unroll"), Fetch("w", (add(Var("jo"), 1), k, Const(0))))),
         For("v", Const(0), Const(2), (out,), "unroll")),
        (LoopStore("y", (i, Const(0)), Cast(i, F32)), Invoke("tile.move", (Slice("x", (i, Const(0)), (1, 0)),))),
    )  # fmt: skip
    nest = For("i", Const(0), batch, (rows,), step=2, location=Location("model.py", 12))
    function = Function(
        "linear",
        ("batch",),
        (Buffer("x", F32, (batch, 300)), Buffer("w", F32, (16, 300, 32), align=64), Buffer("y", F32, (batch, 512))),
        (For("jo", Const(0), floordiv(add(batch, 15), 16), (nest,), "parallel"),),
        Location("model.py", 12),
    )
    text = print_loops(function)
    golden("linear_loops", text)
    assert parse_loops(text) == function
