"""Broken kernels and loops are refused with the text of the statement."""

from __future__ import annotations

import pytest

from bough.base.errors import InternalError
from bough.ir.dtypes import F32, F64
from bough.ir.expr import Apply, Cast, Const, Load, Var
from bough.ir.kernel import Kernel, Let, Store
from bough.ir.kernel_text import parse_kernel
from bough.ir.loops_text import parse_loops
from bough.ir.verify_kernel import verify_kernel
from bough.ir.verify_loops import verify_loops

GOOD = """
kernel linear(x: f32[batch, 7], w: f32[5, 7], h: f32[2, batch, 5], y: f32[batch, 5])
    -> (y: f32[batch, 5], h: f32[2, batch, 5])
  axes i: batch, j: 5, k: 7, one: 1
  s = sum(k) x[i, k] * w[j, k]
  m = max(k) x[i, k]
  seen = any(k) x[i, k] > h[t % 2, i, j]
  z = y[i, j] + s * select(seen, m, 1.0)
  y[i, j] = z
  h[(t + 1) % 2, i, j] = z
"""


def test_a_good_kernel() -> None:
    verify_kernel(parse_kernel(GOOD))
    verify_kernel(parse_kernel(GOOD), ["batch", "t"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("m = max", "s = max", "s is defined twice in: s = max"),
        ("  z = y[i, j] + s", "  z = y[i, j] + s * f32(k)", "the reduced axis k stands outside its reduction in: z ="),
        ("sum(k)", "sum(q)", "q is no axis in: s = sum"),
        ("sum(k)", "sum(k, k)", "distinct axes"),
        ("any(k) x[i, k] > h[t % 2, i, j]", "any(k) x[i, k]", "any is not defined on f32"),
        ("sum(k) x[i, k] * w[j, k]", "sum(k) x[i, k] < w[j, k]", "sum is not defined on bool"),
        ("w[j, k]", "f64(w[j, k])", "mixes f32 and f64"),
        ("x[i, k] * w[j, k]", "floor(and(x[i, k], w[j, k]))", "and is not defined on f32"),
        ("w[j, k]", "w[j]", "w has 2 dimensions, its index has 1"),
        ("w[j, k]", "w[j, i32(k)]", "i32[(]k[)] has type i32, not i64,"),
        ("y[i, j] = z", "y[i, j] = f64(z)", "has type f64, not f32"),
        ("y[i, j] = z", "y[i] = z", "y has 2 dimensions, its index has 1"),
        ("y[i, j] = z", "x[i, j] = z", "x is no output"),
        ("y[i, j] = z", "y[i, 0] = z", "points along j store to one place"),
        ("  y[i, j] = z\n", "", "output y is never stored"),
        ("axes i: batch, ", "axes i: batch, j: 2, ", "a name stands twice"),
        ("axes i: batch", "axes i: j", "the size j depends on j"),
        ("-> (y: f32[batch, 5]", "-> (y: f32[batch, 6]", "y is not the same on both sides"),
        ("y[i, j] + s", "y[i, 4 - j] + s", r"y is read elsewhere than at \[i, j\]"),
        ("= z\n  h", "= z\n  zz = y[i, j]\n  h", "y is read after its store in: zz = "),
        ("h[t % 2, i, j]", "h[t % 2 + i, i, j]", "h is read elsewhere"),
    ],
)
def test_broken_kernels(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(InternalError, match=message):
        verify_kernel(parse_kernel(GOOD.replace(old, new)))


def test_what_no_text_can_say() -> None:
    good = parse_kernel("kernel f(x: f32[3]) -> (y: f32[3])\n  axes i: 3\n  y[i] = x[i]")
    i, x = Var("i"), Load("x", (Var("i"),), F32)

    def broken(*body: Let | Store) -> Kernel:
        return Kernel("f", good.axes, good.inputs, good.outputs, body)

    cases = {
        "x holds f32, not f64": Store("y", (i,), Cast(Load("x", (i,), F64), F32)),
        "i has type i64, not f32": Store("y", (i,), Var("i", F32)),
        "u has type i64, not f32": Store("y", (i,), Var("u", F32)),
        "no function spam of 1 operands": Store("y", (i,), Apply("spam", (x,), F32)),
        "says that it has type f32": Store("y", (i,), Apply("lt", (x, x), F32)),
        "the literal True has type f32": Store("y", (i,), Const(True, F32)),
        "y is no input": Store("y", (i,), Load("y", (i,), F32)),
    }
    for message, s in cases.items():
        with pytest.raises(InternalError, match=message):
            verify_kernel(broken(s))
    with pytest.raises(InternalError, match="n is not defined"):
        verify_kernel(parse_kernel("kernel f() -> (y: i64[])\n  y[] = n"), [])


LOOPS = """
func linear(batch) (x: f32[batch, 300], w: f32[16, 300, 32], y: f32[batch, 512])
  n = batch * 2
  for t in 0..n step 2
    parallel jo in 0..16
      alloc tmp: f32[32] in scratch
      for i in 0..batch
        alloc acc: f32[2, 16] in register align 64
        unroll v in 0..2
          vector l in 0..16 lanes 16
            acc[v, l] = 0.0
        for k in 0..300
          unroll v in 0..2
            test.fma(acc[v, :], x[i, k], w[jo, k, v * 16 + :])
        unroll v in 0..2
          vector l in 0..min(16, 30 - v * 16) lanes 16
            a = acc[v, l]
            if a > 0.0
              y[i, jo * 32 + v * 16 + l] = a
"""
FMA = """
kernel test.fma(acc: f32[16] in register, a: f32[], b: f32[16] in register) -> (acc: f32[16] in register)
  axes i: 16
  acc[i] = fma(a[], b[i], acc[i])
"""


def test_good_loops() -> None:
    verify_loops(parse_loops(LOOPS), {"test.fma": parse_kernel(FMA)})
    verify_loops(parse_loops(LOOPS))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("for i in", "for jo in", "jo is defined twice in: for jo in 0..batch"),
        ("alloc tmp", "alloc w", "w is defined twice"),
        ("a = acc", "n = acc", "n is defined twice"),
        ("for i in", "parallel i in", "a parallel loop stands in another one without rooms"),
        ("      alloc tmp: f32[32] in scratch\n", "      within x from 0 tmp: f32[32]\n", "x holds no bytes"),
        ("for t in 0..n step 2", "unroll t in 0..2", "a parallel loop stands in an unrolled loop"),
        ("n step 2", "n step 0", "the step is not positive"),
        ("unroll v in 0..2", "unroll v in 0..batch", "the bounds of an unrolled loop are not constant"),
        ("0..16 lanes 16", "0..17 lanes 16", "from 0 to at most its lanes"),
        ("0..16 lanes 16", "1..16 lanes 16", "from 0 to at most its lanes"),
        ("0..16 lanes 16", "0..16", "lanes belong to vector loops"),
        ("for k in 0..300", "for k in 0..300 lanes 4", "lanes belong to vector loops"),
        ("            acc[v, l] = 0.0", "            vector u in 0..4 lanes 4\n              acc[v, u] = 0.0", "in a vector loop"),
        ("            acc[v, l] = 0.0", "            alloc q: f32[4] in scratch", "a vector loop allocates"),
        ("            acc[v, l] = 0.0", "            test.fma(acc[v, :], x[i, 0], w[jo, 0, :])", "an instruction stands in"),
        ("acc[v, l] = 0.0", "acc[v, 0] = 0.0", "all lanes store to one place in: acc"),
        ("acc[v, l] = 0.0", "acc[v, l] = 0", "0 has type i64, not f32"),
        ("acc[v, l] = 0.0", "acc[i, l] = 0.0", "the register i of acc is not known"),
        ("acc[v, l] = 0.0", "acc[l] = 0.0", "acc has 2 dimensions, its index has 1"),
        ("f32[2, 16] in register", "f32[2, 16]", "acc is allocated in memory"),
        ("f32[2, 16] in register", "f32[n, 16] in register", "the size of acc is not constant"),
        ("  for t in", "  alloc acc: f32[2, 16] in scratch\n  for t in", "acc is defined twice"),
        ("      alloc tmp: f32[32] in scratch\n", "", None),
        ("if a > 0.0", "if a", "a has type f32, not bool"),
        ("test.fma(", "test.mul(", "no instruction is named test.mul"),
        ("x[i, k], w", "w", "takes 3 operands, not 2"),
        ("x[i, k]", "x[i, :]", "a has 0 dimensions, its slice 1"),
        ("x[i, k]", "x[i]", "the slice of x does not fit its 2 dimensions"),
        ("w: f32[16, 300, 32]", "w: f32[16, 300, 8]", "b needs 16 elements, w has 8"),
        ("w: f32[16, 300, 32]", "w: f64[16, 300, 32]", "b has type f32, w holds f64"),
        ("w: f32[16, 300, 32]", "w: f32[16, 300, 32] in register", "the param w is in register"),
    ],
)
def test_broken_loops(old: str, new: str, message: str | None) -> None:
    assert old in LOOPS
    function = parse_loops(LOOPS.replace(old, new, 1))
    if message is None:
        verify_loops(function)
        return
    with pytest.raises(InternalError, match=message):
        verify_loops(function, {"test.fma": parse_kernel(FMA)})


def test_private_buffers_stay_with_their_thread() -> None:
    text = """
    func f() (y: f32[4])
      alloc tmp: f32[4] in scratch
      tmp[0] = 1.0
      parallel i in 0..4
        y[i] = tmp[0]
    """
    verify_loops(parse_loops(text))
    with pytest.raises(InternalError, match="tmp is private to the thread outside the parallel loop in: tmp"):
        verify_loops(parse_loops(text.replace("y[i] = tmp[0]", "tmp[i] = 0.0")))


def test_unknown_names_in_loops() -> None:
    with pytest.raises(InternalError, match=r"m is not defined in: for i in 0\.\.m"):
        verify_loops(parse_loops("func f() (y: f32[4])\n  for i in 0..m\n    y[i] = 0.0"))
