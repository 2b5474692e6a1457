"""Functions at parts of lists: the native walk against the reference, and the parts themselves against Python's slices."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from test_linearizer import check, is_native, made

from bough.base.errors import InputError
from bough.base.reading import identity, read
from bough.base.spans import END, START, Index, Span, bounds
from bough.base.visits import (
    Ask,
    Attribute,
    Call,
    Each,
    Item,
    Path,
    Payload,
    Question,
    Slice,
    Variant,
    Visit,
    Visits,
    from_plain,
    to_plain,
)  # fmt: skip
from bough.runtime.linearize import linearize

HALF, UPPER = Index(1, 0, 2), Index(1, 1, 2)
ITEMS = (Attribute("items"),)
SHORTER = [Slice(Index(plus=1)), Slice(last=Index(plus=-1)), Slice(last=HALF), Slice(HALF), Slice(last=UPPER), Slice(UPPER),
           Slice(Index(plus=1), Index(plus=-1)), Slice(Index(plus=-2), Index(1, -1)), Slice(Index(2, -1, 3))]  # fmt: skip
"""Parts of a list of two elements or more that are shorter than it."""


class Node:
    def __init__(self, word: int, items: Any) -> None:
        self.word, self.items = word, items


class Own(list[Any]):
    """A list that is walked backwards; its parts are plain lists."""

    def __iter__(self) -> Any:
        return reversed(list(super().__iter__()))


def index(r: Random) -> Index:
    return Index(r.randrange(-2, 3), r.randrange(-4, 5), r.randrange(1, 4))


def node(r: Random, depth: int) -> Node:
    kind = r.choice([list, list, tuple, Own])
    return Node(r.randrange(100), kind(node(r, depth - 1) for _ in range(r.randrange(6) if depth else 0)))


def of_list(r: Random) -> Visit:
    """A function at lists, or at parts of them, of nodes."""
    def item() -> Path:
        return r.choice([(Item(0),), (Item(-1),), (Item(HALF),), (Slice(Index(plus=1)), Item(0)), (Item(1),)])

    calls = [Call("list", (r.choice(SHORTER),)) for _ in range(r.randrange(1, 3))]
    calls += [Call("also", ())] * (r.random() < 0.5)
    calls += [Call("node", item())] * (r.random() < 0.3)
    walks = [Each((), *r.choice([(), (1,), (0, 1), (2, 1)])), Each((Slice(index(r), index(r)),)), Each((Item(0), *ITEMS), 1)]
    each = tuple(r.sample(walks, r.randrange(3)))
    calls += [Call("node", (), n) for n in range(len(each)) if r.random() < 0.5]
    payloads = [Payload((*item(), Attribute("word")), "i64") for _ in range(2)]
    payloads += [Payload((Attribute("word"),), "f32", (), n) for n in range(len(each))]
    step = Variant("step", each, tuple(r.sample(calls, len(calls))), tuple(payloads))
    one = Variant("one", payloads=(Payload((Item(0), Attribute("word")), "i64"),))
    tests = [Question((), "is_true"), Question((Slice(index(r), index(r)),), "at_most", r.randrange(3), True),
             Question((), "is_instance", ("builtins.list", "builtins.tuple")), Question((), "is_none")]  # fmt: skip
    ask = Ask(Question((), "at_most", 0, True), 0, Ask(Question((), "equals", 1, True), 1, Ask(r.choice(tests), 2, 2)))
    return Visit("list", ask, (Variant("none"), one, step))


def visits(r: Random) -> Visits:
    also = Visit("also", Ask(Question((), "less", 3, True), 0, 1), (Variant("few"), Variant("many", (Each((), 1),))))
    inner = [Call("list", ITEMS)] * (r.random() < 0.5) + [Call("list", (*ITEMS, r.choice(SHORTER)))]
    of_node = Variant("node", calls=tuple(inner), payloads=(Payload((Attribute("word"),), "i64"),))
    leaf = Ask(Question(ITEMS, "at_most", 1, True), 0, 1)
    of_nodes = Visit("node", leaf, (Variant("leaf"), of_node))
    elements = Variant("all", (Each(()),), (Call("list", (*ITEMS, Slice(Index(plus=1))), 0),))
    entry = Visit("forward", 0, (Variant("main", calls=(Call("node", (Item(0),)), Call("some", (Item(0), *ITEMS)))),))
    return Visits((entry, of_nodes, of_list(r), also, Visit("some", 0, (elements,))), "forward")


@pytest.mark.parametrize("seed", range(25))
def test_random_parts(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    r = Random(seed)
    described = visits(r)
    assert from_plain(to_plain(described)) == described
    linearizer = None
    for _ in range(5):
        samples = [(node(r, 3),) for _ in range(3)]
        try:
            linearize(described, samples)
        except InputError as error:
            assert error.code == "BGH-ST-002"  # an item that a list does not have
            continue
        if linearizer is None:
            linearizer = made(described, samples[0][0])
            is_native(linearizer, monkeypatch)
        check(linearizer, samples)


@pytest.mark.parametrize("seed", range(40))
def test_bounds_are_those_of_python(seed: int) -> None:
    r = Random(seed)
    for n in range(9):
        values = list(range(n))
        first, last = index(r), index(r)
        part = Span.of(r.choice([list, tuple])(values), first, last)
        expected = values[first.of(n) : last.of(n)]
        assert list(part) == expected == [part[i] for i in range(len(part))] == [part[i - len(part)] for i in range(len(part))]
        again = (index(r), index(r))
        assert list(Span.of(part, *again)) == expected[again[0].of(len(expected)) : again[1].of(len(expected))]
        assert bounds(n, first, last)[0] <= bounds(n, first, last)[1]
        for outside in (len(part), -len(part) - 1):
            with pytest.raises(IndexError):
                part[outside]


def test_what_stands_for_an_index() -> None:
    shown = [str(i) for i in (START, Index(plus=-3), END, Index(1, -1), HALF, UPPER, Index(2, 0, 3))]
    assert shown == ["0", "-3", "len", "len - 1", "len // 2", "(len + 1) // 2", "(2 * len) // 3"]
    assert str(Slice(Index(plus=1))) == "[1:]" and str(Slice(last=HALF)) == "[:len // 2]"


def test_equal_bounds_are_one_object() -> None:
    values = list(range(5))
    call = Call("f", (Slice(),))
    inner = read(values, (Slice(Index(plus=1)), Slice(last=Index(plus=-1))))
    assert identity(call, inner) == identity(call, read(values, (Slice(Index(plus=1), Index(plus=-1)),)))
    assert identity(call, inner) != identity(call, read(list(values), (Slice(Index(plus=1), Index(plus=-1)),)))


def all_parts() -> Visits:
    """Each part is called for once from its front and once from its back."""
    shorter = (Call("f", (Slice(Index(plus=1)),)), Call("f", (Slice(last=Index(plus=-1)),)))
    f = Visit("f", Ask(Question((), "is_true"), 1, 0), (Variant("none"), Variant("some", calls=shorter)))
    return Visits((Visit("forward", 0, (Variant("main", calls=(Call("f", (Item(0),)),)),)), f), "forward")


def test_parts_are_visited_once(monkeypatch: pytest.MonkeyPatch) -> None:
    linearizer = made(all_parts(), [1, 2, 3])
    is_native(linearizer, monkeypatch)
    flat = check(linearizer, [(list(range(30)),), (tuple(range(4)),), ([],)])
    counts = dict(zip(linearizer.sizes, flat.sizes, strict=True))
    parts = sum(n * (n + 1) // 2 for n in (30, 4))
    assert counts["f.1.count"] == parts


def test_a_list_of_20000_elements_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    last = Variant("some", calls=(Call("f", (Slice(last=Index(plus=-1)),)),), payloads=(Payload((Item(-1),), "i64"),))
    f = Visit("f", Ask(Question((), "at_most", 0, True), 0, 1), (Variant("none"), last))
    visits = Visits((Visit("forward", 0, (Variant("main", calls=(Call("f", (Item(0),)),)),)), f), "forward")
    linearizer = made(visits, [1])
    is_native(linearizer, monkeypatch)
    check(linearizer, [(list(range(20_000)),)])


def test_what_has_no_parts() -> None:
    with pytest.raises(InputError, match="a dict of 1") as found:
        linearize(all_parts(), [({1: 2},)])
    assert found.value.code == "BGH-ST-002"
