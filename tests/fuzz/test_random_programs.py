"""Random programs: each gives what eager gives, or is refused with a CompileError.

What may fail a change is the same for every run: programs of fixed seeds. Fresh ones find new bugs, but a bug that was there
before says nothing about the change at hand, so they are reported as a warning. Their seeds follow from the package's sources:
fresh for each change, the same when a run is repeated.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from pathlib import Path

import pytest
from random_programs import generate, judge, judge_map, native, shrink

import bough

SEEDS = range(40)
SECONDS = 30
SIZE = 4


class FoundWarning(UserWarning):
    """A program that is compiled wrongly."""


def report(seed: int) -> tuple[str, str]:
    """What became of the program of a seed, and a report where that is a bug."""
    case = generate(seed, SIZE)
    verdict = judge(case, native)
    if not verdict.bug:
        return verdict.kind, ""
    small = shrink(case, lambda c: judge(c, native).kind == verdict.kind, attempts=100)
    command = f"python tests/fuzz/hunt.py {seed} {seed + 1} --size {SIZE} --shrink"
    return verdict.kind, f"{command}\n{verdict.text}\n{small.source}\n{small.inputs}"


@pytest.mark.parametrize("seed", SEEDS)
def test_program(seed: int) -> None:
    kind, bug = report(seed)
    assert not bug, bug
    assert kind != "invalid"


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_map_of_a_program(seed: int) -> None:
    verdict = judge_map(generate(seed, SIZE))
    assert not verdict.bug, verdict.text


def test_fresh_programs() -> None:
    """BOUGH_FUZZ_SEED sets the first seed, and makes bugs fail; BOUGH_FUZZ_SECONDS makes it longer."""
    given = os.environ.get("BOUGH_FUZZ_SEED")
    seed = int(given) if given else of_sources()
    end = time.monotonic() + float(os.environ.get("BOUGH_FUZZ_SECONDS") or SECONDS)
    while time.monotonic() < end:
        kind, bug = report(seed)
        assert not (bug and given), bug
        if bug:
            warnings.warn(bug, FoundWarning, stacklevel=1)
            return
        assert kind != "invalid"
        seed += 1


def of_sources() -> int:
    """A seed for the package as it is."""
    found = hashlib.sha256()
    for file in sorted(Path(bough.__file__).parent.rglob("*.py")):
        found.update(file.read_bytes())
    return int.from_bytes(found.digest()[:4], "big")
