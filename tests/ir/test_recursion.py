"""Recursions: their text, and what their verifier refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bough.base.errors import InternalError
from bough.base.visits import Ask, Attribute, Call, Collect, Each, Item, Payload, Question, Variant, Visit, Visits
from bough.ir.dtypes import F32, F64
from bough.ir.expr import Var
from bough.ir.program import Assign, Dim, Function, TensorType, Value
from bough.ir.recursion import Cell, Read, Recursion, Returned
from bough.ir.recursion_text import print_recursion
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
      func main(x: f32[4]) -> (x)
        x = call 0 result 0
  function total -> f32[4]
    ask length of .children equals 0
      yes: variant leaf
      no: variant node
    variant leaf
      payload 0: .vector: f32[4]
      func leaf(x: f32[4]) -> (x)
        x = payload 0
    variant node
      walk 0: .children
      call 0: total(it) for each of walk 0
      collect in list 0: result 0 after 1 calls
      func node(hs: f32[A, 4]) -> (h)
        hs = call 0 result 0
        dims A: 0..
        h: f32[4] = reduce_sum(hs, axes=(0,), keep=false)
"""


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
