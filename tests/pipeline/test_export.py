"""Exports run in C programs: the same bits as in Python, and errors for what is wrong."""

from __future__ import annotations

import ctypes
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from emulated import aarch64, emulator
from torch import nn

import bough
from bough.pipeline.export import LEVELS, Exported, describe_file
from bough.runtime import processor
from bough.targets import TARGETS, Target

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() != "x86_64" or shutil.which("cc") is None, reason="needs cc on x86-64 Linux"
)
Array = np.ndarray[Any, Any]


def mlp() -> tuple[nn.Module, torch.Tensor, dict[str, Any]]:
    return nn.Sequential(nn.Linear(17, 33), nn.GELU(), nn.Linear(33, 5)).eval(), torch.randn(6, 17), {"input": {0: "batch"}}


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRU(9, 24, batch_first=True)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        states, last = self.cell(x)
        return states, {"last": last, "again": states, "input": x}


def gru() -> tuple[nn.Module, torch.Tensor, dict[str, Any]]:
    return Recurrent().eval(), torch.randn(3, 7, 9), {"x": {0: "batch"}}


def network() -> tuple[nn.Module, torch.Tensor, dict[str, Any]]:
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 4 * 4, 10), nn.Softmax(-1),
    )  # fmt: skip
    return layers.eval(), torch.randn(2, 3, 12, 12), {"input": {0: "batch"}}


MODELS = {"mlp": mlp, "gru": gru, "network": network}
X86 = ("x86-64-v2", "x86-64-v3", "x86-64-v4")


def compiled(build: Callable[[], Any], target: str | Target | None = None) -> tuple[bough.Compiled, Array]:
    torch.manual_seed(0)
    module, x, dynamic = build()
    return bough.compile(module, (x,), dynamic=dynamic, target=target, threads=2, cache=False), x.numpy()


def build_sample(made: Exported, *flags: str) -> Path:
    folder, name = made.folder, made.name
    command = [*made.compiler, "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", str(folder / f"{name}_sample.c")]
    subprocess.run([*command, "-o", str(folder / "sample"), f"-L{folder}", f"-l{name}", "-Wl,-rpath,$ORIGIN", *flags], check=True)
    return folder / "sample"


def run_sample(sample: Path, x: Array, *options: str, emulator: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    x.tofile(sample.parent / "x.bin")
    command = [*emulator, str(sample), "-o", "y", "-s", f"batch={len(x)}", *options, "x.bin"]
    return subprocess.run(command, cwd=sample.parent, capture_output=True, text=True, check=False)


def leaves(y: Any) -> list[Array]:
    """Each output once."""
    flat = [y] if isinstance(y, np.ndarray) else [a for part in (y.values() if isinstance(y, dict) else y) for a in leaves(part)]
    return [a for i, a in enumerate(flat) if not any(a is b for b in flat[:i])]


def check(sample: Path, f: bough.Compiled, x: Array, **options: Any) -> None:
    done = run_sample(sample, x, **options)
    assert done.returncode == 0, done.stderr
    expected = leaves(f(x))
    assert done.stdout.count("# result") == len(expected)
    for i, y in enumerate(expected):
        assert np.array_equal(np.fromfile(sample.parent / f"y{i}.bin", y.dtype), y.ravel())


@pytest.mark.parametrize("model", MODELS)
def test_the_sample_program_gives_the_bits_of_the_compiled_function(model: str, tmp_path: Path) -> None:
    f, x = compiled(MODELS[model])
    sample = build_sample(f.export(tmp_path))
    check(sample, f, x)
    check(sample, f, x[:1])
    needed = subprocess.run(["ldd", str(tmp_path / "libmodel.so")], capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"(lib\w+|linux-vdso|ld-linux-x86-64)[.\w-]*\.so", needed)) <= {"libc", "libm", "linux-vdso", "ld-linux-x86-64"}


def test_levels_in_one_file_and_dispatch(tmp_path: Path) -> None:
    f, x = compiled(mlp)
    made = f.export(tmp_path, name="leveled", target=",".join(X86))
    best = next(level for level in reversed(X86) if not processor.missing(TARGETS[LEVELS[level]].features))
    library = ctypes.CDLL(str(tmp_path / "libleveled.so"))
    library.leveled_target.restype = ctypes.c_char_p
    assert library.leveled_target().decode() == best
    check(build_sample(made), f, x)
    shown = subprocess.run(["nm", "-D", "--defined-only", str(tmp_path / "libleveled.so")], capture_output=True, text=True, check=True)
    assert all(line.split()[-1].startswith("leveled_") for line in shown.stdout.splitlines())


@pytest.mark.parametrize("level", X86[:2])
def test_each_level_gives_the_bits_of_its_target(level: str, tmp_path: Path) -> None:
    name = LEVELS[level]
    if processor.missing(TARGETS[name].features):
        pytest.skip(f"this processor is not {level}")
    f, x = compiled(network, name)
    check(build_sample(f.export(tmp_path, target=level)), f, x)


def test_embedded_weights_and_a_loaded_function(tmp_path: Path) -> None:
    f, x = compiled(mlp)
    f.save(tmp_path / "f.bough")
    g = bough.Compiled(bough.load(tmp_path / "f.bough"))
    made = g.export(tmp_path / "out", embed=True)
    (tmp_path / "out" / "model.safetensors").unlink()
    check(build_sample(made), f, x)
    with pytest.raises(bough.CompileError, match="BGH-EXP-004"):
        g.export(tmp_path, target="x86-64-v3")


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    f, x = compiled(mlp)
    sample = build_sample(f.export(tmp_path))
    file = tmp_path / "model.safetensors"
    whole = file.read_bytes()
    for contents, why in ((whole[:-1], "bytes, not"), (b"", "bytes, not"), (whole[:-3] + bytes([whole[-3] ^ 4]) + whole[-2:], "not those that were written")):
        file.write_bytes(contents)
        done = run_sample(sample, x)
        assert done.returncode == 1 and why in done.stderr and not done.stdout
    file.unlink()
    assert "No such file" in run_sample(sample, x).stderr


class Tensor(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("rank", ctypes.c_int), ("shape", ctypes.c_int64 * 2))


def array(x: Array) -> Tensor:
    return Tensor(x.ctypes.data, x.ndim, (ctypes.c_int64 * 2)(*x.shape))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[bough.Compiled, ctypes.CDLL, ctypes.c_void_p]:
    folder = tmp_path_factory.mktemp("export")
    f, _ = compiled(mlp)
    f.export(folder)
    library = ctypes.CDLL(str(folder / "libmodel.so"))
    library.model_error.restype = ctypes.c_char_p
    model = ctypes.c_void_p()
    assert library.model_open(ctypes.byref(model), str(folder / "model.safetensors").encode(), 2) == 0
    return f, library, model


def test_threads_call_at_once_with_batches_of_their_own(opened: Any) -> None:
    f, library, model = opened

    def call(n: int) -> bool:
        x = np.random.default_rng(n).normal(size=(1 + n % 9, 17)).astype(np.float32)
        y = np.zeros((len(x), 5), np.float32)
        shaped = Tensor()
        assert library.model_shapes(ctypes.byref(array(x)), ctypes.byref(shaped)) == 0
        assert (shaped.rank, *shaped.shape) == (2, len(x), 5)
        assert library.model_run(model, ctypes.byref(array(x)), ctypes.byref(array(y))) == 0
        return np.array_equal(y, f(x))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(call, range(80)))


def test_wrong_calls_have_statuses_and_messages(opened: Any) -> None:
    _, library, model = opened
    x, y = np.zeros((2, 17), np.float32), np.zeros((2, 5), np.float32)
    wrong_rank = Tensor(x.ctypes.data, 1, (ctypes.c_int64 * 2)(34, 0))
    misaligned = Tensor(x.ctypes.data + 1, 2, (ctypes.c_int64 * 2)(1, 17))
    cases = [
        (array(np.zeros((2, 16), np.float32)), array(y), 2, "axis 1 of argument 0 (input) has size 16; 17 is expected"),
        (wrong_rank, array(y), 2, "has 1 axes"),
        (array(x), array(np.zeros((3, 5), np.float32)), 2, "axis 0 of result 0"),
        (Tensor(x.ctypes.data, 2, (ctypes.c_int64 * 2)(-1, 17)), array(y), 2, "has size -1"),
        (Tensor(x.ctypes.data, 2, (ctypes.c_int64 * 2)(2**60, 17)), array(y), 2, "larger than memory"),
        (Tensor(None, 2, (ctypes.c_int64 * 2)(2, 17)), array(y), 1, "no data"),
        (misaligned, array(y), 1, "not aligned"),
    ]
    for argument, result, status, message in cases:
        assert library.model_run(model, ctypes.byref(argument), ctypes.byref(result)) == status
        assert message in library.model_error().decode()
    assert library.model_run(None, ctypes.byref(array(x)), ctypes.byref(array(y))) == 1
    assert library.model_open(None, None, 1) == 1
    nothing = ctypes.c_void_p(1)
    assert library.model_open(ctypes.byref(nothing), None, 1) == 4 and not nothing.value
    library.model_close(None)


def test_refusals(tmp_path: Path) -> None:
    f, _ = compiled(mlp)
    for options, code in (
        ({"target": "m68k"}, "BGH-EXP-002"), ({"target": "matrix-unit"}, "BGH-EXP-002"), ({"target": "x86-64-v3,aarch64-linux-gnu"}, "BGH-EXP-002"),
        ({"name": "No name"}, "BGH-EXP-006"),
    ):  # fmt: skip
        with pytest.raises(bough.CompileError, match=code):
            f.export(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_no_compiler_is_said_clearly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    f, _ = compiled(mlp)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(bough.CompileError, match="BGH-EXP-001"):
        f.export(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_cmake_snippet_builds(tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("no cmake")
    f, _ = compiled(mlp)
    f.export(tmp_path)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(host C)\ninclude(model.cmake)\n"
        "add_executable(host model_sample.c)\ntarget_link_libraries(host PRIVATE model::model)\n"
    )
    subprocess.run(["cmake", "-S", ".", "-B", "build"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", "build"], cwd=tmp_path, check=True, capture_output=True)
    assert subprocess.run([str(tmp_path / "build" / "host")], cwd=tmp_path, check=True, capture_output=True).stdout


def test_contents_are_described_and_checked(tmp_path: Path) -> None:
    f, _ = compiled(mlp)
    f.export(tmp_path, target="x86-64-v2,x86-64-v3")
    contents = describe_file(tmp_path)
    assert [label for label, _, _ in contents.variants] == ["x86-64-v3", "x86-64-v2"] and contents.right
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert not describe_file(tmp_path / "model.json").right
    (tmp_path / "model.json").write_text("[]")
    with pytest.raises(bough.CompileError):
        describe_file(tmp_path)


def test_a_processor_without_the_instructions_gets_a_message(tmp_path: Path) -> None:
    f, x = compiled(mlp)
    sample = build_sample(f.export(tmp_path, target="x86-64-v3"))
    done = run_sample(sample, x, emulator=(emulator("x86_64"), "-cpu", "qemu64"))
    assert done.returncode == 1 and "lacks instructions of x86-64-v3" in done.stderr


@pytest.mark.parametrize("model", MODELS)
def test_aarch64_under_emulation(model: str, tmp_path: Path) -> None:
    command = aarch64()
    f, x = compiled(MODELS[model])
    sample = build_sample(f.export(tmp_path, target="aarch64-linux-gnu"), "-lm")
    done = run_sample(sample, x, emulator=command)
    assert done.returncode == 0, done.stderr
    for i, y in enumerate(leaves(f(x))):
        np.testing.assert_allclose(np.fromfile(tmp_path / f"y{i}.bin", y.dtype), y.ravel(), rtol=2e-5, atol=2e-6)
