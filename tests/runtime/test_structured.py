"""Calls of compiled functions of structures: outputs of every kind, one call and many, saved and loaded."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bough.base.errors import InputError
from bough.base.visits import Ask, Attribute, Call, Collect, Item, Names, Payload, Question, Variant, Visit, Visits
from bough.codegen import binding, emit_walk
from bough.runtime import (
    Buffer,
    Leaf,
    Listed,
    LoadError,
    Manifest,
    Plain,
    Scalar,
    StructuredExecutable,
    Tensor,
    dumps,
    loads,
    team_text,
)  # fmt: skip
from bough.targets import host

LEFT, RIGHT, WORD = ((Attribute(n),) for n in ("left", "right", "word"))
COUNT = Names.count("encode", 0), Names.count("encode", 1)

# Leaves: the word; inner objects: the sum of both sides. Every activation's value is collected. Buffers: start, words, targets
# 0 and 1, the target of the entry, places of leaves and of inner objects; results, list; state of `encode`. Scalars: leaves, inner,
# samples.
SUMS = """
define i32 @bough_sums(ptr %buffers, ptr %scalars, ptr %team) {
entry:
  %leaves = load i64, ptr %scalars
  %s1 = getelementptr i64, ptr %scalars, i64 1
  %inner = load i64, ptr %s1
  %s2 = getelementptr i64, ptr %scalars, i64 2
  %samples = load i64, ptr %s2
POINTERS
  br label %leaf.check
leaf.check:
  %i = phi i64 [ 0, %entry ], [ %i.next, %leaf ]
  %i.more = icmp slt i64 %i, %leaves
  br i1 %i.more, label %leaf, label %inner.check
leaf:
  %word.at = getelementptr i64, ptr %b1, i64 %i
  %word = load i64, ptr %word.at
  %state.at = getelementptr i64, ptr %b9, i64 %i
  store i64 %word, ptr %state.at
  %place.at = getelementptr i64, ptr %b5, i64 %i
  %place = load i64, ptr %place.at
  %list.at = getelementptr i64, ptr %b8, i64 %place
  store i64 %word, ptr %list.at
  %i.next = add i64 %i, 1
  br label %leaf.check
inner.check:
  %j = phi i64 [ 0, %leaf.check ], [ %j.next, %add ]
  %j.more = icmp slt i64 %j, %inner
  br i1 %j.more, label %add, label %root.check
add:
  %t0.at = getelementptr i64, ptr %b2, i64 %j
  %t0 = load i64, ptr %t0.at
  %t1.at = getelementptr i64, ptr %b3, i64 %j
  %t1 = load i64, ptr %t1.at
  %l.at = getelementptr i64, ptr %b9, i64 %t0
  %l = load i64, ptr %l.at
  %r.at = getelementptr i64, ptr %b9, i64 %t1
  %r = load i64, ptr %r.at
  %sum = add i64 %l, %r
  %own = add i64 %leaves, %j
  %own.at = getelementptr i64, ptr %b9, i64 %own
  store i64 %sum, ptr %own.at
  %jplace.at = getelementptr i64, ptr %b6, i64 %j
  %jplace = load i64, ptr %jplace.at
  %jlist.at = getelementptr i64, ptr %b8, i64 %jplace
  store i64 %sum, ptr %jlist.at
  %j.next = add i64 %j, 1
  br label %inner.check
root.check:
  %k = phi i64 [ 0, %inner.check ], [ %k.next, %root ]
  %k.more = icmp slt i64 %k, %samples
  br i1 %k.more, label %root, label %done
root:
  %root.at = getelementptr i64, ptr %b4, i64 %k
  %number = load i64, ptr %root.at
  %value.at = getelementptr i64, ptr %b9, i64 %number
  %value = load i64, ptr %value.at
  %out.at = getelementptr i64, ptr %b7, i64 %k
  store i64 %value, ptr %out.at
  %k.next = add i64 %k, 1
  br label %root.check
done:
  ret i32 0
}
""".replace("POINTERS", "\n".join(
    f"  %p{n} = getelementptr ptr, ptr %buffers, i64 {n}\n  %b{n} = load ptr, ptr %p{n}" for n in range(10)
))  # fmt: skip


def visits() -> Visits:
    leaf = Variant("leaf", payloads=(Payload(WORD, "i64"),), collects=(Collect(0, 0, 0),))
    inner = Variant("inner", calls=(Call("encode", LEFT), Call("encode", RIGHT)), collects=(Collect(0, 0, 2),))
    encode = Visit("encode", Ask(Question(LEFT, "is_none"), 0, 1), (leaf, inner))
    return Visits((Visit("forward", 0, (Variant("all", calls=(Call("encode", (Item(0),)),)),)), encode), "forward")


def manifest(outputs: Any, **changes: Any) -> Manifest:
    e = "encode"
    names = [Names.start(e, 1), Names.payload(e, 0, 0), Names.target(e, 1, 0), Names.target(e, 1, 1),
             Names.target("forward", 0, 0), Names.place(e, 0, 0), Names.place(e, 1, 0)]  # fmt: skip
    all_ = ("add", *COUNT)
    return Manifest(**{
        "entry": "bough_sums",
        "arguments": tuple(Tensor(n, "i64", ()) for n in names),
        "results": (Tensor("y", "i64", (Names.samples,)), Tensor("all", "i64", (all_,))),
        "buffers": (*(Buffer("argument", n) for n in range(7)), Buffer("result", 0), Buffer("result", 1), Buffer("arena", "state")),
        "parameters": ("tree",),
        "inputs": (),
        "outputs": outputs,
        "scalars": tuple(Scalar(n) for n in (*COUNT, Names.samples)),
        "arena": ("mul", all_, 8),
        "parallel": False,
        "visits": visits(),
        **changes,
    })  # fmt: skip


def made(outputs: Any = Leaf("result", 0), native: bool = True, **changes: Any) -> StructuredExecutable:  # noqa: B008
    m = manifest(outputs, **changes)
    assert m.visits is not None
    walk = emit_walk(m.visits, [a.name for a in m.arguments], [s.name for s in m.scalars]) if native else ""
    code = binding.compile_object(SUMS, host(), team_text(""), *filter(None, (walk,)))
    return StructuredExecutable(m, code, {})


class Node:
    def __init__(self, word: int, left: Any = None, right: Any = None) -> None:
        self.word, self.left, self.right = word, left, right


TREES = [Node(3), Node(0, Node(1), Node(2)), Node(0, Node(0, Node(1), Node(2)), Node(4)), Node(0, Node(5), Node(0, Node(6), Node(7)))]
SUMMED = [[3], [1, 2, 3], [1, 2, 3, 4, 7], [5, 6, 7, 13, 18]]


@pytest.mark.parametrize("native", [True, False])
def test_one_call_and_many(native: bool) -> None:
    f = made(native=native)
    ones = [f.call(t) for t in TREES]
    assert [int(y) for y in ones] == [s[-1] for s in SUMMED]
    assert all(isinstance(y, torch.Tensor) and y.shape == () and y.dtype == torch.int64 for y in ones)
    assert [int(y) for y in f.map(TREES)] == [s[-1] for s in SUMMED]
    assert f.map([]) == []


@pytest.mark.parametrize("native", [True, False])
def test_outputs_of_every_kind(native: bool) -> None:
    outputs = {"y": Leaf("result", 0), "rest": (Plain("x"), [Listed(0, 1)], Listed(0, 1, stacked=True))}
    f = made(outputs, native)
    for tree, summed, many in zip(TREES, SUMMED, f.map(TREES), strict=True):
        for found in (f.call(tree), many):
            assert found["y"] == summed[-1]
            plain, [rows], stacked = found["rest"]
            assert plain == "x" and isinstance(rows, list) and [int(r) for r in rows] == summed
            assert stacked.tolist() == summed


def test_only_fixed_outputs() -> None:
    assert made((Plain(1), Plain(None))).map(TREES) == [(1, None)] * 4


def test_keywords_and_wrong_arguments() -> None:
    f = made()
    assert int(f.call(tree=TREES[1])) == 3
    for args, kwargs in (((), {}), ((1, 2), {}), ((), {"three": 1})):
        with pytest.raises(InputError, match="BGH-IN-001"):
            f.call(*args, **kwargs)
    with pytest.raises(InputError, match="None stands where an object"):
        f.call(None)
    with pytest.raises(InputError, match="None stands where an object"):
        f.map([TREES[0], Node(0, Node(1), None)])
    assert int(f.call(TREES[2])) == 7


def test_results_are_of_the_library_of_the_arrays_among_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    f = made(Listed(0, 1))
    monkeypatch.setattr("bough.runtime.structured.torch", lambda: None)
    rows = f.call(TREES[1])
    assert all(isinstance(r, np.ndarray) and r.shape == () for r in rows) and [int(r) for r in rows] == [1, 2, 3]
    assert [[int(r) for r in rows] for rows in f.map(TREES)] == SUMMED


def test_saved_and_loaded() -> None:
    f = made((Leaf("result", 0), Listed(0, 1)))
    g = loads(dumps(f))
    assert isinstance(g, StructuredExecutable) and g.manifest == f.manifest
    y, rows = g.call(TREES[3])
    assert int(y) == 18 and [int(r) for r in rows] == SUMMED[3]
    assert dumps(g) == dumps(f)


def test_damaged_manifests() -> None:
    data = json.loads(json.dumps(manifest(Leaf("result", 0)).to_data()))
    assert Manifest.from_data(data) == manifest(Leaf("result", 0))
    for visits_ in ({"kind": "Nothing"}, [], {"kind": "Visits"}, 3):
        with pytest.raises(LoadError, match="BGH-LD-001"):
            Manifest.from_data({**data, "visits": visits_})
    with pytest.raises(LoadError, match="does not exist"):
        manifest(Listed(0, 5))
    m = manifest(Leaf("result", 0))
    with pytest.raises(LoadError, match="first buffers"):
        StructuredExecutable(replace(m, buffers=m.buffers[1:]), made().code, {})


def test_threads_have_memory_of_their_own() -> None:
    f = made(Listed(0, 1, stacked=True))
    wrong: list[Any] = []

    def work(n: int) -> None:
        for _ in range(200):
            if f.call(TREES[n]).tolist() != SUMMED[n]:
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
