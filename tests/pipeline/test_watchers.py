"""Watchers: what they see, write and refuse."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import bough
from bough.base.errors import InternalError
from bough.frontends.torch_export import export
from bough.ir.expr import Const
from bough.ir.kernel import Kernel, Store
from bough.ir.sequence import Sequence, map_kernels
from bough.pipeline.passes import IMPORT, PASSES, Options, run_passes
from bough.pipeline.watchers import Timing, Verify
from bough.targets import TARGETS

MODULE = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 3)).eval()
X = torch.zeros(4, 6)
OPTIONS = Options(TARGETS["avx2"], 2)


def test_timing_sees_every_pass():
    timing = Timing()
    run_passes(export(MODULE, (X,)).program, OPTIONS, [timing])
    assert [p.name for p in PASSES] == [n for n in timing.seconds if n != "import module"]


def test_dump_writes_a_text_after_every_pass(tmp_path, monkeypatch):
    monkeypatch.setenv("BOUGH_DUMP", str(tmp_path / "dump"))
    bough.compile(MODULE, (X,), cache=False)
    files = sorted(f.name for f in (tmp_path / "dump").iterdir())
    assert files[0] == "01-import-module.txt" and files[-1].endswith("assemble-loops.txt")
    assert "linear" in (tmp_path / "dump" / files[0]).read_text()
    assert "chunk in 0.." in (tmp_path / "dump" / files[-1]).read_text()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_verification_passes_what_is_right(depth: int):
    x = torch.zeros(3, 4, 5)
    imported = export(nn.GRU(5, 6, batch_first=True).eval(), (x,), dynamic={"input": {0: "batch"}})
    run_passes(imported.program, OPTIONS, [Verify(depth, OPTIONS.target)])


def test_verification_by_interpreters_finds_a_wrong_pass():
    watcher = Verify(3, OPTIONS.target)
    program = export(MODULE, (X,)).program
    (lower,) = [p for p in PASSES if p.name == "lower operators"]
    watcher.after(IMPORT, program, 0.0)
    sequence = lower.run(program, OPTIONS)
    watcher.after(lower, sequence, 0.0)

    def broken(kernel: Kernel) -> Kernel:
        body = tuple(Store(s.target, s.index, Const(1.0, s.value.dtype)) if isinstance(s, Store) else s for s in kernel.body)
        return dataclasses.replace(kernel, inputs=(), axes=kernel.free, body=tuple(s for s in body if isinstance(s, Store)))

    wrong = Sequence(
        sequence.name, sequence.inputs, sequence.results, sequence.temporaries, sequence.constants, sequence.constant_types,
        map_kernels(sequence.steps, broken), sequence.dims,
    )  # fmt: skip
    with pytest.raises(InternalError, match="lower operators"):
        watcher.after(lower, wrong, 0.0)
    assert watcher.judge is not None and np.isfinite(watcher.judge.expected[0]).all()
