"""Parallel loops inside the iterations of another, and buffers in the bytes of one: text, verifier, interpreter and native code."""

from __future__ import annotations

import ctypes
import platform

import numpy as np
import pytest
from native_code import aligned, check

from bough.base.errors import InternalError
from bough.codegen import compile_functions
from bough.ir.interpret_loops import run_loops
from bough.ir.loops_text import parse_loops, print_loops
from bough.ir.verify_loops import verify_loops
from bough.runtime.loader import LoadedObject
from bough.runtime.team import Provider, team_of, team_text
from bough.targets import host

TEXT = """
func shares() (x: f32[6, 40], y: f32[6, 40], total: i64[6], room: u8[640] align 64)
  parallel share in 0..3 room number of 2
    within room from number * 320 held: f32[40] align 64
    within room from number * 320 + 192 kept: i64[1] align 64
    for turn in 0..2
      n = share * 2 + turn
      parallel chunk in 0..5
        vector l in 0..8 lanes 8
          held[chunk * 8 + l] = x[n, chunk * 8 + l] * 2.0
      parallel chunk in 0..1
        kept[0] = n
      parallel chunk in 0..40
        y[n, chunk] = held[39 - chunk] + 1.0
      for k in 0..1
        total[n] = kept[0] + 1
"""


def arrays() -> dict[str, np.ndarray]:
    x = np.random.default_rng(0).standard_normal((6, 40), dtype=np.float32)
    return {"x": x, "y": np.zeros((6, 40), np.float32), "total": np.zeros(6, np.int64), "room": np.zeros(640, np.uint8)}


def test_text_comes_back() -> None:
    function = parse_loops(TEXT)
    assert print_loops(function).strip() == TEXT.strip()
    verify_loops(function)


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_each_share_has_its_own(seed: int | None) -> None:
    buffers = arrays()
    assert run_loops(parse_loops(TEXT), buffers, shuffle=seed) == 0
    np.testing.assert_array_equal(buffers["y"], buffers["x"][:, ::-1] * 2 + 1)
    assert buffers["total"].tolist() == [1, 2, 3, 4, 5, 6]


def test_native_code_agrees() -> None:
    check(parse_loops(TEXT.replace("of 2", "of 1")), arrays())  # what is left behind in rooms has no meaning


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("room: u8[640]", "room: i8[640]", "room holds no bytes"),
        ("held: f32[40] align 64\n", "held: f32[40] in scratch align 64\n", "held is no part of a buffer in memory"),
        (" room number of 2\n", "\n    number = 0\n", "a parallel loop stands in another one without rooms"),
        ("number of 2\n", "number of 0\n", "at least one"),
        ("    for turn in 0..2\n", "    vector turn in 0..2 lanes 2\n", "a parallel loop stands in a vector loop"),
    ],
)
def test_broken_loops(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(InternalError, match=message):
        verify_loops(parse_loops(TEXT.replace(old, new, 1)))


def test_a_buffer_outside_the_bytes() -> None:
    with pytest.raises(InternalError, match="outside one of 640"):
        run_loops(parse_loops(TEXT.replace("number * 320 + 192", "number * 320 + 512")), arrays())


@pytest.mark.parametrize(("provider", "spin_us"), [("own", 0), ("own", 50), ("openmp", 50)])
def test_threads_without_an_iteration_help(provider: Provider, spin_us: int) -> None:
    """More threads than rooms, fewer iterations than threads, and sleeping ones: everything is done once."""
    pytest.importorskip("torch")
    function = parse_loops(TEXT)
    program = LoadedObject(compile_functions([function], host(), team=team_text(platform.machine())))
    run = program.function("bough_team_run", ctypes.c_int32, *[ctypes.c_void_p] * 4)
    for threads in (1, 2, 3, 7):
        pointer = team_of(program, provider, threads, spin_us).start(program)
        for _ in range(100):
            given = {name: aligned(array, 64) for name, array in arrays().items()}
            buffers = (ctypes.c_void_p * len(given))(*(a.ctypes.data for a in given.values()))
            assert run(pointer, program.symbols["bough_shares"], buffers, None) == 0
            np.testing.assert_array_equal(given["y"], given["x"][:, ::-1] * 2 + 1)
            assert given["total"].tolist() == [1, 2, 3, 4, 5, 6]
