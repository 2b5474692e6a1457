"""The lowered sequence computes what the recursion means, with every pass on and off, on structures of all shapes."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from recursive_models import MODELS, samples

from bough import ops
from bough.graph_passes.fuse import fuse
from bough.ir import run_sequence, verify_sequence
from bough.ir.interpret_recursion import interpret_recursion
from bough.ir.recursion import Recursion
from bough.ir.sequence import Sequence
from bough.recursion import Switches, lower_recursion
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
