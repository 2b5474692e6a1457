"""Programs with control on computed values, lowered for many samples: by the interpreters, each sample as if it were alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from parting_programs import PROGRAMS
from random_parting import Writer

from bough import ops
from bough.control_flow import over_samples
from bough.graph_passes import fuse, lower_function, normalize
from bough.ir.interpret_program import run_program
from bough.ir.interpret_sequence import run_sequence
from bough.ir.kernel_text import parse_kernel, print_kernel
from bough.ir.program import Program
from bough.ir.program_text import parse_program
from bough.ir.sequence import map_kernels
from bough.ir.verify_kernel import verify_kernel
from bough.ir.verify_program import verify_program
from bough.ir.verify_sequence import verify_sequence
from bough.search.heuristic import Context, Heuristic
from bough.targets import host


def together(program: Program, samples: list[tuple[Any, ...]]) -> None:
    """Compares the sequence for many samples, row by row, with what the program means for each."""
    fused = fuse(lower_function(program.functions[program.entry]))
    many = over_samples(replace(fused, steps=map_kernels(fused.steps, normalize)))
    verify_sequence(many)
    sizes = {d.name: len(samples) if d is many.dims[-1] else 32 for d in many.dims}
    results = run_sequence(many, [np.stack(c) for c in zip(*samples)], sizes)
    for n, sample in enumerate(samples):
        for whole, alone in zip(results, run_program(program, list(sample), ops.evaluate)):
            got = whole[n][tuple(slice(e) for e in alone.shape)]
            np.testing.assert_allclose(got, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_sample_as_if_alone(name: str) -> None:
    case = PROGRAMS[name]
    rng = np.random.default_rng(0)
    together(parse_program(case.text, case.constants()), [case.inputs(rng) for _ in range(9)])


@pytest.mark.parametrize("seed", range(14))
def test_random_programs(seed: int) -> None:
    weights = (np.random.default_rng(1).standard_normal((8, 8)) / 3).astype(np.float32)
    program = parse_program(Writer(seed).program(), {"w": weights})
    verify_program(program)
    rng = np.random.default_rng(seed)
    together(program, [(rng.standard_normal((1, 8)).astype(np.float32), np.asarray(rng.integers(0, 8))) for _ in range(7)])


def test_kernels_say_in_which_order_they_sum() -> None:
    """The order of one sample's sums is kept by the text, and by schedules of a kernel that would otherwise choose another."""
    text = """kernel total(x: f32[everyone, 64]) -> (y: f32[everyone])
  axes n: everyone, k: 64
  order %s
  s = sum(k) x[n, k]
  y[n] = s
"""
    context = Context(host(), 1, frozenset(), {"everyone": 64})
    for order, along in (("sequential", None), ("k * 2", ("k", 2))):
        kernel = parse_kernel(text % order)
        verify_kernel(kernel)
        assert parse_kernel(print_kernel(kernel)) == kernel
        vector = Heuristic().choose(kernel, context).vector
        assert (None if vector is None or vector.axis == "n" else (vector.axis, vector.count)) == along
