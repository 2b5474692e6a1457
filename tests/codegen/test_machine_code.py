"""What the machine code looks like: registers, symbols, line tables, the same bytes for the same input; and the real team."""

from __future__ import annotations

import ctypes
import re
import time
from dataclasses import replace

import numpy as np
import pytest
from native_code import SERIAL_TEAM, aligned, check

from bough.base.errors import InternalError
from bough.base.source import Location
from bough.codegen import binding, compile_functions, emit_assembly, emit_ir
from bough.ir.dtypes import F32
from bough.ir.expr import Apply, Const, Load, Var, add, apply, floordiv, mul
from bough.ir.loops import Alloc, Buffer, For, Function, Invoke, Let, LoopKind, Slice, Stmt, Store
from bough.runtime.loader import LoadedObject
from bough.runtime.team import team_text
from bough.targets import TARGETS, Target, host

AVX512 = TARGETS["avx512"]
ROWS, VECTORS, LANES = 12, 2, 16
ROW, V, L, K, I, J = (Var(x) for x in ("row", "v", "l", "k", "i", "j"))
X_ROW = add(mul(I, ROWS), ROW)
COLUMN = add(mul(V, LANES), L)
ACC = Load("acc", (ROW, V, L))
SAXPY = Apply("fma", (Load("x", (X_ROW, K)), Load("w", (J, K, COLUMN)), ACC), F32)


def lanes(*body: Stmt) -> For:
    return For("l", Const(0), Const(LANES), body, "vector", lanes=LANES)


def tile(statement: Stmt) -> For:
    inner = For("v", Const(0), Const(VECTORS), (statement,), "unroll")
    return For("row", Const(0), Const(ROWS), (inner,), "unroll")


STEPS = {
    "vector loop": lanes(Store("acc", (ROW, V, L), SAXPY)),
    "instruction": Invoke(
        "avx512.fma",
        (
            Slice("acc", (ROW, V, Const(0)), (2,)),
            Slice("x", (X_ROW, K)),
            Slice("w", (J, K, mul(V, LANES)), (2,)),
        ),
    ),
}


def product(step: Stmt, location: Location | None = None, epilogue: str = "") -> Function:
    """y = relu(x w) in tiles of 12 rows and 2 vectors; w is packed by columns. Any other `epilogue` goes through scratch."""
    m = Var("m")
    at = (X_ROW, add(mul(J, VECTORS * LANES), COLUMN))
    stores: tuple[Stmt, ...] = (tile(lanes(Store("y", at, apply("max", ACC, Const(0.0, F32))))),)
    if epilogue:
        staged = Load("staged", (ROW, V, L))
        by_vector = For("v", Const(0), Const(VECTORS), (lanes(Store("y", at, apply(epilogue, staged))),))
        stores = (
            Alloc(Buffer("staged", F32, (ROWS, VECTORS, LANES), "scratch", 64)),
            tile(lanes(Store("staged", (ROW, V, L), ACC))),
            For("row", Const(0), Const(ROWS), (by_vector,)),
        )
    body = (
        Alloc(Buffer("acc", F32, (ROWS, VECTORS, LANES), "register", 64)),
        tile(lanes(Store("acc", (ROW, V, L), Const(0.0, F32)))),
        For("k", Const(0), Const(300), (tile(step),)),
        *stores,
    )
    rows = For("i", Const(0), floordiv(m, ROWS), body)
    columns = For("j", Const(0), Const(4), (rows,), "parallel", location=location)
    params = (Buffer("x", F32, (m, 300)), Buffer("w", F32, (4, 300, 32), align=64), Buffer("y", F32, (m, 128)))
    return Function("product", ("m",), params, (columns,), location)


def inner_loops(assembly: str) -> list[list[str]]:
    """The instructions of loops of one block: from a label to the branch back to it."""
    found = []
    for block in re.split(r"\n(?=\.LBB)", assembly):
        label, _, rest = block.partition(":")
        code = [line.strip() for line in rest.splitlines() if line.strip() and not line.strip().startswith((".", "#"))]
        end = next((n for n, line in enumerate(code) if re.fullmatch(rf"j\w+\s+{re.escape(label)}", line)), None)
        if end is not None:
            found.append(code[: end + 1])
    return found


def check_product_loop(assembly: str) -> None:
    """One loop multiplies a tile by broadcast elements, entirely in registers."""
    code = max(inner_loops(assembly), key=lambda lines: sum(line.startswith("vfmadd231ps") for line in lines))
    multiply = [line for line in code if line.startswith("vfmadd231ps")]
    others = [line for line in code if line.startswith("v") and not line.startswith("vfmadd")]
    assert len(multiply) == ROWS * VECTORS and all("zmm" in line for line in multiply)
    assert len(others) <= ROWS + VECTORS, others
    assert not [line for line in code if "rsp" in line or "rbp" in line]


@pytest.mark.parametrize("step", STEPS)
def test_register_tile_stays_in_registers(step: str) -> None:
    check_product_loop(emit_assembly([product(STEPS[step])], AVX512))


@pytest.mark.parametrize("function", ["sigmoid", "tanh", "exp"])
def test_register_tile_beside_a_long_epilogue(function: str) -> None:
    """The constants of the epilogue, here a loop of its own, do not take the accumulators' registers."""
    check_product_loop(emit_assembly([product(STEPS["vector loop"], epilogue=function)], AVX512))


def test_compile_time_of_a_register_tile() -> None:
    compile_functions([product(STEPS["vector loop"])], AVX512, team=SERIAL_TEAM)
    start = time.process_time()
    compile_functions([product(STEPS["vector loop"])], AVX512, team=SERIAL_TEAM)
    assert time.process_time() - start < 0.2  # about 0.03 on a quiet machine


def test_same_input_same_bytes() -> None:
    function = product(STEPS["instruction"], Location("/models/net.py", 7))
    first = compile_functions([function], AVX512, team=team_text("x86_64"))
    assert first == compile_functions([function], AVX512, team=team_text("x86_64"))


def test_functions_name_the_lines_of_the_user() -> None:
    assembly = emit_assembly([product(STEPS["vector loop"], Location("/models/net.py", 7))], AVX512)
    assert '"net.py"' in assembly and re.search(r"\.loc\s+\d+ 7 ", assembly)


def test_lines_of_another_file() -> None:
    body = For("i", Const(0), Var("n"), (Store("y", (I,), Const(1.0, F32)),), location=Location("/models/block.py", 42))
    function = Function("f", ("n",), (Buffer("y", F32, (Var("n"),)),), (body,), Location("/models/net.py", 7))
    assembly = emit_assembly([function], AVX512)
    assert '"block.py"' in assembly and re.search(r"\.loc\s+\d+ 42 ", assembly)


def test_text_before_and_after_optimization() -> None:
    function = product(STEPS["instruction"])
    assert "alloca" in emit_ir([function], AVX512)
    assert "alloca [" not in emit_ir([function], AVX512, optimized=True).split("@bough_product.phase1", 2)[2]


ARM = Target("arm", (), (), ("neon",), 4, "register", "aarch64-unknown-linux-gnu", "generic")


@pytest.mark.parametrize("target", [*(t for t in TARGETS.values() if t.triple), ARM], ids=lambda t: t.name)
def test_objects_for_targets_other_than_this_machine(target: Target) -> None:
    body = For("l", Const(0), Var("n"), (Store("y", (L,), apply("exp", Load("y", (L,)))),), "vector", lanes=max(target.lanes, 2))
    function = Function("f", ("n",), (Buffer("y", F32, (Var("n"),)),), (body,))
    assert compile_functions([function], target, team="").startswith(b"\x7fELF")


def test_two_functions_in_one_object() -> None:
    functions = [
        Function(name, (), (Buffer("y", F32, (1,)),), (Store("y", (Const(0),), Const(value, F32)),))
        for name, value in (("one", 1.0), ("two", 2.0))
    ]
    program = LoadedObject(compile_functions(functions, host(), team=SERIAL_TEAM))
    y = np.zeros(1, np.float32)
    pointers = (ctypes.c_void_p * 1)(y.ctypes.data)
    for name, value in (("one", 1.0), ("two", 2.0)):
        entry = program.function(f"bough_{name}", ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        assert entry(pointers, None, None) == 0 and y[0] == value


def scaled(source: str, result: str, factor: float, lets: str = "twice") -> For:
    """result[i] = factor * source[i] + factor * source[i], in parallel."""
    value = apply("mul", Load(source, (I,)), Const(factor, F32))
    body = (Let(lets, value), Store(result, (I,), apply("add", Var(lets, F32), Var(lets, F32))))
    return For("i", Const(0), Var("n"), body, "parallel")


@pytest.mark.parametrize("kind", ["parallel", "serial"])
def test_equal_parts_are_one_function(kind: LoopKind) -> None:
    """Layers that differ by their names and buffers share their code; another constant or alignment makes another."""
    layers = [scaled("x", "y", 0.5), scaled("y", "z", 0.5, "other"), scaled("z", "x", 0.25), scaled("w", "z", 0.5)]
    params = tuple(Buffer(name, F32, (Var("n"),), align=64 if name == "w" else 4) for name in "xyzw")
    function = Function("layers", ("n",), params, tuple(replace(layer, kind=kind) for layer in layers))
    assert emit_ir([function], AVX512).count("define internal") == 3
    rng = np.random.default_rng(0)
    check(function, {name: rng.standard_normal(5, dtype=np.float32) for name in "xyzw"}, {"n": 5})


def test_phases_on_the_thread_team() -> None:
    """Every iteration runs once, on threads of a real team."""
    n = Var("n")
    body = For(
        "k",
        Const(0),
        Const(20),
        (For("i", Const(0), n, (Store("y", (I,), apply("add", Load("y", (I,)), Const(1.0, F32))),), "parallel"),),
    )
    function = Function("count", ("n",), (Buffer("y", F32, (n,)),), (body,))
    program = LoadedObject(compile_functions([function], host(), team=team_text("x86_64")))
    create = program.function("bough_team_create", ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64)
    destroy = program.function("bough_team_destroy", None, ctypes.c_void_p)
    run = program.function("bough_team_run", ctypes.c_int32, *[ctypes.c_void_p] * 4)
    entry = program.function("bough_count", ctypes.c_int32, *[ctypes.c_void_p] * 3)
    y = aligned(np.zeros(1000, np.float32), 64)
    pointers, sizes = (ctypes.c_void_p * 1)(y.ctypes.data), (ctypes.c_int64 * 1)(1000)
    team = create(2, 1000)
    try:
        assert run(team, ctypes.cast(entry, ctypes.c_void_p), pointers, sizes) == 0
    finally:
        destroy(team)
    np.testing.assert_array_equal(y, 20)


def test_text_that_llvm_rejects() -> None:
    with pytest.raises(InternalError, match="LLVM rejects"):
        binding.compile_object("define i32 @f() { ret i64 0 }", AVX512)
