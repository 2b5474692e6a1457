"""Recursions: their text, and what their verifier refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough.base.errors import InternalError
from bough.base.spans import Index
from bough.base.visits import Ask, Attribute, Call, Collect, Each, Fail, Item, Payload, Question, Slice, Variant, Visit, Visits
from bough.ir.dtypes import F32, F64
from bough.ir.expr import Var
from bough.ir.parse_recursion import parse_recursion
from bough.ir.program import Assign, Dim, Function, TensorType, Value
from bough.ir.recursion import Cell, Read, Recursion, Returned
from bough.ir.recursion_text import print_recursion
from bough.ir.text import ParseError
from bough.ir.verify_recursion import verify_recursion

STATE = TensorType(F32, (4,))


def recursion() -> Recursion:
    """Leaves give their vectors, nodes the sums of their children."""
    main = Variant("main", calls=(Call("total", (Item(0),)),))
    leaf = Variant("leaf", payloads=(Payload((Attribute("vector"),), "f32", (4,)),))
    node = Variant("node", (Each((Attribute("children"),)),), (Call("total", (), 0),), collects=(Collect(0, 0, 1),))
    decision = Ask(Question((Attribute("children"),), "equals", 0, length=True), 0, 1)
    visits = Visits((Visit("main", 0, (main,)), Visit("total", decision, (leaf, node))), "main")

    def identity(name: str, source: Any) -> Cell:
        x = Value("x", STATE)
        return Cell(Function(name, (x,), {}, [], (x,)), (source,))

    hs, h = Value("hs", TensorType(F32, (Var("A"), 4))), Value("h", STATE)
    add_up = Assign((h,), "reduce_sum", (hs,), {"axes": (0,), "keep": False})
    sums = Cell(Function("node", (hs,), {}, [add_up], (h,), (Dim("A", 0),)), (Returned(0, 0),), ("A",))
    cells = {("main", 0): identity("main", Returned(0, 0)), ("total", 0): identity("leaf", Read(0)), ("total", 1): sums}
    return Recursion(visits, cells, {"main": (STATE,), "total": (STATE,)})


def test_the_text() -> None:
    verify_recursion(recursion())
    assert print_recursion(recursion()) == """\
recursion main
  function main -> f32[4]
    variant main
    variant main
      call 0: total([0])
      param x = call 0 result 0
      func main(x: f32[4]) -> (x)
  function total -> f32[4]
    ask length of .children equals 0
      yes: variant leaf
      no: variant node
    variant leaf
      payload 0: .vector: f32[4]
      param x = payload 0
      func leaf(x: f32[4]) -> (x)
    variant node
      walk A: .children
      call 0: total(it) for each of A
      collect in list 0: result 0 after 1 calls
      param hs = call 0 result 0
      func node(hs: f32[A, 4]) -> (h)
        dims A: 0..
        h: f32[4] = reduce_sum(hs, axes=(0,), keep=false)
"""


NAMES = st.text(st.characters(categories=["L", "Nd"], max_codepoint=0x250), min_size=1, max_size=6).map(lambda s: f"n{s}")
INDICES = st.builds(Index, st.integers(-3, 3), st.integers(-9, 9), st.integers(1, 4))
STEPS = st.one_of(
    st.builds(Attribute, NAMES),
    st.builds(Item, st.integers(-9, 99) | st.text(max_size=5) | INDICES),
    st.builds(Slice, INDICES, INDICES),
)
PATHS = st.lists(STEPS, max_size=4).map(tuple)
PLAIN = st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=8)
QUESTIONS = st.one_of(
    st.builds(Question, PATHS, st.sampled_from(["is_none", "is_true"]), length=st.booleans()),
    st.builds(Question, PATHS, st.sampled_from(["equals", "less", "at_most", "has_attribute", "has_key"]), PLAIN),
    st.builds(Question, PATHS, st.just("is_instance"), st.lists(NAMES, min_size=1, max_size=3).map(tuple)),
)
DECISIONS = st.recursive(
    st.sampled_from([0, 1]) | st.builds(Fail, st.text(max_size=12)), lambda d: st.builds(Ask, QUESTIONS, d, d), max_leaves=8
)


@given(DECISIONS, PATHS, PATHS, st.integers(0, 3), st.tuples(st.integers(-9, 0), st.integers(0, 99)) | st.none())
def test_the_text_parses_back(decision: Any, path: Any, walk: Any, skip: int, allowed: Any) -> None:
    main, total = recursion().visits.functions
    leaf = replace(total.variants[0], payloads=(Payload(path, "f32", (4,), range=allowed),), repeats=skip > 1)
    node = replace(total.variants[1], each=(Each(walk, skip, 1),), calls=(Call("total", path, 0),))
    whole = replace(recursion(), visits=Visits((main, replace(total, decision=decision, variants=(leaf, node))), "main"))
    found = parse_recursion(print_recursion(whole))
    assert found.visits == whole.visits and print_recursion(found) == print_recursion(whole)


@pytest.mark.parametrize("line", ["ask .a is odd", "call 0: total(", "param x = payload", "variant leaf twice"])
def test_what_is_no_recursion(line: str) -> None:
    text = print_recursion(recursion())
    old = {"ask": "ask length of .children equals 0", "call": "call 0: total([0])", "para": "param x = payload 0"}
    with pytest.raises(ParseError, match="line"):
        parse_recursion(text.replace(old.get(line[:4].strip(), "variant leaf\n      payload"), line))


def with_variant(r: Recursion, **changes: Any) -> Recursion:
    """With another variant 1 of `total`."""
    main, total = r.visits.functions
    changed = replace(total, variants=(total.variants[0], replace(total.variants[1], **changes)))
    return replace(r, visits=replace(r.visits, functions=(main, changed)))


def with_cell(r: Recursion, **changes: Any) -> Recursion:
    return replace(r, cells={**r.cells, ("total", 1): replace(r.cells["total", 1], **changes)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: replace(r, visits=replace(r.visits, entry="other")), "the entry other"),
        (lambda r: replace(r, cells={}), "cells and results"),
        (lambda r: with_variant(r, name="leaf"), "one name"),
        (lambda r: with_variant(r, calls=(Call("none", (), 0),)), "calls none"),
        (lambda r: with_variant(r, calls=(Call("total", (), 1),)), "walk that does not exist"),
        (lambda r: with_variant(r, calls=(Call("total", ()),)), "hs is f32[A, 4] and must be f32[4]"),
        (lambda r: with_variant(r, collects=(Collect(0, 1, 0),)), "collects result 1"),
        (lambda r: with_variant(r, collects=(Collect(1, 0, 0),)), "lists are numbered [1]"),
        (lambda r: with_variant(r, collects=(Collect(0, 0, 2),)), "after calls that do not exist"),
        (lambda r: with_cell(r, sizes=("B",)), "sizes B"),
        (lambda r: with_cell(r, sources=()), "0 sources for 1 parameters"),
        (lambda r: with_cell(r, sources=(Read(0),)), "no payload 0"),
        (lambda r: replace(r, results={**r.results, "total": (TensorType(F64, (4,)),)}), "must be f64[4]"),
    ],
)
def test_broken_promises(change: Callable[[Recursion], Recursion], words: str) -> None:
    with pytest.raises(InternalError) as caught:
        verify_recursion(change(recursion()))
    assert words in str(caught.value)
