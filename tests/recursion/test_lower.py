"""The lowered sequence computes what the recursion means, with every pass on and off, on structures of all shapes."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from recursive_models import EMBEDDING, MODELS, chain, child_sum, labelled, list_of, samples, shared_product, tree_rnn

from bough import ops
from bough.graph_passes.fuse import fuse
from bough.ir import run_sequence, verify_sequence
from bough.ir.interpret_recursion import interpret_recursion
from bough.ir.recursion import Recursion
from bough.ir.sequence import Repeat, Sequence, kernels
from bough.ir.verify_recursion import verify_recursion
from bough.recursion import Switches, lower_recursion, unroll
from bough.recursion.refactor import refactor
from bough.runtime.linearize import linearize

ALL = Switches()
SETTINGS = {"all": ALL, "none": Switches(**{f.name: False for f in fields(Switches)})} | {
    f"{'without' if getattr(ALL, f.name) else 'with'} {f.name}": replace(ALL, **{f.name: not getattr(ALL, f.name)})
    for f in fields(Switches)
}


def run(recursion: Recursion, sequence: Sequence, given: list[tuple[Any, ...]], precision: Any = "float64") -> Any:
    found = linearize(recursion.visits, given)
    inputs = [found.arrays[o.name] for o in sequence.inputs]
    return run_sequence(sequence, inputs, found.sizes, precision)


def expected(recursion: Recursion, given: list[tuple[Any, ...]]) -> list[np.ndarray[Any, Any]]:
    each = [interpret_recursion(recursion, args, ops.evaluate, "float64") for args in given]
    entry = len(recursion.results[recursion.visits.entry])
    stacked = [np.stack([e[n] for e in each]) for n in range(entry)]
    return [*stacked, *(np.concatenate([e[n] for e in each]) for n in range(entry, len(each[0])))]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("model", MODELS)
def test_sequences_compute_what_recursions_mean(model: str, setting: str) -> None:
    recursion = MODELS[model]()
    sequence = lower_recursion(recursion, SETTINGS[setting])
    verify_sequence(sequence)
    fused = fuse(sequence)
    verify_sequence(fused)
    given = samples(model)
    for part, code in itertools.product((given, given[1:2], given[-1:]), (sequence, fused)):
        for got, want in zip(run(recursion, code, part), expected(recursion, part), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)  # constants are folded in float32


@pytest.mark.parametrize("model", MODELS)
def test_unrolled_recursions_mean_the_same(model: str) -> None:
    recursion = MODELS[model]()
    unrolled = unroll(recursion)
    verify_recursion(unrolled, ops.infer)
    given = samples(model)
    for got, want in zip(expected(unrolled, given), expected(recursion, given), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)
    sequence = lower_recursion(unrolled)
    verify_sequence(sequence)
    for got, want in zip(run(unrolled, sequence, given), expected(recursion, given), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)


def test_unrolling_halves_the_levels() -> None:
    given = [(list_of(np.random.default_rng(0), 30),)]
    found = [linearize(r.visits, given).sizes for r in (chain(), unroll(chain()))]
    levels = [max(size for name, size in sizes.items() if name.endswith("levels")) for sizes in found]
    assert levels == [31, 16]


def test_a_chain_deeper_than_python_recurses() -> None:
    recursion = chain()
    given = [(list_of(np.random.default_rng(0), 3000),)]
    (want,) = expected(recursion, given)
    (got,) = run(recursion, lower_recursion(recursion), given)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)


def test_products_of_each_child_move_into_the_child_where_that_is_asked_for() -> None:
    recursion = child_sum()
    moved = refactor(recursion)
    verify_recursion(moved, ops.infer)
    assert [len(r.results["encode"]) for r in (recursion, moved)] == [2, 3]
    assert refactor(tree_rnn()).results == tree_rnn().results  # its product is of both children joined


def test_what_is_known_early_leaves_the_loop() -> None:
    def products(switches: Switches) -> int:
        loops = (s for s in lower_recursion(child_sum(), switches).steps if isinstance(s, Repeat))
        return sum(k.name == "linear" for loop in loops for k in kernels(loop.body))

    assert products(ALL) == 2  # of the children's states; those of words are done before
    assert products(replace(ALL, hoisting=False)) == 4


def test_what_no_other_activation_needs_follows_the_levels() -> None:
    def products(switches: Switches) -> int:
        loops = (s for s in lower_recursion(labelled(), switches).steps if isinstance(s, Repeat))
        return sum(k.name == "linear" for loop in loops for k in kernels(loop.body))

    assert products(ALL) == 1  # that of the children's states; those of words are done before
    assert products(replace(ALL, sinking=False)) == 3


def test_constants_are_held_once() -> None:
    sequence = lower_recursion(shared_product())
    embeddings = [a for a in sequence.constants.values() if a.shape == EMBEDDING.shape]
    assert len(embeddings) == 1
