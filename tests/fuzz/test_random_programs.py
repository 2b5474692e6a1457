"""A minute of random programs with a fresh seed: each gives what eager gives, or is refused with a CompileError."""

from __future__ import annotations

import os
import random
import time

from random_programs import generate, judge, native, shrink

SECONDS = 60
SIZE = 4


def test_fresh_programs() -> None:
    """BOUGH_FUZZ_SEED repeats a run, BOUGH_FUZZ_SECONDS makes it longer."""
    seed = int(os.environ.get("BOUGH_FUZZ_SEED") or random.SystemRandom().randrange(10**9))
    end = time.monotonic() + float(os.environ.get("BOUGH_FUZZ_SECONDS") or SECONDS)
    kinds: list[str] = []
    while time.monotonic() < end:
        case = generate(seed, SIZE)
        verdict = judge(case, native)
        if verdict.bug:
            small = shrink(case, lambda c, kind=verdict.kind: judge(c, native).kind == kind, attempts=100)  # type: ignore[misc]
            raise AssertionError(
                f"seed {seed} (python tests/fuzz/hunt.py {seed} {seed + 1} --size {SIZE} --shrink): {verdict.text}\n{small.source}\n{small.inputs}"
            )
        kinds.append(verdict.kind)
        seed += 1
    assert "equal" in kinds and "invalid" not in kinds
