"""Cells with control on computed values: an early end, a child chosen by what was computed, a state refined until it is good."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from recursive_models import EMBEDDING, HIDDEN, LEFT, MAIN, RIGHT, STATE, WORD, Build, Node, classifier
from test_lower import SETTINGS, expected, run

from bough.base.errors import CompileError
from bough.base.visits import Ask, Call, Collect, Payload, Question, Variant, Visit, Visits
from bough.frontends.staging import Staged
from bough.frontends.structure import Slot
from bough.graph_passes.fuse import fuse
from bough.ir import verify_sequence
from bough.ir.dtypes import F32
from bough.ir.interpret_sequence import Failed
from bough.ir.program import TensorType
from bough.ir.program_text import parse_program
from bough.ir.recursion import Cell, Read, Recursion, Returned
from bough.ir.verify_recursion import verify_recursion
from bough.pipeline.manifest import make_manifest
from bough.pipeline.options import make_options
from bough.pipeline.passes import run_passes
from bough.recursion import lower_recursion
from bough.runtime.structured import StructuredExecutable

RNG = np.random.default_rng(7)
WEIGHTS = {
    "e": EMBEDDING,
    "w": (RNG.standard_normal((HIDDEN, 2 * HIDDEN)) / 2).astype(np.float32),
    "u": (RNG.standard_normal((HIDDEN, HIDDEN)) / 2).astype(np.float32),
}

STOP = """func node(l: f32[4], r: f32[4], word: i64[]) -> (y)
  const w: f32[4, 8]
  const u: f32[4, 4]
  const e: f32[9, 4]
  zero: f32[] = full(shape=(), value=0.0, dtype=f32)
  x: f32[4] = embedding(e, word)
  g: f32[4] = linear(x, u, none)
  s: f32[] = reduce_sum(l, axes=(0,), keep=false)
  sure: bool[] = gt(s, zero)
  if sure
    a: f32[4] = add(l, g)
    b: f32[4] = tanh(a)
    s2: f32[] = reduce_sum(r, axes=(0,), keep=false)
    both: bool[] = gt(s2, zero)
    if both
      c: f32[4] = linear(r, u, none)
      d: f32[4] = mul(c, b)
    else
    join h: f32[4] = d, b
  else
    k: f32[8] = concat(l, r, axis=0)
    m: f32[4] = linear(k, w, none)
    o: f32[4] = tanh(m)
  join y: f32[4] = h, o
"""

REFINE = """func node(l: f32[4], r: f32[4], word: i64[]) -> (y)
  const w: f32[4, 8]
  const u: f32[4, 4]
  const e: f32[9, 4]
  limit: f32[] = full(shape=(), value=1.5, dtype=f32)
  most: i64[] = full(shape=(), value=6, dtype=i64)
  one: i64[] = full(shape=(), value=1, dtype=i64)
  k: f32[8] = concat(l, r, axis=0)
  m: f32[4] = linear(k, w, none)
  while
    carry h: f32[4] = m
    carry n: i64[] = word
    q: f32[4] = square(h)
    s: f32[] = reduce_sum(q, axes=(0,), keep=false)
    small: bool[] = lt(s, limit)
    few: bool[] = lt(n, most)
    more: bool[] = logical_and(small, few)
    test more
    a: f32[4] = linear(h, u, none)
    b: f32[4] = sin(a)
    c: f32[4] = add(b, h)
    n2: i64[] = add(n, one)
    next h = c -> last: f32[4]
    next n = n2 -> turns: i64[]
  y: f32[4] = tanh(last)
"""

CHOOSE = """func node(l: f32[4], r: f32[4], word: i64[]) -> (y)
  zero: i64[] = full(shape=(), value=4, dtype=i64)
  c: bool[] = lt(word, zero)
  if c
  else
  join y: f32[4] = l, r
"""


def tree(text: str) -> Recursion:
    """A binary tree whose nodes compute as the text says, from the states of both children and a word of their own."""
    function = parse_program(text, {n: a for n, a in WEIGHTS.items() if f"const {n}:" in text}).functions["node"]
    decision = Ask(Question(LEFT, "is_none"), 0, 1)
    leaf = Variant("leaf", payloads=(Payload(WORD, "i64"),), collects=(Collect(0, 0, 0),))
    node = Variant(
        "node", payloads=(Payload(WORD, "i64"),), calls=(Call("encode", LEFT), Call("encode", RIGHT)), collects=(Collect(0, 0, 2),)
    )
    b = Build("leaf")
    cells = {("main", 0): classifier(), ("encode", 0): b.cell(b("tanh", b.embed(0)))}
    cells["encode", 1] = Cell(function, (Returned(0, 0), Returned(1, 0), Read(0)))
    visits = Visits((MAIN, Visit("encode", decision, (leaf, node))), "main")
    return Recursion(visits, cells, {"main": (TensorType(F32, (3,)),), "encode": (STATE,)})


def random_tree(rng: np.random.Generator, leaves: int) -> Node:
    word = int(rng.integers(0, 9))
    if leaves == 1:
        return Node(word)
    cut = int(rng.integers(1, leaves))
    return Node(word, random_tree(rng, cut), random_tree(rng, leaves - cut))


def forest() -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(3)
    return [(random_tree(rng, n),) for n in (1, 2, 7, 12, 20, 3)]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("text", [STOP, REFINE, CHOOSE], ids=["stop", "refine", "choose"])
def test_activations_part_and_meet_again(text: str, setting: str) -> None:
    recursion = tree(text)
    verify_recursion(recursion)
    sequence = lower_recursion(recursion, SETTINGS[setting])
    verify_sequence(sequence)
    fused = fuse(sequence)
    verify_sequence(fused)
    for part in (forest(), forest()[:1], forest()[4:5]):
        want = expected(recursion, part)
        for code in (sequence, fused):
            for got, right in zip(run(recursion, code, part), want, strict=True):
                np.testing.assert_allclose(got, right, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("text", [STOP, REFINE, CHOOSE], ids=["stop", "refine", "choose"])
def test_native_code_gives_the_same_bits_alone_and_in_a_forest(text: str) -> None:
    recursion, options = tree(text), make_options(None, 2)
    assembled = (generated := run_passes(recursion, options)).assembled
    staged = Staged(recursion, Slot(0), ("tree",))
    constants = {n: np.array(a) for n, a in assembled.sequence.constants.items()}
    function = StructuredExecutable(make_manifest(staged, assembled, options.target), generated.code, constants, threads=2)
    roots = [root for (root,) in forest()]
    together = [np.asarray(r) for r in function.map(roots)]
    for root, row, right in zip(roots, together, expected(recursion, forest())[0], strict=True):
        assert np.asarray(function.call(root)).tobytes() == row.tobytes()
        np.testing.assert_allclose(row, right, rtol=1e-4, atol=1e-5)


def test_checks_fail_for_any_activation() -> None:
    recursion = tree(CHOOSE.replace("  if c\n", '  check c "ValueError" "too large"\n  if c\n'))
    code = fuse(lower_recursion(recursion))
    verify_sequence(code)
    assert run(recursion, code, [(Node(1, Node(8), Node(7)),)])
    with pytest.raises(Failed, match="too large"):
        run(recursion, code, [(Node(1, Node(8), Node(7)),), (Node(1, Node(8), Node(6, Node(1), Node(1))),)])


def test_sizes_that_a_recursion_computes_are_refused() -> None:
    size = "  size some = word in 0..4\n  part: f32[some] = slice(l, axis=0, start=0, stop=some, step=1)\n"
    text = CHOOSE.replace("  if c\n", f"{size}  if c\n")
    with pytest.raises(CompileError, match="BGH-REC-008"):
        lower_recursion(tree(text))
