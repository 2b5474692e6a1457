"""Manifests: the data round trip, and the refusal of what does not hang together."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from bough.runtime import Buffer, Leaf, LoadError, Manifest, Plain, Scalar, Tensor
from bough.runtime.manifest import Chosen, Cut, Failure, Listed, Number, Rows

Build = Callable[..., Manifest]


def test_round_trip_through_json(manifest: Build) -> None:
    whole = manifest(
        arguments=(Tensor("x", "f32", ("batch", 8)), Tensor("t", "i64", (("mul", "batch", 2),))),
        parameters=("x", "rest"),
        inputs=(Leaf("argument", 0), [Plain(None), {"t": Leaf("argument", 1), 3: ()}]),
        outputs=({"y": Leaf("result", 0), "n": Number(1)}, [Leaf("argument", 0), Leaf("constant", "w"), Plain(2.5)]),
        features=("avx2",),
        notes="for readers",
        parallel=False,
        results=(Tensor("y", "f32", ("capacity", 8)), Tensor("n", "i64", ())),
        scalars=(Scalar("batch", 0, 1000), Scalar("capacity", 1)),
        capacity="capacity",
        computed=(("n", 1),),
        cuts=(Cut(0, (("add", "n", 1), 8)),),
        failures=(Failure(1, "capacity", ""), Failure(2, "ValueError", "no")),
    )
    assert Manifest.from_data(json.loads(json.dumps(whole.to_data()))) == whole


@pytest.mark.parametrize(
    "changes",
    [
        {"arguments": (Tensor("x", "f33", ("batch", 8)),)},
        {"arguments": (Tensor("x", "f32", (4, 8)),)},
        {"results": ()},
        {"constants": (Tensor("w", "f32", ("batch",)),)},
        {"constants": ()},
        {"buffers": (Buffer("argument", 1),)},
        {"buffers": (Buffer("argument", "x"),)},
        {"buffers": (Buffer("arena", "a", "nothing"),)},
        {"inputs": ()},
        {"inputs": ((Leaf("argument", 0), Leaf("argument", 0)),)},
        {"inputs": (Leaf("result", 0),)},
        {"outputs": Leaf("result", 1)},
        {"scalars": ()},
        {"scalars": (Scalar("batch"), Scalar("tokens"))},
        {"arena": "tokens"},
        {"capacity": "tokens"},
        {"computed": (("n", 0),)},
        {"computed": (("n", 7),)},
        {"cuts": (Cut(0, (1,)),)},
        {"cuts": (Cut(3, (1, 1)),)},
        {"cuts": (Cut(0, ("n", 8)),)},
        {"outputs": Number(0)},
        {"outputs": Number(-1)},
        {"outputs": {"a": [Number(0)]}},
        {"outputs": Rows(Number(0))},
        {"outputs": Rows(Plain(1))},
        {"outputs": Chosen(0, (Plain(1),))},
        {"outputs": Chosen(1, (Number(0), Plain(1))), "results": (Tensor("y", "f32", (8,)), Tensor("n", "i64", ()))},
        {"outputs": Chosen(1, ()), "results": (Tensor("y", "f32", (8,)), Tensor("n", "i64", ()))},
        {"outputs": Listed(0, 0)},
        {"inputs": (Rows(Leaf("argument", 0)),)},
        {"capacity": "batch"},
    ],
)
def test_refuses_loose_ends(manifest: Build, changes: dict[str, Any]) -> None:
    with pytest.raises(LoadError, match="BGH-LD-001"):
        manifest(**changes)


def test_refuses_every_replaced_part(manifest: Build) -> None:
    """Whatever stands in any place of the data, the answer is a manifest or a `LoadError`."""
    data = manifest().to_data()

    def places(part: Any, path: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        keys = part.keys() if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ()
        return [path, *(found for key in keys for found in places(part[key], (*path, key)))]

    for path in places(data, ())[1:]:
        for value in (None, -1, 1.5, True, "odd", [], {}, [[]], {"tuple": 1}):
            changed = copy.deepcopy(data)
            part = changed
            for key in path[:-1]:
                part = part[key]
            part[path[-1]] = value
            try:
                Manifest.from_data(changed)
            except LoadError:
                continue


def test_names_the_other_version(manifest: Build) -> None:
    with pytest.raises(LoadError, match="BGH-LD-005"):
        Manifest.from_data({**manifest().to_data(), "version": 99})
    with pytest.raises(LoadError):
        Manifest.from_data([])
