"""The native linearizer gives what the reference gives, array by array, and the same errors."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
import random_visits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bough.base.errors import InputError
from bough.base.visits import Ask, Attribute, Call, Each, Item, Payload, Question, Variant, Visit, Visits
from bough.codegen import binding, emit_walk
from bough.runtime import LoadedObject
from bough.runtime.linearize import Linearized, linearize
from bough.runtime.linearizer import Linearizer, is_supported
from bough.runtime.linearizer_flat import Flat
from bough.runtime.team import Team
from bough.runtime.walker_layout import Word
from bough.targets import host

LEFT, RIGHT, WORD, CHILDREN = ((Attribute(n),) for n in ("left", "right", "word", "children"))


class Node:
    def __init__(self, word: Any = 0, left: Any = None, right: Any = None, children: Any = ()) -> None:
        self.word, self.left, self.right, self.children = word, left, right, children


def compiled(visits: Visits, names: Linearized) -> Linearizer:
    arrays, sizes = list(names.arrays), list(names.sizes)
    program = LoadedObject(binding.compile_object(emit_walk(visits, arrays, sizes), host()))
    program.symbols.update(bough_team_run=address_of(_run), bough_team_one_phase=0)
    return Linearizer(visits, arrays, sizes, program, Team("own", 2, 0))


@ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 4)
def _run(team: int, function: int, phase: int, scalars: int) -> int:
    """Stands for a thread team: the last part comes first."""
    part, frames, count = (ctypes.c_int64 * 3).from_address(phase)
    for number in reversed(range(count)):
        ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(part)(frames, number)
    return 0


def address_of(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def in_parts(linearizer: Linearizer, flat: Flat) -> None:
    """The next walk of several samples is one in parts if it borrows, as if there were a team and the last one had been long."""
    assert linearizer._team is not None
    linearizer._team.pointer = 1
    flat._words[Word.LOG_USED] = 1 << 20


def binary(dtype: str = "i64", shape: tuple[int, ...] = ()) -> Visits:
    leaf = Variant("leaf", payloads=(Payload(WORD, dtype, shape),))
    inner = Variant("inner", calls=(Call("encode", LEFT), Call("encode", RIGHT)))
    encode = Visit("encode", Ask(Question(LEFT, "is_none"), 0, 1), (leaf, inner))
    return Visits((Visit("forward", 0, (Variant("all", calls=(Call("encode", (Item(0),)),)),)), encode), "forward")


def nary(*payloads: Payload) -> Visits:
    node = Variant("node", (Each(CHILDREN),), (Call("encode", (), 0),), payloads)
    entry = Visit("forward", 0, (Variant("all", calls=(Call("encode", (Item(0),)),)),))
    return Visits((entry, Visit("encode", 0, (node,))), "forward")


class Backwards(list[Any]):
    """With an order of its own, also of its parts."""

    def __iter__(self) -> Iterator[Any]:
        return iter([self[n] for n in range(len(self))][::-1])


@pytest.mark.parametrize(("skip", "leave"), [(1, 0), (0, 1), (2, 1), (5, 0)])
@pytest.mark.parametrize("kind", [list, tuple, Backwards, lambda values: dict(enumerate(values))])
def test_parts_of_children(kind: Any, skip: int, leave: int, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Variant("node", (Each(CHILDREN, skip, leave),), (Call("encode", (), 0),), (Payload(WORD, "i64"),))
    entry = Visit("forward", 0, (Variant("all", calls=(Call("encode", (Item(0),)),)),))
    tree = Node(9, children=kind([Node(n, children=kind([Node(10 + m) for m in range(n)])) for n in range(7)]))
    linearizer = made(Visits((entry, Visit("encode", 0, (node,))), "forward"), tree)
    is_native(linearizer, monkeypatch)
    check(linearizer, [(tree,), (Node(1, children=kind([])),)])


def made(visits: Visits, sample: Any) -> Linearizer:
    return compiled(visits, linearize(visits, [(sample,)]))


def held(linearizer: Linearizer, flat: Flat, like: Linearized) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays that the pointers of `flat` lead to."""
    arrays = {}
    for name, pointer in zip(linearizer.arrays, flat.pointers, strict=True):
        expected = like.arrays[name]
        memory = (ctypes.c_char * expected.nbytes).from_address(pointer) if expected.nbytes else b""
        arrays[name] = np.frombuffer(memory, expected.dtype).reshape(expected.shape)
    return arrays


def check(linearizer: Linearizer, samples: Sequence[tuple[Any, ...]], flat: Flat | None = None) -> Flat:
    expected = linearize(linearizer.visits, samples)
    flat = flat or linearizer.flat()
    linearizer.fill(flat, list(samples))
    assert dict(zip(linearizer.sizes, flat.sizes, strict=True)) == expected.sizes
    for name, array in held(linearizer, flat, expected).items():
        np.testing.assert_array_equal(array, expected.arrays[name], err_msg=name)
    return flat


def is_native(linearizer: Linearizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the reference may not be asked."""
    def refuse(flat: Flat, samples: Any) -> None:
        raise AssertionError("the native walk has refused")

    monkeypatch.setattr(linearizer, "_refer", refuse)


def perfect(depth: int, word: Callable[[int], Any] = lambda n: n) -> Node:
    level = [Node(word(n)) for n in range(1 << depth)]
    while len(level) > 1:
        level = [Node(0, a, b) for a, b in zip(level[::2], level[1::2], strict=True)]
    return level[0]


@pytest.mark.filterwarnings("ignore:overflow encountered")
@given(st.integers(0, 1 << 30))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_visits_and_structures(seed: int) -> None:
    r = Random(seed)
    visits = random_visits.visits(r)
    names: Linearized | None = None
    given_ = [[(random_visits.structure(r, r.randrange(1, 12), r.random() < 0.7),) for _ in range(r.randrange(4))] for _ in range(6)]
    for samples in given_:
        try:
            names = linearize(visits, samples)
            break
        except InputError:
            continue
    if names is None:
        return
    linearizer = compiled(visits, names)
    flat = linearizer.flat()
    for samples in given_:
        try:
            expected = linearize(visits, samples)
        except InputError as error:
            with pytest.raises(InputError) as raised:
                linearizer.fill(flat, samples)
            assert str(raised.value) == str(error)
            continue
        for _ in range(3):  # with references first, then without, and in parts
            in_parts(linearizer, flat)
            check(linearizer, samples, flat)
            for number in range(linearizer.layout.lists):
                assert flat.spans(number) == expected.arrays[f"list{number}.spans"].tolist()


def test_parts_of_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    linearizer = made(binary(), perfect(2))
    is_native(linearizer, monkeypatch)
    flat = linearizer.flat()
    for count, parts in ((20, 1), (20, 8), (3, 3), (1, 1), (8, 8), (0, 1)):
        in_parts(linearizer, flat)
        check(linearizer, [(perfect(n % 4),) for n in range(count)], flat)
        assert flat._words[Word.PART_COUNT] == parts
    in_parts(linearizer, flat)
    chances = flat._chances
    check(linearizer, [(perfect(0),), (perfect(10),), (perfect(3),)], flat)  # more than fits a part of the memory
    assert flat._chances == chances
    in_parts(linearizer, flat)
    check(linearizer, [(perfect(2),), (Lazy(),), (perfect(1),)], flat)  # which a walk without references refuses
    assert (flat._words[Word.PART_COUNT], flat._chances) == (1, chances - 1)


class Lazy(Node):
    """Made when it is looked at."""

    def __init__(self) -> None:
        super().__init__()
        del self.left, self.right

    def __getattr__(self, name: str) -> Any:
        return {"left": Node(1), "right": Node(2)}[name]


def test_a_walk_without_references_counts_none() -> None:
    linearizer = made(nary(Payload(WORD, "f32", (2,))), Node(np.zeros(2, np.float32)))
    child = Node(np.ones(2, np.float32))
    tree = Node(np.ones(2, np.float32), children=[child, child])
    flat = linearizer.flat()
    for _ in range(3):
        linearizer.fill(flat, [(tree,)])
    chances = flat._chances
    linearizer.fill(flat, [(tree,)])
    with pytest.raises(InputError):
        linearizer.fill(flat, [(Node(3),)])
    assert not flat.owns and flat._chances == chances
    assert flat.columns == [None] * len(flat.columns) and not flat.kept
    for left in range(chances)[::-1]:  # it is given up where it is refused again and again
        linearizer.fill(flat, [(Lazily(np.ones(2, np.float32)),)])
        assert flat.owns == (not left)
    linearizer.fill(flat, [(tree,)])
    assert flat.owns


class Lazily:
    def __init__(self, word: Any) -> None:
        self.word = word

    @property
    def children(self) -> list[Any]:
        return []


def test_it_is_native_on_this_python() -> None:
    assert is_supported() == (sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)())


def test_plain_structures_take_no_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    linearizer = made(binary(), Node())
    is_native(linearizer, monkeypatch)
    shared = Node(7)
    for tree in (perfect(5), Node(3), Node(0, shared, Node(0, shared, shared))):
        check(linearizer, [(tree,), (tree,)])
    check(linearizer, [])


@pytest.mark.parametrize("container", [list, tuple, random_visits.Row, lambda c: dict(enumerate(c)), lambda c: {"x": None} and dict(zip("abc", c))])
def test_walks_over_containers(container: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    visits = nary(Payload(WORD, "i64"), Payload(WORD, "f32", each=0), Payload(None, "i64", each=0))
    tree = Node(1, children=container([Node(2, children=container([])), Node(3, children=container([Node(4, children=container([]))]))]))
    linearizer = made(visits, tree)
    is_native(linearizer, monkeypatch)
    check(linearizer, [(tree,), (Node(5, children=container([])),)])


def test_a_chain_of_100000_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Node(0)
    for n in range(100_000):
        chain = Node(0, chain, Node(n))
    linearizer = made(binary(), Node())
    is_native(linearizer, monkeypatch)
    flat = linearizer([(chain,)])
    assert dict(zip(linearizer.sizes, flat.sizes, strict=True))["stage0.levels"] == 100_001
    while chain.left is not None:  # Python takes long chains apart by recursion
        chain = chain.left


def test_many_samples_grow_all_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    linearizer = made(binary(), Node())
    is_native(linearizer, monkeypatch)
    check(linearizer, [(perfect(n % 6),) for n in range(500)])


def test_payloads_that_are_made_when_read_live_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fresh:
        def __init__(self, value: int, children: Any = ()) -> None:
            self.value, self.children = value, children

        @property
        def word(self) -> Any:
            return np.full(40, self.value, np.float32)

    linearizer = made(nary(Payload(WORD, "f32", (40,))), Fresh(0))
    is_native(linearizer, monkeypatch)
    check(linearizer, [(Fresh(n, [Fresh(n + 1) for _ in range(n % 40)]),) for n in range(300)])


def test_structures_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        left = Node()

        @property
        def right(self) -> Any:
            return Endless()

    monkeypatch.setattr("bough.runtime.linearizer_flat._memory", lambda: 1 << 22)
    with pytest.raises(InputError, match="BGH-ST-006"):
        made(binary(), Node())([(Endless(),)])


def test_objects_are_let_go() -> None:
    class Counted(Node):
        pass

    linearizer = made(nary(Payload(WORD, "f32", (2,))), Node(np.zeros(2, np.float32)))
    child = Counted(np.ones(2, np.float32))
    tree = Counted(np.ones(2, np.float32), children=[child, child])
    flat = linearizer.flat()

    def counts() -> list[int]:
        gc.collect()
        return [sys.getrefcount(x) for x in (tree, child, child.word, tree.children, Counted)]

    linearizer.fill(flat, [(tree,)])
    before = counts()
    for _ in range(50):
        linearizer.fill(flat, [(tree,)])
        with pytest.raises(InputError):
            linearizer.fill(flat, [(tree,), (Counted(children=[tree, None]),)])
    assert counts() == before


NUMBERS: list[tuple[str, list[Any]]] = [
    ("i64", [0, -(1 << 63), (1 << 63) - 1]), ("i8", [-128, 127]), ("u8", [255]), ("bool", [True, False]),
    ("f32", [1.5, 3, -0.0, float("inf"), 1e-50]), ("f64", [1 << 53, 0.1]), ("f16", [0.1, 2]), ("i64", [np.int64(3), 4]),
    ("f32", [np.float32(2.5), 1]),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "values"), NUMBERS)
def test_numbers(dtype: str, values: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    linearizer = made(binary(dtype), Node(values[0]))
    is_native(linearizer, monkeypatch)
    check(linearizer, [(Node(v),) for v in values])
    check(linearizer, [(perfect(3, lambda n: values[n % len(values)]),)])


@pytest.mark.parametrize(("dtype", "value"), [
    ("i64", 1 << 63), ("i8", 128), ("u8", -1), ("bool", 1), ("i64", True), ("f32", (1 << 53) + 1), ("f32", "x"), ("f32", None),
    ("i64", 1.0), ("f32", np.float64(1)), ("i32", np.int64(1)),
])  # fmt: skip
def test_what_is_no_such_number(dtype: str, value: Any) -> None:
    linearizer = compiled(binary(dtype), linearize(binary(dtype), []))
    with pytest.raises(InputError) as expected:
        linearize(linearizer.visits, [(Node(value),)])
    with pytest.raises(InputError) as raised:
        linearizer([(Node(value),)])
    assert str(raised.value) == str(expected.value)


def test_arrays_and_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    rows: list[list[Any]] = [
        [np.ones(3, np.float32), np.arange(3, dtype=np.float32)],
        [torch.ones(3), torch.arange(3.0)],
        [torch.ones(3, requires_grad=True), torch.arange(6.0)[::2]],
        [torch.ones(3), np.ones(3, np.float32)],
        [torch.nn.Parameter(torch.ones(3)), torch.ones(3)],
    ]
    for row in rows:
        linearizer = made(binary("f32", (3,)), Node(row[0]))
        is_native(linearizer, monkeypatch)
        check(linearizer, [(Node(0, Node(row[0]), Node(row[1])),), (Node(row[1]),)])
        check(linearizer, [(Node(row[1]),)])
    brain = [torch.ones(2, dtype=torch.bfloat16), torch.full((2,), 3.0, dtype=torch.bfloat16)]
    linearizer = made(binary("bf16", (2,)), Node(brain[0]))
    check(linearizer, [(Node(0, Node(brain[0]), Node(brain[1])),)])
    scalars = made(binary("f32"), Node(torch.tensor(1.0)))
    check(scalars, [(Node(0, Node(torch.tensor(2.0)), Node(3.5)),)])
    for unfit in (torch.ones(4), torch.ones(3, dtype=torch.float64), np.ones(4, np.float32), None):
        with pytest.raises(InputError, match=r"BGH-ST-00[14]"):
            linearizer([(Node(0, Node(brain[0]), Node(unfit)),)])


class Angry:
    @property
    def left(self) -> Any:
        raise RuntimeError("not today")


class Interrupted:
    @property
    def left(self) -> Any:
        raise KeyboardInterrupt


def test_errors_are_those_of_the_reference() -> None:
    linearizer = made(binary(), Node())
    circle = Node(0, Node(1), Node(2))
    circle.right = Node(0, Node(3), circle)
    for wrong in (circle, Node(0, Node(1), None), Node(0, Node(1), 5), Angry(), None, Node(0, Node(1), Angry()), Node("word")):
        with pytest.raises(InputError) as expected:
            linearize(linearizer.visits, [(Node(1),), (wrong,)])
        with pytest.raises(InputError) as raised:
            linearizer([(Node(1),), (wrong,)])
        assert str(raised.value) == str(expected.value)
    check(linearizer, [(perfect(2),)])
    with pytest.raises(KeyboardInterrupt):
        linearizer([(Interrupted(),)])


class Even(Node):
    pass


class Uneven(Node):
    pass


def of_class(kind: type) -> Visits:
    """Objects of a class, and others."""
    asked = Question((), "is_instance", (f"{kind.__module__}.{kind.__qualname__}",))
    node = Visit("encode", Ask(asked, 0, 1), (Variant("one", payloads=(Payload(WORD, "i64"),)), Variant("other")))
    entry = Visit("forward", 0, (Variant("all", (Each((Item(0),)),), (Call("encode", (), 0),)),))
    return Visits((entry, node), "forward")


def test_classes_that_get_other_bases(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[Any] = [type(f"Kind{n}", (Uneven if n % 2 else Even,), {}) for n in range(20)]
    linearizer = made(of_class(Even), [])
    is_native(linearizer, monkeypatch)
    flat = linearizer.flat()
    for turn in range(8):
        for _ in range(3):
            check(linearizer, [([kind(n) for n, kind in enumerate(kinds)],), ([],)], flat)
        for n, kind in enumerate(kinds):
            if n % 3 == turn % 3:
                kind.__bases__ = (Even,) if kind.__base__ is Uneven else (Uneven,)


def test_classes_are_let_go_and_others_take_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    linearizer = made(of_class(Even), [])
    is_native(linearizer, monkeypatch)
    flat = linearizer.flat()
    addresses: set[int] = set()
    for turn in range(40):
        kinds: list[Any] = [type("Kind", ((Even, Uneven)[(n + turn) % 3 % 2],), {"__slots__": ("a", "b")[: n % 3]}) for n in range(20)]
        addresses.update(map(id, kinds))
        for _ in range(2):
            check(linearizer, [([kind(n) for n, kind in enumerate(kinds)],)], flat)
        flat.forget()
        alive = [weakref.ref(kind) for kind in kinds]
        del kinds
        gc.collect()
        assert not any(kind() for kind in alive)
    assert len(addresses) < 800


def test_a_metaclass_that_finds_its_classes_equal() -> None:
    class Alike(type):
        def __eq__(cls, other: object) -> bool:
            return True

        def __hash__(cls) -> int:
            return 7

    first, second = Alike("First", (Even,), {}), Alike("Second", (Uneven,), {})
    linearizer = made(of_class(Even), [])
    for _ in range(3):
        check(linearizer, [([first(1), second(2)],)])


def test_parts_share_memory_that_cannot_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bough.runtime.linearizer_flat._memory", lambda: 400_000)
    linearizer = made(binary(), perfect(2))
    is_native(linearizer, monkeypatch)
    flat = linearizer.flat()
    for _ in range(2):
        in_parts(linearizer, flat)
        check(linearizer, [*[(perfect(0),)] * 7, (perfect(7),)], flat)


def test_threads_at_the_same_time() -> None:
    linearizer = made(nary(Payload(WORD, "i64")), Node())
    failed: list[BaseException] = []

    class Slow(Node):
        @property
        def word(self) -> int:
            return sum(range(20))

        @word.setter
        def word(self, value: int) -> None:
            pass

    def work() -> None:
        try:
            for n in range(20):
                check(linearizer, [(Slow(children=[Slow() for _ in range(n)]),)])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_properties_may_linearize_themselves() -> None:
    linearizer = made(binary(), Node())

    class Nested:
        left = None

        @property
        def word(self) -> int:
            return int(linearizer([(perfect(3),)]).sizes[0])

    check(linearizer, [(Node(0, Nested(), Nested()),)])


def test_without_native_code_the_reference_does_it() -> None:
    visits: Visits = binary()
    names = linearize(visits, [])
    linearizer = Linearizer(visits, list(names.arrays), list(names.sizes))
    check(linearizer, [(perfect(3),), (Node(2),)])


def test_only_what_is_asked_for_is_made() -> None:
    visits, tree = binary(), perfect(3)
    arrays, sizes = ["encode.1.target1"], ["encode.0.count", "samples"]
    program = LoadedObject(binding.compile_object(emit_walk(visits, arrays, sizes), host()))
    linearizer = Linearizer(visits, arrays, sizes, program)
    flat = linearizer([(tree,)])
    expected = linearize(visits, [(tree,)])
    assert list(flat.sizes) == [8, 1]
    np.testing.assert_array_equal(held(linearizer, flat, expected)[arrays[0]], expected.arrays[arrays[0]])


