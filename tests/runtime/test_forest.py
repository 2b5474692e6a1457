"""Structures given by columns: read as objects, and natively in place."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from test_linearizer import CHILDREN, LEFT, RIGHT, WORD, binary, check, compiled, is_native, nary

from bough.base.errors import InputError
from bough.base.visits import Ask, Call, Collect, Decision, Each, Item, Payload, Question, Variant, Visit, Visits
from bough.runtime.forest import Forest, Lists
from bough.runtime.linearize import linearize
from bough.runtime.linearizer import Linearizer
from bough.runtime.walker_layout import Word

RNG = np.random.default_rng(3)


def with_forests_read_in_place(linearizer: Linearizer, monkeypatch: pytest.MonkeyPatch) -> Linearizer:
    is_native(linearizer, monkeypatch)
    monkeypatch.setattr(Forest, "read", lambda self, index, name: pytest.fail(f"{name} was read as an attribute"))
    return linearizer


def compare(linearizer: Linearizer, samples: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The native walk over columns against the reference over attributes."""
    expected = linearize(linearizer.visits, samples)
    with monkeypatch.context() as patch:
        patch.setattr("test_linearizer.linearize", lambda visits, samples: expected)
        check(with_forests_read_in_place(linearizer, patch), samples)


def random_parents(nodes: int) -> np.ndarray[Any, Any]:
    return np.array([-1, *(RNG.integers(0, n) for n in range(1, nodes))])


def binary_forest(trees: int, inner: int, **values: Any) -> Forest:
    """Random binary trees: each leaf in turn gets two children."""
    parents: list[int] = []
    for _ in range(trees):
        leaves = [len(parents)]
        parents.append(-1)
        for _ in range(inner):
            parent = leaves.pop(int(RNG.integers(len(leaves))))
            leaves += [len(parents), len(parents) + 1]
            parents += [parent, parent]
    n = len(parents)
    return Forest.from_parents(parents, ("left", "right"), word=RNG.integers(0, 99, n), **{k: make(n) for k, make in values.items()})


def test_nodes_read_like_objects() -> None:
    torch = pytest.importorskip("torch")
    forest = Forest.from_parents([-1, 0, 0, 1, -1], word=[1, 2, 3, 4, 5], vector=torch.arange(10.0).reshape(5, 2))
    root = forest[0]
    assert [c.word for c in root.children] == [2, 3] and type(root.word) is int
    assert root.children[0].children[0].children == [] and root.children[1] is forest[2]
    assert torch.equal(forest[4].vector, torch.tensor([8.0, 9.0]))
    assert forest.roots() == [forest[0], forest[4]] and len(forest) == 5
    named = Forest.from_parents([-1, 0, 0, 1], ("left", "right"))
    assert named[0].left is named[1] and named[0].right is named[2] and named[1].right is None
    assert not hasattr(named[0], "word")


def test_binary_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    linearizer = compiled(binary(), linearize(binary(), []))
    for inner in (0, 1, 7):
        forest = binary_forest(5, inner)
        compare(linearizer, [(r,) for r in forest.roots()], monkeypatch)
        compare(linearizer, [(forest.roots()[0],)], monkeypatch)


def test_lists_shared_nodes_and_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    decision: Decision = Ask(
        Question((), "is_none"), 0, Ask(Question(CHILDREN, "at_most", 1, True), 1, Ask(Question(WORD, "less", 50), 2, 3))
    )
    walk = Each(CHILDREN)
    each = (Payload(WORD, "f32", each=0), Payload(None, "i64", each=0))
    node = Visit("encode", decision, (
        Variant("nothing", collects=(Collect(0, 0, 0),)),
        Variant("few", calls=(Call("encode", LEFT),), payloads=(Payload(WORD, "i16"),), collects=(Collect(0, 0, 1),)),
        Variant("some", (walk, Each(CHILDREN, 1)), (Call("encode", (), 0), Call("other", RIGHT), Call("other", (), 1)), each),
        Variant("many", (walk,), (Call("other", LEFT, 0),), (Payload(WORD, "f64"),)),
    ))  # fmt: skip
    other = Visit("other", Ask(Question((), "is_none"), 0, Ask(Question(CHILDREN, "is_true"), 1, 0)), (
        Variant("plain"), Variant("walk", (walk,), (Call("encode", (), 0),)),
    ))  # fmt: skip
    entry = Visit("forward", 0, (Variant("all", calls=(Call("encode", (Item(0),)), Call("other", (Item(1),)))),))
    visits = Visits((entry, node, other), "forward")
    linearizer = compiled(visits, linearize(visits, []))
    n = 60
    lists = [RNG.integers(0, i, RNG.integers(0, 4)) if i else np.array([], np.int64) for i in range(n)]
    first = np.concatenate(([0], np.cumsum([len(x) for x in lists])))
    below = np.array([RNG.integers(-1, i) if i else -1 for i in range(n)])
    forest = Forest(
        {"left": below, "right": below[::-1][np.argsort(below[::-1], kind="stable")] * 0 - 1},
        {"children": Lists(first, np.concatenate(lists))}, {"word": RNG.integers(0, 99, n)},
    )  # fmt: skip
    compare(linearizer, [(forest[k], forest[k - 7]) for k in range(20, n)], monkeypatch)


@pytest.mark.parametrize("of_torch", [False, True])
@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_rows(of_torch: bool, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    types = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
    visits = binary(dtype, (4,))
    linearizer = compiled(visits, linearize(visits, []))

    def column(n: int) -> Any:
        made = torch.randn(n, 4).to(types[dtype])
        return made if of_torch else made.view(torch.int16).numpy().view(np.uint16) if dtype == "bf16" else made.numpy()

    forest = binary_forest(3, 4)
    forest.values["word"] = column(len(forest))
    compare(linearizer, [(r,) for r in forest.roots()], monkeypatch)


def test_forests_and_objects_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    visits = nary(Payload(WORD, "f32", (2,)))
    linearizer = compiled(visits, linearize(visits, []))
    is_native(linearizer, monkeypatch)
    forests = [Forest.from_parents(random_parents(9), word=np.ones((9, 2), np.float32) * k) for k in range(3)]
    flat = linearizer.flat()

    class Node:
        def __init__(self, value: float, *children: Any) -> None:
            self.word, self.children = np.full(2, value, np.float32), list(children)

    tree = Node(1, Node(2), Node(3, Node(4)))
    mixed = Node(5, forests[0][3], Node(6))
    for sample in (tree, forests[0][0], forests[1][0], tree, mixed, forests[2][0], tree):
        check(linearizer, [(sample,)])
        linearizer.fill(flat, [(sample,)])
    monkeypatch.undo()
    check(linearizer, [(forests[0][0],), (forests[1][0],), (tree,)])


def test_one_object_in_more_places_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Visit("forward", 0, (Variant("all", (Each((Item(0),)),), (Call("encode", (), 0),)),))
    visits = Visits((entry, binary().function("encode")), "forward")
    forest = binary_forest(1, 1)
    linearizer = compiled(visits, linearize(visits, []))
    compare(linearizer, [([forest[1]] * 9000,), ([forest[0]] * 9,)], monkeypatch)
    flat = check(linearizer, [([forest[1]] * 9000,)])
    assert flat._words[Word.REFERENCES_SIZE] >= 3 * 9000


def test_forests_that_are_made_when_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late:
        @property
        def left(self) -> Any:
            return Forest.from_parents([-1, 0, 0], ("left", "right"), word=np.arange(3))[0]

        right = left

    linearizer = compiled(binary(), linearize(binary(), []))
    is_native(linearizer, monkeypatch)
    flat = linearizer.flat()
    for _ in range(20):
        check(linearizer, [(Late(),), (Late(),)], flat)


def test_rows_of_numbers_are_within_bounds() -> None:
    visits = nary(Payload(WORD, "i64", (2,), range=(0, 9)))
    linearizer = compiled(visits, linearize(visits, []))
    forest = Forest.from_parents([-1, 0, 0, 2], word=np.array([[0, 9], [1, 2], [3, 4], [5, 10]]))
    check(linearizer, [(forest[1],)])
    for _ in range(2):
        with pytest.raises(InputError, match="BGH-ST-008"):
            linearizer([(forest[0],)])


def test_columns_that_are_negated_where_they_are_read() -> None:
    torch = pytest.importorskip("torch")
    visits = binary("f32", (4,))
    linearizer = compiled(visits, linearize(visits, []))
    forest = binary_forest(2, 3)
    forest.values["word"] = torch.randn(len(forest), 4, dtype=torch.complex64).conj().imag
    assert forest.values["word"].is_neg()
    check(linearizer, [(r,) for r in forest.roots()])


def test_columns_that_do_not_fit_are_read_like_objects() -> None:
    linearizer = compiled(binary("f32"), linearize(binary("f32"), []))
    forest = binary_forest(2, 3)
    forest.values["word"] = np.array([1 << 60] * len(forest))
    with pytest.raises(InputError, match="BGH-ST-004"):
        linearizer([(forest[0],)])
    forest = binary_forest(2, 3)
    check(linearizer, [(r,) for r in forest.roots()])
    del forest.values["word"]
    with pytest.raises(InputError, match="BGH-ST-002"):
        linearizer([(binary_forest(1, 1),)])


def test_circles_and_none_are_explained() -> None:
    linearizer = compiled(binary(), linearize(binary(), []))
    words = np.zeros(3, np.int64)
    circle = Forest({"left": [1, 0, -1], "right": [2, 2, -1]}, values={"word": words})
    with pytest.raises(InputError, match="BGH-ST-003"):
        linearizer([(circle[0],)])
    half = Forest({"left": [1, -1, -1], "right": [-1, -1, -1]}, values={"word": words})
    with pytest.raises(InputError, match="BGH-ST-001"):
        linearizer([(half[0],)])


@dataclass(frozen=True)
class Number:
    word: int = 0

    def twice(self) -> int:
        return 2 * self.word


class Sum(ABC):  # noqa: B024
    __slots__ = ("left", "right")

    @property
    def is_sum(self) -> bool:
        return self.left is not None


def test_objects_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {of: f"{of.__module__}.{of.__qualname__}" for of in (Number, Sum)}
    decision = Ask(Question((), "is_instance", (names[Number],)), 0, Ask(Question(LEFT, "is_instance", (names[Sum], "builtins.NoneType")), 1, 2))
    variants = (
        Variant("number", payloads=(Payload(WORD, "i64"),)), Variant("deep", calls=(Call("encode", LEFT), Call("encode", RIGHT))),
        Variant("flat", calls=(Call("encode", LEFT), Call("encode", RIGHT))),
    )  # fmt: skip
    entry = Visit("forward", 0, (Variant("all", calls=(Call("encode", (Item(0),)),)),))
    visits = Visits((entry, Visit("encode", decision, variants)), "forward")
    linearizer = compiled(visits, linearize(visits, []))
    plain = binary_forest(4, 9)
    kinds = (plain.references["left"] >= 0).astype(np.int64)
    forest = Forest(plain.references, values=plain.values, classes=(Number, Sum), kinds=kinds)
    roots = forest.roots()
    assert all(isinstance(r, Sum) and r.is_sum for r in roots)
    leaf = forest[int(np.flatnonzero(kinds == 0)[0])]
    assert isinstance(leaf, Number) and leaf.twice() == 2 * int(plain.values["word"][leaf.index])
    check(linearizer, [(r,) for r in roots])
    simple = type("Simple", (), {})
    names = f"{simple.__module__}.{simple.__qualname__}"
    one = Visits((entry, Visit("encode", Ask(Question((), "is_instance", (names,)), Ask(Question(LEFT, "is_none"), 0, 1), 2), variants)), "forward")
    compare(compiled(one, linearize(one, [])), [(r,) for r in Forest(plain.references, values=plain.values, classes=simple).roots()], monkeypatch)
    with pytest.raises(InputError, match="BGH-ST-007"):
        Forest({"left": [-1]}, classes=list)[0]


@pytest.mark.parametrize("wrong", [
    lambda: Forest(), lambda: Forest({"left": [0, -1]}, values={"word": [1, 2, 3]}),
    lambda: Forest({"left": [0.5]}), lambda: Forest.from_parents([-1, 5]), lambda: Forest.from_parents([-1, 0, 0, 0], ("left", "right")),
    lambda: Forest(lists={"children": Lists(np.array([0, 2]), np.array([0]))}), lambda: Forest({"left": [[0]]}),
    lambda: Forest(lists={"children": Lists(np.array([0, 1]), np.array([3]))}), lambda: Forest({"left": [-2, 0, 0]}),
    lambda: Forest(lists={"children": Lists(np.array([0, 2, 1, 2]), np.array([0, 0]))}),
])  # fmt: skip
def test_wrong_columns(wrong: Any) -> None:
    with pytest.raises(InputError, match="BGH-ST-007"):
        wrong()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_numbers_of_tensors(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    numbers = torch.tensor([1.5, -2.0, 3.25], dtype=getattr(torch, dtype), requires_grad=True)
    forest = Forest.from_parents([-1, 0, 0], ("left", "right"), word=numbers)
    assert [forest[n].word for n in range(3)] == [1.5, -2.0, 3.25] and type(forest[0].word) is float
    linearizer = compiled(binary("f32"), linearize(binary("f32"), []))
    check(linearizer, [(forest[0],), (forest[2],)])
