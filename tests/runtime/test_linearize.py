"""The reference linearizer: numbering, arrays, collected places, sharing, depth, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from bough.base.errors import InputError
from bough.base.visits import (
    Ask,
    Attribute,
    Call,
    Collect,
    Each,
    Fail,
    Item,
    Names,
    Payload,
    Question,
    Variant,
    Visit,
    Visits,
    from_plain,
    to_plain,
)
from bough.runtime.linearize import Linearized, linearize

LEFT, RIGHT, WORD = (Attribute("left"),), (Attribute("right"),), (Attribute("word"),)


@dataclass(eq=False)
class Node:
    word: Any = 0
    left: Any = None
    right: Any = None


@dataclass(eq=False)
class Many:
    children: Any
    word: Any = 0


MAIN = Visit("main", 0, (Variant("main", calls=(Call("encode", (Item(0),)),)),))
ENCODE = Visit(
    "encode",
    Ask(Question(LEFT, "is_none"), 0, 1),
    (
        Variant("leaf", payloads=(Payload(WORD, "i64"),), collects=(Collect(0, 0, 0),)),
        Variant("node", calls=(Call("encode", LEFT), Call("encode", RIGHT)), collects=(Collect(0, 0, 1),)),
    ),
)
BINARY = Visits((MAIN, ENCODE), "main")
SUMS = Visits(
    (
        MAIN,
        Visit(
            "encode",
            0,
            (
                Variant(
                    "node",
                    each=(Each((Attribute("children"),)),),
                    calls=(Call("encode", (), each=0),),
                    payloads=(Payload(WORD, "f32"), Payload(WORD, "f32", each=0), Payload(None, "i64", each=0)),
                ),
            ),
        ),
    ),
    "main",
)


def run(tree: Any, visits: Visits = BINARY) -> Linearized:
    return linearize(visits, [(tree,)])


def refused(tree: Any, visits: Visits = BINARY) -> InputError:
    with pytest.raises(InputError) as caught:
        run(tree, visits)
    return caught.value


def test_a_tree_by_levels() -> None:
    #        a
    #      b   5
    #    1   c
    #       2 3
    tree = Node(left=Node(left=Node(1), right=Node(left=Node(2), right=Node(3))), right=Node(5))
    found = run(tree)
    a = found.arrays
    assert found.sizes["encode.0.count"] == 4 and found.sizes["encode.1.count"] == 3
    assert found.sizes["stage0.levels"] == 4 and found.sizes["stage1.levels"] == 1 and found.sizes["samples"] == 1
    assert a["encode.0.payload0"].tolist() == [1, 2, 3, 5]
    assert a["encode.1.start"].tolist() == [0, 0, 1, 2, 3]
    # Leaves are 0 to 3 of the state, then c, b, a.
    assert a["encode.1.target0"].tolist() == [1, 0, 5] and a["encode.1.target1"].tolist() == [2, 4, 3]
    assert a["main.0.target0"].tolist() == [6] and a["roots"].tolist() == [0]
    # Inner nodes append after their first child: 1, b, 2, c, 3, a, 5.
    assert a["encode.0.place0"].tolist() == [0, 2, 4, 6] and a["encode.1.place0"].tolist() == [3, 1, 5]
    assert a["list0.spans"].tolist() == [0, 7]
    assert found.sizes["encode.1.widest"] == 1 and found.sizes["encode.0.widest"] == 4


def test_a_walk() -> None:
    tree = Many([Many([], 2.0), Many([Many([], 4.0)], 3.0), Many({"x": Many([], 6.0), "y": Many((), 7.0)}, 5.0)], 1.0)
    found = run(tree, SUMS)
    a = found.arrays
    assert a["encode.0.start"].tolist() == [0, 0, 4, 6, 7]
    assert a["encode.0.payload0"].tolist() == [2, 4, 6, 7, 3, 5, 1]
    assert a["encode.0.each0.first"].tolist() == [0, 0, 0, 0, 0, 1, 3, 6]
    assert a["encode.0.each0.parent"].tolist() == [4, 5, 5, 6, 6, 6]
    assert a["encode.0.target0"].tolist() == [1, 2, 3, 0, 4, 5]
    assert a["encode.0.payload1"].tolist() == [4, 6, 7, 2, 3, 5]
    assert a["encode.0.payload2"].tolist() == [0, 0, 1, 0, 1, 2]
    assert found.sizes["encode.0.each0.elements"] == 6 and found.sizes["encode.0.each0.longest"] == 3
    assert found.sizes["encode.0.widest"] == 4 and found.sizes["encode.0.each0.widest"] == 3
    assert a["encode.0.payload0"].dtype == np.float32


def test_shared_nodes_are_one_in_a_sample_and_two_in_two() -> None:
    shared = Node(left=Node(1), right=Node(2))
    tree = (Node(left=shared, right=shared),)
    found = linearize(BINARY, [tree, tree])
    assert found.sizes["encode.0.count"] == 4 and found.sizes["encode.1.count"] == 4
    assert found.arrays["list0.spans"].tolist() == [0, 4, 8]
    assert found.arrays["roots"].tolist() == [0, 1]
    assert found.arrays["encode.1.target0"].tolist() == [0, 2, 4, 5]


def test_nothing_and_a_single_leaf() -> None:
    nothing = linearize(BINARY, [])
    assert nothing.sizes["samples"] == 0 and nothing.arrays["roots"].shape == (0,) and nothing.arrays["roots"].dtype == np.int64
    leaf = run(Node(4))
    assert leaf.sizes["encode.1.count"] == 0 and leaf.arrays["encode.1.start"].tolist() == [0, 0]
    assert leaf.arrays["encode.1.target0"].shape == (0,) and leaf.sizes["stage0.levels"] == 1


def test_a_chain_of_a_hundred_thousand() -> None:
    chain = Node(1)
    for n in range(100_000):
        chain = Node(left=chain, right=Node(n))
    found = run(chain)
    assert found.sizes["stage0.levels"] == 100_001
    assert found.arrays["encode.1.start"][-1] == 100_000
    while chain.left is not None:  # taken apart step by step: freeing it at once would recurse
        chain = chain.left


def test_values_from_tensors_and_arrays() -> None:
    torch = pytest.importorskip("torch")
    visits = Visits((Visit("main", 0, (Variant("main", payloads=(Payload((Item(0),), "f32", (2,)),)),)),), "main")
    for value in (torch.tensor([1.0, 2.0], requires_grad=True), np.array([1, 2], np.float32)):
        found = linearize(visits, [(value,)])
        assert found.arrays["main.0.payload0"].tolist() == [[1, 2]]
    half = Visits((Visit("main", 0, (Variant("main", payloads=(Payload((Item(0),), "bf16", (1,)),)),)),), "main")
    assert linearize(half, [(torch.ones(1, dtype=torch.bfloat16),)]).arrays["main.0.payload0"].tolist() == [[0x3F80]]


CIRCLE = Node(left=Node(1), right=Node(2))
CIRCLE.right = Node(left=CIRCLE, right=Node(1))


@pytest.mark.parametrize(
    ("tree", "code", "words"),
    [
        (Node(left=Node(1)), "BGH-ST-001", "None stands where an object with .left must be (at argument 0.right)"),
        (CIRCLE, "BGH-ST-003", "the structure has a circle (at argument 0.right.left)"),
        (Node(left=Node(1), right="leaf"), "BGH-ST-002", "an object of class str has no .left"),
        (Node(1.5), "BGH-ST-004", ".word is 1.5"),
        (Node(True), "BGH-ST-004", ".word is True"),
        (Node(1 << 70), "BGH-ST-004", "a number of i64 is expected"),
        (Node(np.zeros(3)), "BGH-ST-004", "a tensor of float64 and shape [3]"),
        (Node(None), "BGH-ST-001", ".word is None"),
    ],
)
def test_wrong_structures(tree: Any, code: str, words: str) -> None:
    error = refused(tree)
    assert error.code == code and words in str(error)


def test_a_walk_over_no_list() -> None:
    assert refused(Many(None), SUMS).code == "BGH-ST-001"
    error = refused(Many([Many([]), Many(iter([]))]), SUMS)
    assert error.code == "BGH-ST-002" and "argument 0.children[1]" in str(error)


@pytest.mark.parametrize(
    ("spoil", "way"),
    [
        (lambda tree: setattr(tree.children[1], "word", "w"), r"\(at argument 0.children\[1\]\)"),
        (lambda tree: setattr(tree.children[0].children[0], "word", None), r"\(at argument 0.children\[0\].children\[0\]\)"),
        (lambda tree: setattr(tree, "word", [1.0]), r"\(at argument 0\)"),
    ],
)
def test_wrong_payloads_say_where_they_are(spoil: Any, way: str) -> None:
    tree = Many([Many([Many([])]), Many([])])
    spoil(tree)
    with pytest.raises(InputError, match=way):
        run(tree, SUMS)


def test_a_long_way_is_cut() -> None:
    tree = Node(left=Node(1))
    for _ in range(1000):
        tree = Node(left=tree, right=Node(1))
    assert "argument 0.left.left.left ... (994 calls) ... .left.left.left.right" in str(refused(tree))


def test_a_refusing_decision() -> None:
    decision = Ask(Question((Item(0),), "at_most", 3, length=True), 0, Fail("more than three words"))
    visits = Visits((Visit("main", decision, (Variant("main"),)),), "main")
    assert linearize(visits, [([1, 2],)]).sizes["main.0.count"] == 1
    error = refused([1, 2, 3, 4], visits)
    assert error.code == "BGH-ST-005" and error.what == "more than three words"
    assert refused(7, visits).code == "BGH-ST-002"


@pytest.mark.parametrize(
    ("question", "yes", "no"),
    [
        (Question((Item(0),), "is_instance", ("builtins.int",)), True, "x"),
        (Question((Item(0),), "equals", "and"), "and", "or"),
        (Question((Item(0), Attribute("word")), "less", 3), Node(2), Node(3)),
        (Question((Item(0),), "has_attribute", "left"), Node(), Many([])),
        (Question((Item(0),), "has_key", "op"), {"op": 1}, {"left": 1}),
        (Question((Item(0),), "is_true"), [0], []),
    ],
)
def test_questions(question: Question, yes: Any, no: Any) -> None:
    visits = Visits((Visit("main", Ask(question, 1, 0), (Variant("no"), Variant("yes"))),), "main")
    visits = from_plain(to_plain(visits))
    assert [linearize(visits, [(v,)]).sizes[Names.count("main", 1)] for v in (yes, no)] == [1, 0]


def test_calls_of_one_walk_are_made_element_by_element() -> None:
    """`for c in children: first(c); second(c)` appends in this order, whatever the functions."""
    leaf = (Variant("leaf", payloads=(Payload((), "i64"),), collects=(Collect(0, 0, 0),)),)
    walk = Variant("main", each=(Each((Item(0),)),), calls=(Call("f", (), 0), Call("g", (), 0)))
    visits = Visits((Visit("main", 0, (walk,)), Visit("f", 0, leaf), Visit("g", 0, leaf)), "main")
    found = linearize(visits, [([1000, 2000],)])
    assert found.arrays["f.0.place0"].tolist() == [0, 2] and found.arrays["g.0.place0"].tolist() == [1, 3]


def test_a_walk_over_a_part_of_a_list() -> None:
    """As Python's slices: the first `skip` and the last `leave` elements are left out, where there are as many."""
    leaf = (Variant("leaf", payloads=(Payload((), "i64"),)),)
    for skip, leave in ((0, 0), (1, 0), (0, 1), (1, 2), (4, 0), (2, 3)):
        walk = Variant("main", each=(Each((Item(0),), skip, leave),), calls=(Call("f", (), 0),))
        visits = from_plain(to_plain(Visits((Visit("main", 0, (walk,)), Visit("f", 0, leaf)), "main")))
        values = [1000, 2000, 3000]
        found = linearize(visits, [(values,)])
        assert found.arrays["f.0.payload0"].tolist() == values[skip : max(len(values) - leave, 0)]
