"""Attributes are read where they lie, and followed wherever they move: the walk gives what the reference gives."""

from __future__ import annotations

import copy
import enum
import gc
import pickle
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from test_linearizer import Node, binary, check, is_native, made, perfect

from bough.runtime.attribute_places import NO_PLACE, NOTED, Places, place_of, values_of

pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="places are known of Python 3.11 alone")


class Plain:
    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b


@dataclass(slots=True)
class Slotted:
    a: Any
    b: Any


@dataclass
class Defaults:
    a: Any = None
    b: Any = None


class Odd(Plain):
    @property
    def c(self) -> Any:
        return self.a

    def __getattr__(self, name: str) -> Any:
        return self.b


class Other(Plain):
    def __getattribute__(self, name: str) -> Any:
        return 3


class Color(enum.Enum):
    RED = object()


class Number(enum.Enum):
    ONE = 1

    @property
    def value(self) -> int:
        return 2


def test_places() -> None:
    x, y = object(), object()
    assert place_of(Plain(x, y), "b") == 2 * 8 + 1
    assert place_of(Slotted(x, y), "b") == 2 * 24
    assert place_of(Defaults(x, y), "a") == 1
    assert place_of(Odd(x, y), "a") == 1
    place = place_of(Color.RED, "value")
    assert place == place_of(Color.RED, "_value_") != NO_PLACE
    assert place is not None


@pytest.mark.parametrize("obj", [Odd(1, 2), Other(1, 2), Number.ONE, 3, (1, 2), Plain])
def test_what_has_no_place(obj: Any) -> None:
    name = {Odd: "c", Other: "a", Number: "value", int: "real", tuple: "count", type: "__name__"}[type(obj)]
    assert place_of(obj, name) == NO_PLACE


class Counted(enum.Enum):
    FIRST, SECOND = 0, 1


class Labelled(enum.Enum):
    """Its members have an attribute of their own before their value."""

    FIRST, SECOND = (0, 7), (1, 1)

    def __new__(cls, value: int, label: int) -> Labelled:
        made = object.__new__(cls)
        made.label = label  # type: ignore[attr-defined]
        made._value_ = value
        return made


def test_values_of_enumerations_that_are_their_numbers() -> None:
    place = place_of(Counted.FIRST, "value")
    assert place is not None and place == place_of(Counted.SECOND, "value") == place_of(Color.RED, "value") != NO_PLACE
    first = place_of(Labelled.FIRST, "value")
    assert first is not None and first != place_of(Labelled.FIRST, "label")
    assert place_of(Labelled.SECOND, "value") is None


def test_what_does_not_tell() -> None:
    one = object()
    assert place_of(Plain(one, one), "a") is None  # both places hold it
    assert place_of(Defaults(None, 1), "a") is None  # it might be the class's
    assert place_of(Odd(1, 2), "d") is None
    apart = Plain(object(), object())
    apart.__dict__ = {"a": object(), "b": object()}  # a dictionary with names of its own
    assert values_of(apart) == 0
    assert place_of(apart, "a") is None


def test_values_of_dictionaries() -> None:
    """As objects have them that were looked at, copied, or read by pickle."""
    x, y = object(), object()
    looked_at = Plain(x, y)
    assert vars(looked_at)
    for obj in (looked_at, copy.copy(Plain(x, y))):
        assert values_of(obj) != 0
        assert place_of(obj, "b") == place_of(Plain(x, y), "b")
    of_another = Plain(x, y)
    of_another.__dict__ = vars(Defaults(x, y))
    assert values_of(of_another) == 0


def test_dictionaries_in_structures(monkeypatch: pytest.MonkeyPatch) -> None:
    linearizer = made(binary(), perfect(3))
    is_native(linearizer, monkeypatch)
    flat = linearizer.flat()
    check(linearizer, [(pickle.loads(pickle.dumps(perfect(4))),)], flat)
    chances = flat._chances
    check(linearizer, [(pickle.loads(pickle.dumps(perfect(4))),)], flat)
    assert flat._chances == chances  # all could be read in place
    tree = perfect(2)
    vars(tree.left)
    del tree.left.word
    tree.left.word = 6
    vars(tree.right)["other"] = 1
    other = Node(1)
    other.__dict__ = {"children": (), "right": None, "word": 4, "left": None}
    tree.right.left = other
    tree.right.right.__dict__ = vars(Node(8))
    check(linearizer, [(tree,), (other,)], flat)


def test_objects_that_change_their_form(monkeypatch: pytest.MonkeyPatch) -> None:
    linearizer = made(binary(), perfect(3))
    is_native(linearizer, monkeypatch)
    for _ in range(3):
        check(linearizer, [(perfect(3),)])
    assert not linearizer._places.missed
    tree = perfect(3)
    assert vars(tree) and vars(tree.left)
    tree.right.extra = 1
    del tree.left.right.word
    tree.left.right.word = 5
    check(linearizer, [(tree,), (perfect(2),)])


def test_classes_that_change(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tree(Node):
        pass

    def tree(depth: int) -> Tree:
        return Tree(0, tree(depth - 1), tree(depth - 1)) if depth else Tree(depth)

    linearizer = made(binary(), tree(2))
    is_native(linearizer, monkeypatch)
    for _ in range(3):
        check(linearizer, [(tree(2),)])
    Tree.word = property(lambda self: 7)
    read = Tree.__new__(Tree)
    read.__dict__.update(left=None, right=None)
    check(linearizer, [(read,)])
    delattr(Tree, "word")
    check(linearizer, [(tree(3),)])
    Tree.__getattribute__ = lambda self, name: 4 if name == "word" else object.__getattribute__(self, name)
    check(linearizer, [(tree(1),)])


def test_many_classes_take_turns() -> None:
    kinds = [type(f"Kind{n}", (Node,), {}) for n in range(150)]
    trees = [kind(1, kind(2), kind(3)) for kind in kinds]
    linearizer = made(binary(), trees[0])
    for _ in range(90):
        check(linearizer, [(tree,) for tree in trees])
    assert len(linearizer._places.missed) > NOTED  # given up, and nothing of the user's is kept
    assert set(linearizer._places.missed) == {None}


def test_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    linearizer = made(binary(), perfect(1))
    shared = object()
    tree = perfect(2)
    tree.extra = shared
    before = sys.getrefcount(shared), sys.getrefcount(tree)
    for _ in range(4):
        linearizer([(tree,)])
    gc.collect()
    assert (sys.getrefcount(shared), sys.getrefcount(tree)) == before


def test_as_many_tries_as_are_worth_it() -> None:
    places = Places({"a": 40})
    for _ in range(100):
        if len(places.missed) <= NOTED:
            places.missed += [Plain(1, 2), "a"]
            places.learn()
    assert len(places.missed) > NOTED


class Silent(type):
    """A metaclass that tells of its classes what is not so."""

    def __getattribute__(cls, name: str) -> Any:
        if name in ("__getattribute__", "__mro__", "__flags__", "__basicsize__"):
            return getattr(object, name)
        return type.__getattribute__(cls, name)


class Hidden(metaclass=Silent):
    def __init__(self, a: Any) -> None:
        self.a = a

    def __getattribute__(self, name: str) -> Any:
        return 3


class Shown(metaclass=Silent):
    def __init__(self, a: Any) -> None:
        self.a = a


class Borrowed:
    """With a member that is another class's."""

    a = vars(Slotted)["a"]
    __slots__ = ("b",)


def test_classes_that_tell_what_is_not_so() -> None:
    assert place_of(Hidden(object()), "a") == NO_PLACE
    assert place_of(Shown(object()), "a") == 1
    assert place_of(Borrowed(), "a") is None
