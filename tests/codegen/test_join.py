"""Functions that are compiled as several modules: one object of the same meaning, whichever tool reads it."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native_code import SERIAL_TEAM

from bough.base.errors import InternalError
from bough.base.source import Location
from bough.codegen import binding, compile_functions, emit_assembly, emit_ir, parts, phases
from bough.codegen.join import join
from bough.ir.dtypes import F32
from bough.ir.expr import Const, Load, Var, apply
from bough.ir.loops import Buffer, For, Function, If, Let, Stmt, Store
from bough.runtime.loader import LoadedObject
from bough.targets import TARGETS, host

SIZE = 37
FUNCTIONS = ("exp", "tanh", "sin", "erf", "sqrt", "sigmoid")


def layers() -> Function:
    """y[k] = exp(x), tanh(x), ...: parallel loops with vector math and constants of their own."""
    n = Var("i")
    body = [
        For(
            "c", Const(0), Const(SIZE),
            (For("i", Var("c"), apply("add", Var("c"), Const(1)),
                 (Store("y", (Const(k), n), apply(name, Load("x", (n,)))),)),),
            "parallel", location=Location("/models/net.py", k + 1),
        )
        for k, name in enumerate(FUNCTIONS)
    ]  # fmt: skip
    return Function("layers", (), (Buffer("x", F32, (SIZE,)), Buffer("y", F32, (len(FUNCTIONS), SIZE))), tuple(body))


def outputs(code: bytes) -> np.ndarray[Any, Any]:
    return _call(LoadedObject(code).function("bough_layers", ctypes.c_int32, *[ctypes.c_void_p] * 3))


def _call(entry: Any) -> np.ndarray[Any, Any]:
    x, y = np.linspace(0.1, 3, SIZE, dtype=np.float32), np.full((len(FUNCTIONS), SIZE), np.nan, np.float32)
    assert entry((ctypes.c_void_p * 2)(x.ctypes.data, y.ctypes.data), None, None) == 0
    return y


@pytest.fixture(params=[1, 40])
def full(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many instructions fill a module."""
    monkeypatch.setattr(parts, "FULL", request.param)
    return int(request.param)


def test_modules_give_the_bits_of_one(full: int, monkeypatch: pytest.MonkeyPatch) -> None:
    several = compile_functions([layers()], host(), team=SERIAL_TEAM)
    assert several == compile_functions([layers()], host(), team=SERIAL_TEAM)
    monkeypatch.setattr(parts, "FULL", 10**9)
    one = compile_functions([layers()], host(), team=SERIAL_TEAM)
    assert several != one
    np.testing.assert_array_equal(outputs(several), outputs(one))


def side_by_side() -> Function:
    """The functions of `layers`, of which a chunk computes one."""
    n, c = Var("i"), Var("c")
    loops = [For("i", Const(0), Const(SIZE), (Store("y", (c, n), apply(name, Load("x", (n,)))),)) for name in FUNCTIONS]
    body: tuple[Stmt, ...] = (loops[-1],)
    for k in reversed(range(len(loops) - 1)):
        body = (Let(f"k{k}", Const(k)), If(apply("le", c, Var(f"k{k}")), (loops[k],), body))
    params = Buffer("x", F32, (SIZE,)), Buffer("y", F32, (len(FUNCTIONS), SIZE))
    return Function("layers", (), params, (For("c", Const(0), Const(len(FUNCTIONS)), body, "parallel"),))


def test_kernels_side_by_side_are_functions_of_their_own_if_they_are_much_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert emit_ir([side_by_side()], host()).count("phase2") == 0
    one = outputs(compile_functions([side_by_side()], host(), team=SERIAL_TEAM))
    monkeypatch.setattr(phases, "MUCH", 2)
    assert emit_ir([side_by_side()], host()).count("define internal void") == 1 + len(FUNCTIONS)
    np.testing.assert_array_equal(outputs(compile_functions([side_by_side()], host(), team=SERIAL_TEAM)), one)
    np.testing.assert_array_equal(outputs(compile_functions([layers()], host(), team=SERIAL_TEAM)), one)


def test_threads_compile_at_once_from_the_start() -> None:
    """In a process that has not used LLVM before."""
    text = "define i32 @f() {\n  ret i32 7\n}"
    program = f"""
from concurrent.futures import ThreadPoolExecutor
from bough.codegen import binding
from bough.targets import host
with ThreadPoolExecutor(8) as threads:
    made = set(threads.map(lambda _: binding.compile_object({text!r}, host()), range(32)))
assert len(made) == 1
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_assembly_is_of_one_module(full: int) -> None:
    assert emit_assembly([layers()], host()).count("bough_layers.phase1:") == 1


@pytest.mark.parametrize("target", [t for t in TARGETS.values() if t.triple], ids=lambda t: t.name)
def test_every_target(full: int, target: object) -> None:
    assert compile_functions([layers()], target, team="").startswith(b"\x7fELF")  # type: ignore[arg-type]


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no linker")
def test_a_linker_reads_it(full: int, tmp_path: Path) -> None:
    """With the symbols of two objects under prefixes of their own."""
    for prefix in ("a_", "b_"):
        (tmp_path / f"{prefix}.o").write_bytes(compile_functions([layers()], host(), team=SERIAL_TEAM, prefix=prefix))
    library = tmp_path / "both.so"
    subprocess.run(["cc", "-shared", "-o", library, tmp_path / "a_.o", tmp_path / "b_.o", "-lm"], check=True)
    loaded = ctypes.CDLL(str(library))
    right = outputs(compile_functions([layers()], host(), team=SERIAL_TEAM))
    for prefix in ("a_", "b_"):
        np.testing.assert_array_equal(_call(loaded[f"{prefix}bough_layers"]), right)


def test_two_definitions_are_refused() -> None:
    code = binding.compile_object("define i32 @f() {\n  ret i32 0\n}", host())
    with pytest.raises(InternalError, match="two objects define f"):
        join([code, code])


def test_memory_that_is_zero_at_first() -> None:
    """Sections without contents, and data of both objects that the code of the first one reads."""
    first = """
    @count = global i32 0
    @other = external hidden global i32
    define i32 @f() {
      %a = load i32, ptr @count
      %b = load i32, ptr @other
      %c = add i32 %a, %b
      ret i32 %c
    }
    """
    second = "@room = global [33 x i8] zeroinitializer\n@other = hidden global i32 41\n@more = global i32 0"
    files = [binding.compile_object(text, host()) for text in (first, second)]
    for order in (files, files[::-1]):
        assert LoadedObject(join(order)).function("f", ctypes.c_int32)() == 41
