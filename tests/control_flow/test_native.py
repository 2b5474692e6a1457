"""Many samples natively: the bits of calls one by one, whatever the order, the number and the threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parting_programs import PROGRAMS, Case

import bough
from bough import ops
from bough.frontends.structure import Slot
from bough.frontends.torch_export import Imported
from bough.ir.interpret_program import run_program
from bough.ir.program_text import parse_program
from bough.pipeline.manifest import make_manifest
from bough.pipeline.passes import Options, run_passes
from bough.pipeline.samples import compile_samples
from bough.runtime import artefact
from bough.runtime.executable import Executable
from bough.runtime.samples import Samples
from bough.targets import host


def compiled(case: Case, threads: int = 2) -> Executable:
    program = parse_program(case.text, case.constants())
    f = program.functions[program.entry]
    names = tuple(p.name for p in f.params)
    imported = Imported(program, (tuple(map(Slot, range(len(names)))), {}), tuple(map(Slot, range(len(f.results)))), names)
    options = Options(host(), threads)
    generated = run_passes(program, options)
    constants = {n: np.array(a) for n, a in generated.assembled.sequence.constants.items()}
    one = Executable(make_manifest(imported, generated.assembled, options.target), generated.code, constants, threads=threads)
    one.samples = Samples(one, compile_samples(program, options))
    return one


def rows_of(case: Case, count: int) -> list[tuple[np.ndarray[Any, Any], ...]]:
    rng = np.random.default_rng(count)
    return [tuple(map(np.asarray, case.inputs(rng))) for _ in range(count)]


def inputs_of(rows: list[tuple[np.ndarray[Any, Any], ...]]) -> list[Any]:
    return [r[0] if len(r) == 1 else r for r in rows]


def bits(outputs: tuple[np.ndarray[Any, Any], ...]) -> list[tuple[tuple[int, ...], bytes]]:
    return [(np.shape(o), np.asarray(o).tobytes()) for o in outputs]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_bits_of_calls_one_by_one(name: str, tmp_path: Path) -> None:
    case = PROGRAMS[name]
    one = compiled(case)
    program = parse_program(case.text, case.constants())
    artefact.save(tmp_path / "f.bough", one)
    loaded = bough.load(tmp_path / "f.bough")
    for count in (1, 2, 19):
        rows = rows_of(case, count)
        alone = [one.call(*r) for r in rows]
        for r, a in zip(rows, alone, strict=True):
            for x, y in zip(a, run_program(program, list(r), ops.evaluate), strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
        for function in (one, loaded):
            assert [bits(m) for m in function.map(inputs_of(rows))] == [bits(a) for a in alone]


def test_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many inputs are taken in portions that bound the memory."""
    one = compiled(PROGRAMS["refine"], 1)
    rows = rows_of(PROGRAMS["refine"], 23)
    whole = one.map(rows)
    monkeypatch.setattr("bough.runtime.samples.PORTION", 5)
    assert one.samples is not None
    calls, compute = [], one.samples.many.call
    one.samples.many.call = lambda *arrays: calls.append(len(arrays[0])) or compute(*arrays)  # type: ignore[func-returns-value]
    assert [bits(m) for m in one.map(rows)] == [bits(m) for m in whole]
    assert calls == [4, 5, 4, 5, 5]
