"""Passes over values: what they change, as text, and that programs mean the same behind them."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_control import RandomControl

from bough import ops
from bough.graph_passes.values import drop_dead, fold_constants, merge_views, share
from bough.ir.dtypes import DTYPES
from bough.ir.interpret_program import CheckFailed, run_program
from bough.ir.program import Assign, Function, Node, Program, TensorType, Value
from bough.ir.program_text import parse_program, print_program
from bough.ir.verify_program import verify_program

Pass = Callable[[Program], Program]


def same(step: Pass, text: str, constants: dict[str, np.ndarray[Any, Any]] | None = None) -> str:
    """The text behind a pass and without what is dead, for which it must mean the same."""
    program = parse_program(text.lstrip("\n"), constants or {})
    verify_program(program, ops.infer)
    new = step(program)
    verify_program(new, ops.infer)
    new = drop_dead(new)
    verify_program(new, ops.infer)
    drawn = np.random.default_rng(0)
    f = program.functions["main"]
    for size in (1, 3):
        shapes = [tuple(e if isinstance(e, int) else size for e in p.type.shape) for p in f.params]
        args = [drawn.standard_normal(s).astype(p.type.dtype.numpy) for s, p in zip(shapes, f.params, strict=True)]
        for a in args:
            if a.size and a.dtype.kind == "f":
                a.flat[0], a.flat[-1] = np.nan, -0.0
        assert outcome(new, args) == outcome(program, args)
    return "\n" + print_program(new, locations=False)


def outcome(program: Program, args: list[np.ndarray[Any, Any]]) -> object:
    try:
        return [(a.dtype, a.shape, a.tobytes()) for a in run_program(program, args, ops.evaluate, turns=50)]
    except CheckFailed as failed:
        return failed.error, failed.message


def test_constants_are_folded_unless_they_grow() -> None:
    text = """
func main(x: f32[4]) -> (y, z)
  const w: f32[4]
  a: f32[4] = exp(w)
  b: f32[4] = mul(a, w)
  y: f32[4] = add(x, b)
  large: f32[100000, 4] = expand(w, shape=(100000, 4))
  z: f32[100000, 4] = mul(large, x)
"""
    assert same(fold_constants, text, {"w": np.arange(4, dtype=np.float32)}) == """
func main(x: f32[4]) -> (y, z)
  const w: f32[4]
  const b: f32[4]
  y: f32[4] = add(x, b)
  large: f32[100000, 4] = expand(w, shape=(100000, 4))
  z: f32[100000, 4] = mul(large, x)
"""


def test_constants_inside_bodies() -> None:
    text = """
func main(x: f32[4], c: bool[]) -> (y)
  const w: f32[4]
  if c
    a: f32[4] = exp(w)
  else
    b: f32[4] = neg(x)
  join y: f32[4] = a, b
"""
    assert same(fold_constants, text, {"w": np.arange(4, dtype=np.float32)}) == """
func main(x: f32[4], c: bool[]) -> (y)
  const a: f32[4]
  if c
  else
    b: f32[4] = neg(x)
  join y: f32[4] = a, b
"""


def test_chains_of_views() -> None:
    text = """
func main(x: f32[batch, 2, 3, 1, 4]) -> (d, h, i)
  dims batch: 0..
  a: f32[batch, 6, 4] = reshape(x, shape=(batch, 6, 4))
  b: f32[batch, 6, 1, 4] = reshape(a, shape=(batch, 6, 1, 4))
  c: f32[batch, 1, 6, 4] = permute(b, order=(0, 2, 1, -1))
  d: f32[batch, 24] = reshape(c, shape=(batch, 24))
  e: f32[6, 4, batch] = permute(a, order=(1, 2, 0))
  f: f32[batch, 6, 4] = permute(e, order=(2, 0, 1))
  g: f32[batch, 2, 3, 1, 4] = reshape(f, shape=(batch, 2, 3, 1, 4))
  h: f32[batch, 2, 3, 1, 4] = neg(g)
  i: f32[4, batch, 6] = permute(e, order=(1, 2, 0))
"""
    assert same(merge_views, text) == """
func main(x: f32[batch, 2, 3, 1, 4]) -> (d, h, i)
  dims batch: 0..
  a: f32[batch, 6, 4] = reshape(x, shape=(batch, 6, 4))
  d: f32[batch, 24] = reshape(x, shape=(batch, 24))
  h: f32[batch, 2, 3, 1, 4] = neg(x)
  i: f32[4, batch, 6] = permute(a, order=(2, 0, 1))
"""


def test_a_permutation_of_a_square_moves_elements() -> None:
    text = """
func main(x: f32[3, 3]) -> (y)
  y: f32[3, 3] = permute(x, order=(1, 0))
"""
    assert same(merge_views, text) == text


def test_views_that_do_nothing() -> None:
    text = """
func main(x: f32[3, 4]) -> (y)
  a: f32[3, 4] = copy(x)
  b: f32[3, 4] = expand(a, shape=(-1, 4))
  c: f32[3, 4] = repeat(b, repeats=(1, 1))
  d: f32[3, 4] = concat(c, axis=0)
  e: f32[3, 4] = permute(d, order=(0, 1))
  f: f32[1, 3, 4] = expand(e, shape=(1, 3, 4))
  g: f32[5, 3, 4] = expand(f, shape=(5, -1, 4))
  y: f32[5, 3, 4] = neg(g)
"""
    assert same(merge_views, text) == """
func main(x: f32[3, 4]) -> (y)
  g: f32[5, 3, 4] = expand(x, shape=(5, 3, 4))
  y: f32[5, 3, 4] = neg(g)
"""


def test_conversions() -> None:
    text = """
func main(x: f32[3], n: i32[3], m: i64[3]) -> (a2, b2, c2, d2, e2)
  a: f64[3] = cast(x, dtype=f64)
  a2: f32[3] = cast(a, dtype=f32)
  b: f64[3] = cast(n, dtype=f64)
  b2: f32[3] = cast(b, dtype=f32)
  c: f64[3] = cast(n, dtype=f64)
  c2: i8[3] = cast(c, dtype=i8)
  d: f32[3] = cast(m, dtype=f32)
  d2: i64[3] = cast(d, dtype=i64)
  e: i64[3] = cast(n, dtype=i64)
  e2: u8[3] = cast(e, dtype=u8)
"""
    assert same(merge_views, text) == """
func main(x: f32[3], n: i32[3], m: i64[3]) -> (x, b2, c2, d2, e2)
  b2: f32[3] = cast(n, dtype=f32)
  c: f64[3] = cast(n, dtype=f64)
  c2: i8[3] = cast(c, dtype=i8)
  d: f32[3] = cast(m, dtype=f32)
  d2: i64[3] = cast(d, dtype=i64)
  e2: u8[3] = cast(n, dtype=u8)
"""


def test_values_and_constants_are_shared() -> None:
    text = """
func main(x: f32[4], c: bool[]) -> (y, z)
  const w: f32[4]
  const v: f32[4]
  const other: f32[4]
  a: f32[4] = mul(x, w)
  b: f32[4] = mul(x, v)
  d: f32[4] = mul(x, other)
  if c
    e: f32[4] = mul(x, w)
    f: f32[4] = exp(e)
  else
    g: f32[4] = exp(a)
    h: f32[4] = exp(b)
    i: f32[4] = add(g, h)
  join y: f32[4] = f, i
  j: f32[4] = exp(a)
  z: f32[4] = add(j, d)
"""
    w = np.arange(4, dtype=np.float32)
    assert same(share, text, {"w": w, "v": w.copy(), "other": w + 1}) == """
func main(x: f32[4], c: bool[]) -> (y, z)
  const w: f32[4]
  const other: f32[4]
  a: f32[4] = mul(x, w)
  d: f32[4] = mul(x, other)
  if c
    f: f32[4] = exp(a)
  else
    g: f32[4] = exp(a)
    i: f32[4] = add(g, g)
  join y: f32[4] = f, i
  j: f32[4] = exp(a)
  z: f32[4] = add(j, d)
"""


def test_attributes_and_signs_of_zero_tell_apart() -> None:
    text = """
func main(x: f32[4]) -> (y)
  const w: f32[4]
  const v: f32[4]
  a: f32[4] = leaky_relu(x, slope=0.0)
  b: f32[4] = leaky_relu(x, slope=-0.0)
  c: f32[4] = div(a, w)
  d: f32[4] = div(b, v)
  y: f32[4] = add(c, d)
"""
    zeros = np.zeros(4, np.float32)
    assert same(share, text, {"w": zeros, "v": -zeros}) == text


def test_what_is_dead_goes_from_straight_programs_too() -> None:
    program = parse_program("func main(x: f32[4]) -> (y)\n  y: f32[4] = neg(x)\n  z: f32[4] = exp(y)\n")
    assert print_program(drop_dead(program)) == "func main(x: f32[4]) -> (y)\n  y: f32[4] = neg(x)\n"


@pytest.mark.parametrize("step", [fold_constants, merge_views, share, drop_dead])
def test_programs_without_anything_to_do_come_out_as_they_are(step: Pass) -> None:
    program = parse_program("func main(x: f32[4]) -> (y)\n  y: f32[4] = neg(x)\n")
    assert step(program) is program


@pytest.mark.parametrize("step", [fold_constants, merge_views, share, drop_dead])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_random_programs_with_control(step: Pass, seed: int) -> None:
    program = RandomControl(Random(seed)).program()
    before = print_program(program)
    new = step(program)
    verify_program(new, ops.infer)
    assert print_program(program) == before, "a pass changes the program that it is given"
    for n in (0, 1, 3):
        args = [np.array([0.5, -0.25, 1.0], np.float32), np.array(n)]
        assert outcome(new, args) == outcome(program, args)


def numbers(kind: TensorType) -> tuple[int, ...]:
    """The shape of a type without symbolic sizes."""
    return tuple(e for e in kind.shape if isinstance(e, int))


def random_views(seed: int) -> Program:
    """A program of views and conversions of values that came before."""
    drawn = Random(seed)
    x = Value("x", TensorType(DTYPES[drawn.choice(["f32", "i32", "i64"])], tuple(drawn.choice([1, 2, 3]) for _ in range(3))))
    values, body = [x], list[Node]()
    for n in range(12):
        source = drawn.choice(values[-3:])
        rank, shape = source.type.rank, numbers(source.type)
        dtype, attributes = source.type.dtype, dict[str, Any]()
        op = drawn.choice(["reshape", "permute", "permute", "expand", "cast", "copy"])
        if op == "reshape":
            flat = [e for e in shape if e != 1]
            drawn.shuffle(flat)
            attributes = {"shape": tuple(drawn.choice([flat, [*flat, 1], [1, *flat], [prod(flat)]]))}
        elif op == "permute":
            attributes = {"order": tuple(drawn.choice([d, d - rank]) for d in drawn.sample(range(rank), rank))}
        elif op == "expand":
            attributes = {"shape": (*((drawn.choice([1, 2]),) * (rank < 4)), *(drawn.choice([-1, e]) if e > 1 else 2 for e in shape))}
        elif op == "cast":
            attributes = {"dtype": DTYPES[drawn.choice(["f32", "f64", "i32", "i64", "i16", "bool"])]}
        (kind,) = ops.infer(op, [TensorType(dtype, shape)], attributes)
        if prod(numbers(kind)) > 500:
            continue
        result = Value(f"v{n}", kind)
        body.append(Assign((result,), op, (source,), attributes))
        values.append(result)
    return Program({"main": Function("main", (x,), {}, body, tuple(drawn.sample(values[1:], min(2, len(values) - 1))))})


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_random_chains_of_views(seed: int) -> None:
    program = random_views(seed)
    verify_program(program, ops.infer)
    new = drop_dead(merge_views(program))
    verify_program(new, ops.infer)
    f = program.functions["main"]
    assert len(new.functions["main"].body) <= len(f.body)
    (x,) = f.params
    shape = numbers(x.type)
    args = [(np.arange(prod(shape)) * 37 % 101 - 50).reshape(shape).astype(x.type.dtype.numpy)]
    assert outcome(new, args) == outcome(program, args)
