"""Programs with control on computed values, lowered for many samples: by the interpreters, each sample as if it were alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from control_programs import PROGRAMS, Case

from bough import ops
from bough.control_flow import over_samples
from bough.graph_passes import fuse, lower_function, normalize
from bough.ir.interpret_program import run_program
from bough.ir.interpret_sequence import run_sequence
from bough.ir.program_text import parse_program
from bough.ir.sequence import map_kernels
from bough.ir.verify_sequence import verify_sequence


def columns(case: Case, count: int) -> list[tuple[np.ndarray[Any, Any], ...]]:
    rng = np.random.default_rng(0)
    return [case.inputs(rng) for _ in range(count)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_sample_as_if_alone(name: str) -> None:
    case = PROGRAMS[name]
    program = parse_program(case.text, case.constants())
    fused = fuse(lower_function(program.functions[program.entry]))
    one = map_kernels(fused.steps, normalize)
    many = over_samples(type(fused)(**{**{f: getattr(fused, f) for f in fused.__slots__}, "steps": one}))
    verify_sequence(many)
    samples = columns(case, 9)
    sizes = {d.name: len(samples) if d is many.dims[-1] else 32 for d in many.dims}
    results = run_sequence(many, [np.stack(c) for c in zip(*samples)], sizes)
    for n, sample in enumerate(samples):
        for whole, alone in zip(results, run_program(program, list(sample), ops.evaluate)):
            got = whole[n][tuple(slice(e) for e in alone.shape)]
            np.testing.assert_allclose(got, alone, rtol=1e-5, atol=1e-6)
