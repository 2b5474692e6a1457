"""Runs Loops functions as native code, for comparison with their interpretation."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Mapping
from typing import Any

import numpy as np

from bough.codegen import compile_functions
from bough.ir.bfloat import from_bf16
from bough.ir.dtypes import BF16
from bough.ir.interpret_loops import run_loops
from bough.ir.loops import Function
from bough.runtime.loader import LoadedObject
from bough.targets import TARGETS, Target, host

Array = np.ndarray[Any, Any]
_mprotect = ctypes.CDLL(None).mprotect
_mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

SERIAL_TEAM = """
define void @bough_team_parallel(ptr %team, ptr %fn, ptr %frame, i64 %n) {
entry:
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %following, %next ]
  call void %fn(ptr %frame, i64 %i)
  %following = add i64 %i, 1
  %more = icmp slt i64 %following, %n
  br i1 %more, label %next, label %done
done:
  ret void
}

define i64 @bough_team_take(ptr %team, i64 %rooms) {
  ret i64 0
}

define ptr @bough_team_room(ptr %team, i64 %number) {
  ret ptr %team
}

define void @bough_team_inside(ptr %room, ptr %fn, ptr %frame, i64 %n) {
  call void @bough_team_parallel(ptr %room, ptr %fn, ptr %frame, i64 %n)
  ret void
}

define void @bough_team_leave(ptr %team, i64 %number) {
  ret void
}
"""
"""The contract of the thread team, for n of 1 or more, on the calling thread: quicker to compile than the real one."""


def aligned(array: Array, align: int) -> Array:
    """A copy whose first element stands at a multiple of `align`, as near as that allows to a page that none may touch."""
    pages = -(-(array.nbytes + align) // mmap.PAGESIZE) * mmap.PAGESIZE
    room = np.frombuffer(mmap.mmap(-1, pages + mmap.PAGESIZE), np.uint8)
    assert _mprotect(room.ctypes.data + pages, mmap.PAGESIZE, 0) == 0
    start = (pages - array.nbytes) // align * align
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def targets() -> list[Target]:
    """The described x86 targets that this machine can run."""
    features = set(host().features)
    return [t for t in TARGETS.values() if t.triple.startswith("x86_64") and features >= set(t.features)]


def run_native(
    function: Function, buffers: Mapping[str, Array], scalars: Mapping[str, int] | None = None, target: Target | None = None
) -> int:
    """Compiles and runs `function` on `buffers`, in place, on this thread; gives what it returns."""
    program = LoadedObject(compile_functions([function], target or host(), team=SERIAL_TEAM))
    entry = program.function(f"bough_{function.name}", ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    arrays = [buffers[b.name] for b in function.params]
    pointers = (ctypes.c_void_p * (len(arrays) + 1))(*(a.ctypes.data for a in arrays))
    sizes = (ctypes.c_int64 * (len(function.scalars) + 1))(*((scalars or {})[s] for s in function.scalars))
    return int(entry(pointers, sizes, None))


def check(
    function: Function,
    buffers: Mapping[str, Array],
    scalars: Mapping[str, int] | None = None,
    target: Target | None = None,
    tolerance: float = 0.0,
) -> dict[str, Array]:
    """Holds native code against the interpreter. Returns the buffers as native code leaves them."""
    native = {b.name: aligned(buffers[b.name], b.align) for b in function.params}
    meaning = {k: v.copy() for k, v in buffers.items()}
    status = run_native(function, native, scalars, target)
    instructions = {i.name: i.kernel for i in (target or host()).instructions}
    assert run_loops(function, meaning, scalars, instructions) == status
    for b in function.params:
        got, expected = (from_bf16(a[b.name]) if b.dtype == BF16 else a[b.name] for a in (native, meaning))
        if tolerance:
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance, err_msg=b.name)
        else:
            np.testing.assert_array_equal(got, expected, err_msg=b.name)
    return native
