"""Random visits, and random structures for them."""

from __future__ import annotations

import enum
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

from bough.base.visits import (
    Ask,
    Attribute,
    Call,
    Collect,
    Decision,
    Each,
    Fail,
    Item,
    Path,
    Payload,
    Question,
    Variant,
    Visit,
    Visits,
    call_order,
)  # fmt: skip


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Plain:
    """A node with everything that a path can lead through."""

    def __init__(self, r: Random, left: Any, right: Any, children: Any) -> None:
        self.left, self.right, self.children = left, right, children
        self.pair = (left, right)
        self.table = {"a": left, "b": right} if left is not None and r.random() < 0.7 else {}
        self.word = r.randrange(-3, 100)
        self.weight = r.choice([r.random(), r.randrange(9), 1e300, float("inf")])
        self.flag = r.random() < 0.5
        self.name = r.choice(["sum", "product"])
        self.color = r.choice(list(Color))
        self.features = np.arange(3, dtype=np.float32) + r.randrange(9)
        if r.random() < 0.5:
            self.extra = 1

    @property
    def computed(self) -> Any:
        return [*self.children]

    @property
    def size(self) -> int:
        return len(self.children)


class Inherited(Plain):
    pass


class Slotted(Plain):
    __slots__ = ("left",)


class Row(list[Any]):
    """A list that is walked backwards."""

    def __iter__(self) -> Any:
        return reversed(list(super().__iter__()))


NAMES = {k: f"{k.__module__}.{k.__qualname__}" for k in (Plain, Inherited, Slotted)}
ATTRIBUTES: dict[str, Path] = {
    n: (Attribute(n),) for n in "left right children pair table word weight flag name features computed size".split()
}


def structure(r: Random, nodes: int, graph: bool) -> Plain:
    """A tree or a graph whose nodes may be shared."""
    made: list[Plain] = []

    def below() -> Any:
        return r.choice(made[-4:] if graph else made[-1:])

    for _ in range(nodes):
        inner = bool(made) and r.random() < 0.6
        container = r.choice([list, tuple, Row, lambda c: {n: x for n, x in enumerate(c)}])
        kind = r.choice([Plain, Plain, Inherited, Slotted])
        children = container([below() for _ in range(r.randrange(4) if made else 0)])
        made.append(kind(r, below() if inner else None, below() if inner else None, children))
    return made[-1]


def visits(r: Random) -> Visits:
    """One to three functions that call each other, and an entry."""
    names = [f"f{n}" for n in range(r.randrange(1, 4))]
    functions = [function(r, name, names) for name in names]
    main = Variant("main", calls=(Call("f0", (Item(0),)),), collects=(Collect(0, 0, r.randrange(2)),))
    return Visits((*functions, Visit("forward", 0, (main,))), "forward")


def function(r: Random, name: str, names: list[str]) -> Visit:
    """Variants at objects without `left` call through walks only, the others through everything."""
    variants: list[Variant] = []

    def leaf(inner: bool) -> Decision:
        if r.random() < 0.03:
            return Fail("not that")
        variants.append(variant(r, f"v{len(variants)}", names, inner))
        return len(variants) - 1

    def decide(inner: bool, depth: int) -> Decision:
        if depth == 0 or r.random() < 0.4:
            return leaf(inner)
        return Ask(question(r), decide(inner, depth - 1), decide(inner, depth - 1))

    bare = Question(ATTRIBUTES["left"], "is_none")
    return Visit(name, Ask(bare, decide(False, 1), decide(True, 1)), tuple(variants))


def question(r: Random) -> Question:
    of = ATTRIBUTES
    makers: list[Callable[[], Question]] = [
        lambda: Question((), "is_instance", tuple(r.sample(list(NAMES.values()), 2))),
        lambda: Question(of["flag"], "is_true"),
        lambda: Question(of["children"], "is_true"),
        lambda: Question(of["children"], r.choice(["equals", "less", "at_most"]), r.randrange(3), True),
        lambda: Question(of["table"], "is_true", None, True),
        lambda: Question(of["word"], r.choice(["equals", "less", "at_most"]), r.randrange(-3, 60)),
        lambda: Question(of["weight"], "at_most", 0.5),
        lambda: Question(of["name"], "equals", "sum"),
        lambda: Question((Attribute("color"), Attribute("_name_")), "equals", "RED"),
        lambda: Question((), "has_attribute", "extra"),
        lambda: Question(of["table"], "has_key", "a"),
        lambda: Question((Attribute("pair"), Item(-1)), "is_none"),
    ]
    return r.choice(makers)()


def variant(r: Random, name: str, names: list[str], inner: bool) -> Variant:
    of = ATTRIBUTES
    walks = tuple(Each(r.choice([of["children"], of["computed"]]), *r.choice([(), (), (1,), (0, 1), (2, 1)])) for _ in range(r.randrange(3)))
    places: list[Path] = [of["left"], of["right"], (Attribute("pair"), Item(1)), (Attribute("pair"), Item(-2))] if inner else []
    calls = [Call(r.choice(names), r.choice(places)) for _ in range(r.randrange(3))] if places else []
    calls += [Call(r.choice(names), (), r.randrange(len(walks))) for _ in range(r.randrange(3))] if walks else []
    payloads = [payload(r, None) for _ in range(r.randrange(3))]
    payloads += [payload(r, r.randrange(len(walks))) for _ in range(r.randrange(3))] if walks else []
    if walks and r.random() < 0.5:
        payloads.append(Payload(None, r.choice(["i64", "f32", "i32"]), (), 0))
    made = Variant(name, walks, tuple(calls), tuple(payloads))
    places_of_collects = {0}
    for group in call_order(made):
        places_of_collects.add(max(places_of_collects) + len(group))
    chosen = sorted(r.choice(sorted(places_of_collects)) for _ in range(r.randrange(3)))
    return Variant(name, walks, tuple(calls), tuple(payloads), tuple(Collect(r.randrange(2), 0, c) for c in chosen))


def payload(r: Random, each: int | None) -> Payload:
    name, dtypes = r.choice([
        ("word", ["i64", "i32", "i16", "i8", "u8", "f32", "f64"]), ("weight", ["f64", "f32", "f16"]), ("flag", ["bool"]),
        ("size", ["i64"]),
    ])  # fmt: skip
    if r.random() < 0.2:
        return Payload(ATTRIBUTES["features"], "f32", (3,), each)
    return Payload(ATTRIBUTES[name], r.choice(dtypes), (), each)
