"""Texts come back as they were printed, and errors say where."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_ir import Names, expressions, kernels, loop_functions

from bough.base.source import Location
from bough.ir.dtypes import F16, F32, I32, I64
from bough.ir.expr import Apply, Const, Expr, Var
from bough.ir.kernel import Kernel, Let, Reduce
from bough.ir.kernel_text import parse_kernel, print_kernel, print_statement
from bough.ir.loops import Function
from bough.ir.loops_text import parse_loops, print_loops
from bough.ir.text import ParseError, parse_expr, print_expr

NAMES = Names((("x", F32, 2), ("at", I64, 1), ("s", F32, 0)), (("i", I64), ("j.tile", I64), ("v", F32)))
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@settings(max_examples=300, deadline=None, suppress_health_check=SLOW)
@given(st.sampled_from([F32, I64]).flatmap(lambda t: expressions(t, NAMES, 4)))
def test_expressions_come_back(e: Expr) -> None:
    text = print_expr(e)
    again = parse_expr(text, {name: dtype for name, dtype, _ in NAMES.arrays}, dict(NAMES.variables))
    assert again == e
    assert print_expr(again) == text


@settings(max_examples=100, deadline=None, suppress_health_check=SLOW)
@given(kernels())
def test_kernels_come_back(kernel: Kernel) -> None:
    assert parse_kernel(print_kernel(kernel)) == kernel


@settings(max_examples=100, deadline=None, suppress_health_check=SLOW)
@given(loop_functions())
def test_loops_come_back(function: Function) -> None:
    assert parse_loops(print_loops(function)) == function


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("1 + 2*3 - 4", "1 + 2 * 3 - 4"),
        ("(1 + 2) * 3", "(1 + 2) * 3"),
        ("1 - (2 - 3)", "1 - (2 - 3)"),
        ("((i)) // 4 % 3 < n", "i // 4 % 3 < n"),
        ("(i < 2) == (i < 3)", "(i < 2) == (i < 3)"),
        ("-1 - -2", "-1 - -2"),
        ("min(i, 2) # a comment", "min(i, 2)"),
        ("f16(1.0) + -0.5_f16", "f16(1.0) + -0.5_f16"),
        ("`odd name` + 1", "`odd name` + 1"),
        ("true", "true"),
        ("select(true, -inf_f64, nan_f64)", "select(true, -inf_f64, nan_f64)"),
    ],
)
def test_expression_texts(text: str, again: str) -> None:
    assert print_expr(parse_expr(text)) == again


def test_literals_have_their_types() -> None:
    assert parse_expr("2") == Const(2, I64)
    assert parse_expr("2_i32") == Const(2, I32)
    assert parse_expr("2.5e-3_f16") == Const(2.5e-3, F16)
    minus_zero = parse_expr("-0.0")
    assert isinstance(minus_zero, Const) and math.copysign(1, minus_zero.value) == -1


def test_a_reduction_is_no_function_call() -> None:
    kernel = parse_kernel(
        """
        kernel f(x: f32[4, 4]) -> (y: f32[])
          axes a: 4, b: 4
          r = max(a, b) x[a, b]
          s = max(r, 1.0)
          t = max(r, s) - 1.0
          y[] = t
        """
    )
    r, s, t, _ = kernel.body
    assert isinstance(r, Let) and isinstance(r.value, Reduce) and r.value.axes == ("a", "b")
    assert isinstance(s, Let) and isinstance(s.value, Apply) and s.value.args == (Var("r", F32), Const(1.0, F32))
    assert isinstance(t, Let) and isinstance(t.value, Apply) and t.value.function == "sub"
    assert print_statement(Let("q", Reduce("sum", ("a",), Const(-1.0, F32)))) == "q = sum(a) (-1.0)"


def test_locations_are_comments() -> None:
    plain = parse_kernel("kernel f(x: f32[]) -> (y: f32[])\n  y[] = x[]\n")
    located = Kernel(plain.name, plain.axes, plain.inputs, plain.outputs, plain.body, Location("model.py", 12))
    assert print_kernel(located).splitlines()[0].endswith("  # model.py:12")
    assert parse_kernel(print_kernel(located)) == located == plain


HEADER = "kernel f(x: f32[3]) -> (y: f32[3])\n  axes i: 3\n"


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ("  y[i] = x[i] + zzz(i)", 17, "unknown function zzz"),
        ("  y[i] = x[i] +", 16, "expected an expression but the line ends"),
        ("  y[i] = z[i]", 10, "unknown array z"),
        ("  y[i] = exp(x[i], x[i])", 10, "exp takes 1 operands, not 2"),
        ("  y[i] = x[i] x", 15, "expected the end of the line but found 'x'"),
        ("  y[i] ? x[i]", 8, "unexpected character '?'"),
        ("  y[i] = -x[i]", 11, "expected a number after the sign"),
        ("  y[i] = 1.5_i32", 10, "is no literal of type i32"),
        ("    y[i] = x[i]", 5, "unexpected indentation"),
        ("  if = 3", 3, "expected a statement but found 'if'"),
    ],
)
def test_errors_say_where(line: str, column: int, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_kernel(HEADER + line)
    assert (caught.value.line, caught.value.column) == (3, column)
    assert message in str(caught.value)
    assert str(caught.value).endswith(f"{line}\n  {' ' * (column - 1)}^")


def test_long_headers_may_be_broken() -> None:
    broken = "kernel f(\n  x: f32[3],  # the input\n  z: f32[3]\n)\n    -> (y: f32[3])\n  axes i: 3\n  y[i] = x[i] + z[i]"
    kernel = parse_kernel(broken)
    assert [o.name for o in kernel.inputs] == ["x", "z"]
    with pytest.raises(ParseError, match=r"line 5, column 12: unknown type f3[^2]"):
        parse_kernel(broken.replace("y: f32", "y: f3"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected 'kernel'|unexpected end"),
        ("kernel f(x: f31[3]) -> ()", "unknown type f31"),
        ("kernel f() -> ()\nkernel g() -> ()", "line 2, column 1: expected the end of the text"),
    ],
)
def test_wrong_texts(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        parse_kernel(text)
