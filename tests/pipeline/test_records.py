"""Arguments and results that are objects of the user's classes: named tuples, dataclasses, ordered dictionaries with attributes."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import bough
from bough.base.records import Record, found, maker, taken_apart
from bough.runtime.errors import LoadError
from bough.runtime.manifest import Manifest


class Pair(NamedTuple):
    y: Tensor
    n: int = 3


@dataclass
class Output:
    logits: Tensor
    hidden: tuple[Tensor, ...] | None = None
    more: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.loss = self.logits.sum()


@dataclass(frozen=True, slots=True)
class Frozen:
    a: Tensor
    pair: Pair


class ModelOutput(OrderedDict[str, Any]):
    """As libraries of models write it: a dictionary of the fields that are not None."""

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]
            if (value := getattr(self, f.name)) is not None:
                self[f.name] = value

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        super().__setattr__(key, value)


@dataclass
class Encoded(ModelOutput):
    last: Tensor | None = None
    hidden: tuple[Tensor, ...] | None = None
    weights: Tensor | None = None


def named(x: Tensor) -> Pair:
    return Pair(x + 1, 4)


def filled(x: Tensor) -> Output:
    return Output(x * 2, (x, x + 1), {"k": x.sum(0)})


def nested(x: Tensor) -> list[Frozen]:
    return [Frozen(x * 2, Pair(x)), Frozen(x, Pair(x - 1, 9))]


def encoded(x: Tensor) -> Encoded:
    return Encoded(last=x * 2, hidden=(x, x - 1))


def largest(x: Tensor) -> Any:
    return x.max(1)


def of_a_branch(x: Tensor) -> Output:
    return Output(x * 2) if x.sum() > 0 else Output(x * 3)


def of_a_loop(x: Tensor) -> Pair:
    n = 0
    while x.sum() < 100:
        x, n = x * 2, n + 1
    return Pair(x, n)


def given_a_pair(p: Pair) -> Tensor:
    return p.y * 2 + p.n


def given_an_output(o: Output) -> Tensor:
    assert isinstance(o, Output)
    return o.logits * 2


def given_and_returned(o: Encoded) -> Encoded:
    assert o.last is not None
    return Encoded(last=o.last * 2, hidden=o["hidden"])


def of_a_class_of_its_own(x: Tensor) -> Any:
    @dataclass
    class Local:
        a: Tensor

    return Local(x * 2)


X = torch.rand(4, 3) + 0.1
WORKS: list[tuple[Callable[..., Any], Any]] = [
    (named, X), (filled, X), (nested, X), (encoded, X), (largest, X), (of_a_branch, X), (of_a_loop, X), (given_a_pair, Pair(X, 2)),
    (given_an_output, Output(X)), (given_and_returned, Encoded(last=X, hidden=(X,))),
    (of_a_class_of_its_own, X),
]  # fmt: skip


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.allclose(a, b)
    if type(a).__qualname__ != type(b).__qualname__:
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(v, b[k]) for k, v in a.items()) and (type(a) is dict or same(vars(a), vars(b)))
    if is_dataclass(a) and not hasattr(a, "__dict__"):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if is_dataclass(a):
        return same(vars(a), vars(b))
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize(("work", "argument"), WORKS, ids=lambda v: getattr(v, "__name__", ""))
def test_results_are_of_the_class_that_eager_mode_gives(work: Callable[..., Any], argument: Any, empty_cache: Path) -> None:
    expected = work(argument)
    for _ in range(2):  # the second time from the cache
        compiled = bough.compile(work, (argument,), threads=1)
        for result in (compiled(argument), *compiled.map([argument, argument])):
            assert same(result, expected)
            if work is not of_a_class_of_its_own:
                assert type(result) is type(expected)


@pytest.mark.parametrize("work", [named, filled, encoded, of_a_branch, of_a_class_of_its_own])
def test_a_loaded_function_gives_named_tuples_of_the_same_fields(work: Callable[..., Any], tmp_path: Path) -> None:
    compiled = bough.compile(work, (X,), threads=1)
    compiled.save(tmp_path / "a.bough")
    result, expected = bough.load(tmp_path / "a.bough")(X), taken_apart(compiled(X))
    assert expected is not None and expected.kind is not type(result)
    assert type(result).__name__ == expected.name.rpartition(".")[2].rpartition(":")[2]
    assert result._fields == expected.fields
    assert same(list(result), list(expected.parts))


def test_arguments_are_told_by_their_attributes() -> None:
    compiled = bough.compile(given_a_pair, (Pair(X, 2),), threads=1)
    assert torch.equal(compiled(Pair(X + 1, 2)), given_a_pair(Pair(X + 1, 2)))
    with pytest.raises(bough.InputError, match="an object with y, n"):
        compiled((X, 2))
    with pytest.raises(bough.InputError, match="compiled for the value 2"):
        compiled(Pair(X, 3))


def test_an_object_that_holds_itself_is_refused() -> None:
    def circle(x: Tensor) -> Output:
        result = Output(x)
        result.more = {"again": result}
        return result

    with pytest.raises(bough.CompileError, match="holds itself"):
        bough.compile(circle, (X,), fullgraph=True)


def test_only_classes_of_loaded_modules_are_found() -> None:
    record = taken_apart(Pair(X))
    assert record is not None and found(record) is Pair
    assert found(Record("os:system", (), ())) is None
    assert found(Record("builtins:object", (), ())) is None
    assert found(Record("no_such_module:Pair", ("y", "n"), ())) is None
    assert "antigravity" not in sys.modules
    assert found(Record("antigravity:Pair", ("y",), ())) is None and "antigravity" not in sys.modules
    assert found(Record(record.name, ("y",), (1,))) is None
    assert maker(Record("os:system", ("class", "_b", "c"), (1, 2, 3)), {})(1, 2, 3)._fields == ("_0", "_1", "c")
    assert [maker(Record(name, ("x",), (1,)), {})(1).x for name in ("", "a:class", "a:1 b", "a:f.<locals>.")] == [1] * 4


def test_a_damaged_manifest_is_refused() -> None:
    manifest = bough.compile(named, (X,), threads=1).executable.manifest
    data = manifest.to_data()
    assert Manifest.from_data(data) == manifest
    for change in (
        ["a", ["y"], [], []],
        ["a", ["y", "y"], [{"plain": 1}, {"plain": 2}], []],
        [1, [], [], []],
        ["a", [], [], ["z"]],
    ):
        with pytest.raises(LoadError):
            Manifest.from_data({**data, "outputs": {"record": change}})
