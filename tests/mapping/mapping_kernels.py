"""Kernels that contain matrix products, as the lowering of operators writes them."""

from __future__ import annotations

from bough.ir.dtypes import F32
from bough.ir.expr import Const, Expr, Load, Var, add, apply, mul, select
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Statement, Store


def v(name: str) -> Var:
    return Var(name)


def times(a: Expr, b: Expr) -> Expr:
    return apply("mul", a, b)


def linear(n: int = 5, k: int = 19, j: int = 21) -> Kernel:
    """y[n, j] = b[j] + sum(k) x[n, k] * w[j, k]"""
    body = times(Load("x", (v("n"), v("k"))), Load("w", (v("j"), v("k"))))
    return Kernel(
        "linear",
        (Axis("n", n), Axis("j", j), Axis("k", k)),
        (Operand("x", F32, (n, k)), Operand("w", F32, (j, k)), Operand("b", F32, (j,))),
        (Operand("y", F32, (n, j)),),
        (
            Let("s", Reduce("sum", ("k",), body)),
            Store("y", (v("n"), v("j")), apply("add", Load("b", (v("j"),)), Var("s", F32))),
        ),
    )


def batched_matmul(b: int = 3, n: int = 5, k: int = 7, j: int = 18) -> Kernel:
    body = times(Load("x", (v("b"), v("n"), v("k"))), Load("w", (v("b"), v("k"), v("j"))))
    return Kernel(
        "batched",
        (Axis("b", b), Axis("n", n), Axis("j", j), Axis("k", k)),
        (Operand("x", F32, (b, n, k)), Operand("w", F32, (b, k, j))),
        (Operand("y", F32, (b, n, j)),),
        (Let("s", Reduce("sum", ("k",), body)), Store("y", (v("b"), v("n"), v("j")), Var("s", F32))),
    )


def attention_scores(b: int = 2, h: int = 2, t: int = 9, d: int = 5) -> Kernel:
    """y[b, h, q, t] = scale * sum(d) query[b, q, h, d] * key[b, t, h, d]"""
    body = times(Load("query", (v("b"), v("q"), v("h"), v("d"))), Load("key", (v("b"), v("t"), v("h"), v("d"))))
    return Kernel(
        "scores",
        (Axis("b", b), Axis("h", h), Axis("q", t), Axis("t", t), Axis("d", d)),
        (Operand("query", F32, (b, t, h, d)), Operand("key", F32, (b, t, h, d))),
        (Operand("y", F32, (b, h, t, t)),),
        (
            Let("s", Reduce("sum", ("d",), body)),
            Store("y", (v("b"), v("h"), v("q"), v("t")), times(Var("s", F32), Const(0.5, F32))),
        ),
    )


def conv2d(n: int = 2, c: int = 3, size: int = 6, k: int = 5, window: int = 3, pad: int = 0, name: str = "conv2d") -> Kernel:
    """NCHW; the padding is a select around the load, as fusion leaves it."""
    out = size + 2 * pad - window + 1
    h, w = (add(add(v(a), v(b)), -pad) for a, b in (("p", "r"), ("q", "s")))
    x: Expr = Load("x", (v("n"), v("c"), h, w))
    if pad:
        inside = [apply("ge", h, Const(0)), apply("lt", h, Const(size)), apply("ge", w, Const(0)), apply("lt", w, Const(size))]
        condition = inside[0]
        for test in inside[1:]:
            condition = apply("and", condition, test)
        x = select(condition, x, Const(0.0, F32))
    body = times(x, Load("w", (v("k"), v("c"), v("r"), v("s"))))
    return Kernel(
        name,
        (Axis("n", n), Axis("k", k), Axis("p", out), Axis("q", out), Axis("c", c), Axis("r", window), Axis("s", window)),
        (Operand("x", F32, (n, c, size, size)), Operand("w", F32, (k, c, window, window))),
        (Operand("y", F32, (n, k, out, out)),),
        (
            Let("total", Reduce("sum", ("c", "r", "s"), body)),
            Store("y", (v("n"), v("k"), v("p"), v("q")), apply("max", Var("total", F32), Const(0.0, F32))),
        ),
    )


def depthwise(n: int = 2, c: int = 18, size: int = 6, window: int = 3) -> Kernel:
    """NCHW, one filter per channel."""
    out = size - window + 1
    x = Load("x", (v("n"), v("c"), add(v("p"), v("r")), add(v("q"), v("s"))))
    body = times(x, Load("w", (v("c"), v("r"), v("s"))))
    return Kernel(
        "depthwise",
        (Axis("n", n), Axis("c", c), Axis("p", out), Axis("q", out), Axis("r", window), Axis("s", window)),
        (Operand("x", F32, (n, c, size, size)), Operand("w", F32, (c, window, window))),
        (Operand("y", F32, (n, c, out, out)),),
        (Let("total", Reduce("sum", ("r", "s"), body)), Store("y", (v("n"), v("c"), v("p"), v("q")), Var("total", F32))),
    )


def pointwise(n: int = 2, c: int = 18, size: int = 4, k: int = 7) -> Kernel:
    """The 1x1 convolution of a depthwise-separable one."""
    body = times(Load("x", (v("n"), v("c"), v("p"), v("q"))), Load("w", (v("k"), v("c"))))
    return Kernel(
        "pointwise",
        (Axis("n", n), Axis("k", k), Axis("p", size), Axis("q", size), Axis("c", c)),
        (Operand("x", F32, (n, c, size, size)), Operand("w", F32, (k, c))),
        (Operand("y", F32, (n, k, size, size)),),
        (Let("total", Reduce("sum", ("c",), body)), Store("y", (v("n"), v("k"), v("p"), v("q")), Var("total", F32))),
    )


def gates(n: int = 3, k: int = 9, hidden: int = 10) -> Kernel:
    """The hidden half of a GRU cell: three sums over one state, and the new state from them."""

    def gate(name: str, number: int) -> Statement:
        row = add(mul(Const(number), Const(hidden)), v("j"))
        return Let(name, Reduce("sum", ("k",), times(Load("h", (v("n"), v("k"))), Load("w", (row, v("k"))))))

    def mixed(name: str, number: int) -> Expr:
        g = Load("g", (v("n"), add(Const(number * hidden), v("j"))))
        return apply("sigmoid", apply("add", g, Var(name, F32)))

    reset, update = mixed("r", 0), mixed("z", 1)
    g = Load("g", (v("n"), add(Const(2 * hidden), v("j"))))
    new = apply("tanh", apply("add", g, times(reset, Var("c", F32))))
    old = Load("h", (v("n"), v("j")))
    state = apply("add", new, times(update, apply("sub", old, new)))
    return Kernel(
        "gates",
        (Axis("n", n), Axis("j", hidden), Axis("k", hidden)),
        (Operand("h", F32, (n, hidden)), Operand("w", F32, (3 * hidden, hidden)), Operand("g", F32, (n, 3 * hidden))),
        (Operand("out", F32, (n, hidden)),),
        (gate("r", 0), gate("z", 1), gate("c", 2), Store("out", (v("n"), v("j")), state)),
    )


ALL = (
    linear(), linear(16, 32, 48), batched_matmul(), attention_scores(), conv2d(), conv2d(pad=1, name="conv2d_padded"),
    depthwise(), pointwise(), gates(),
)  # fmt: skip
