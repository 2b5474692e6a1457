"""Exports of networks whose course, or whose sizes, depend on what they compute."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from emulated import aarch64
from torch import nn

import bough
from bough.pipeline.export import Exported

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() != "x86_64" or shutil.which("cc") is None, reason="needs cc on x86-64 Linux"
)


class EarlyExit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.exit, self.second, self.last = nn.Linear(8, 16), nn.Linear(16, 4), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
        h = torch.relu(self.first(x))
        y = self.exit(h)
        if torch.softmax(y, -1).max().item() > 0.3:
            return y, 1
        assert x.sum() < 100, "too large"
        return self.last(torch.relu(self.second(h))), 2


class Grows(nn.Module):
    def forward(self, x: torch.Tensor, most: torch.Tensor) -> torch.Tensor:
        rows = x
        while rows.sum() < most:
            rows = torch.cat([rows, x + rows[-1:] * 0.5])
        return rows


def sample(
    exported: Exported, *arguments: torch.Tensor, given: tuple[str, ...] = (), emulator: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Builds and runs the sample program, which writes each result to a file."""
    folder, program = exported.folder, exported.folder / "program"
    if not program.exists():
        command = [*exported.compiler, "-o", str(program), str(folder / "model_sample.c"), str(folder / "libmodel.so")]
        command += [f"-Wl,-rpath,{folder}", "-lm"]
        subprocess.run(command, check=True)
    files = []
    for n, a in enumerate(arguments):
        (folder / f"in{n}.bin").write_bytes(a.numpy().tobytes())
        files.append(str(folder / f"in{n}.bin"))
    call = [*emulator, str(program), "-w", str(folder / "model.safetensors"), "-t", "2", "-o", str(folder / "out"), *given, *files]
    return subprocess.run(call, capture_output=True, text=True, check=False)


def test_an_early_exit_has_the_same_bits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    compiled = bough.compile(EarlyExit().eval(), (torch.randn(1, 8),), cache=False, threads=2)
    exported = compiled.export(tmp_path)
    ways = set()
    for seed in range(10):
        x = torch.randn(1, 8, generator=torch.Generator().manual_seed(seed))
        assert sample(exported, x).returncode == 0
        y, way = compiled(x)
        ways.add(way)
        np.testing.assert_array_equal(np.fromfile(tmp_path / "out0.bin", np.float32), y.numpy().ravel())
        assert np.fromfile(tmp_path / "out1.bin", np.int64)[0] == way
    assert ways == {1, 2}


def test_sizes_that_are_computed(tmp_path: Path) -> None:
    compiled = bough.compile(Grows().eval(), (torch.ones(1, 3), torch.tensor(20.0)), cache=False, threads=2)
    exported = compiled.export(tmp_path)
    for most in (1.0, 20.0, 300.0):
        assert sample(exported, torch.ones(1, 3), torch.tensor(most)).returncode == 0
        rows = compiled(torch.ones(1, 3), torch.tensor(most))
        size = int(np.fromfile(tmp_path / "out1.bin", np.int64)[0])
        got = np.fromfile(tmp_path / "out0.bin", np.float32).reshape(-1, 3)[:size]
        np.testing.assert_array_equal(got, rows.numpy())
    failed = sample(exported, torch.ones(1, 3), torch.tensor(3000.0))
    assert failed.returncode != 0 and "above the capacity, 256" in failed.stderr
    assert sample(exported, torch.ones(1, 3), torch.tensor(3000.0), given=("-s", "capacity=1024")).returncode == 0


def test_nothing_but_libc_and_libm_is_needed(tmp_path: Path) -> None:
    bough.compile(EarlyExit().eval(), (torch.randn(1, 8),), cache=False).export(tmp_path)
    listed = subprocess.run(["ldd", tmp_path / "libmodel.so"], capture_output=True, text=True, check=True).stdout
    needed = {Path(line.split()[0]).name.partition(".")[0] for line in listed.splitlines()}
    assert needed <= {"linux-vdso", "libc", "libm", "ld-linux-x86-64"}


def test_decisions_and_computed_sizes_on_aarch64(tmp_path: Path) -> None:
    command = aarch64()
    torch.manual_seed(0)
    exits = bough.compile(EarlyExit().eval(), (torch.randn(1, 8),), cache=False, threads=2)
    exported, ways = exits.export(tmp_path / "exits", target="aarch64-linux-gnu"), set()
    for x in torch.randn(10, 1, 8):
        done = sample(exported, x, emulator=command)
        assert done.returncode == 0, done.stderr
        y, way = exits(x)
        ways.add(way)
        assert np.fromfile(exported.folder / "out1.bin", np.int64)[0] == way
        np.testing.assert_allclose(np.fromfile(exported.folder / "out0.bin", np.float32), y.numpy().ravel(), rtol=2e-5, atol=2e-6)
    assert ways == {1, 2}
    grows = bough.compile(Grows().eval(), (torch.ones(1, 3), torch.tensor(20.0)), cache=False, threads=2)
    exported = grows.export(tmp_path / "grows", target="aarch64-linux-gnu")
    assert sample(exported, torch.ones(1, 3), torch.tensor(300.0), emulator=command).returncode == 0
    rows = grows(torch.ones(1, 3), torch.tensor(300.0))
    assert int(np.fromfile(exported.folder / "out1.bin", np.int64)[0]) == len(rows)
    np.testing.assert_allclose(np.fromfile(exported.folder / "out0.bin", np.float32)[: rows.numel()], rows.numpy().ravel(), rtol=2e-5)
