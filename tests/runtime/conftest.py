"""Small objects for the tests, built with LLVM."""

from __future__ import annotations

import functools
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

from bough.runtime import Buffer, Executable, Leaf, Manifest, Scalar, Tensor, team_text
from bough.runtime.manifest import Failure
from bough.runtime.team import Provider

sys.path.append(str(Path(__file__).parent))  # for random_visits

Build = Callable[..., bytes]
HOST = "aarch64-unknown-linux-gnu" if platform.machine().lower() in ("aarch64", "arm64") else "x86_64-unknown-linux-gnu"

# An entry of the compiled ABI: buffers[1][i] += buffers[0][i] ** 2 + i for i < scalars[0], in scalars[1] phases.
SQUARES = """
define internal void @square(ptr %frame, i64 %i) {
  %in.at = load ptr, ptr %frame
  %second = getelementptr ptr, ptr %frame, i64 1
  %out.at = load ptr, ptr %second
  %in = getelementptr i64, ptr %in.at, i64 %i
  %out = getelementptr i64, ptr %out.at, i64 %i
  %x = load i64, ptr %in
  %old = load i64, ptr %out
  %xx = mul i64 %x, %x
  %sum = add i64 %xx, %i
  %new = add i64 %old, %sum
  store i64 %new, ptr %out
  ret void
}
declare void @bough_team_parallel(ptr, ptr, ptr, i64)
define i32 @bough_squares(ptr %buffers, ptr %scalars, ptr %team) {
entry:
  %n = load i64, ptr %scalars
  %phases.at = getelementptr i64, ptr %scalars, i64 1
  %phases = load i64, ptr %phases.at
  br label %check
check:
  %k = phi i64 [ 0, %entry ], [ %k.next, %loop ]
  %more = icmp slt i64 %k, %phases
  br i1 %more, label %loop, label %done
loop:
  call void @bough_team_parallel(ptr %team, ptr @square, ptr %buffers, i64 %n)
  %k.next = add i64 %k, 1
  br label %check
done:
  ret i32 0
}
"""

# y[i, :] = x[i, :] + w[:] for i < scalars[0], with `WIDTH` columns, through an arena (buffers[3]) of the shape of x. Returns
# status 7 where x[0, 0] is negative.
ADD = """
define internal void @row(ptr %frame, i64 %i) {
entry:
  %start = mul i64 %i, WIDTH
  %x.at = load ptr, ptr %frame
  %w.place = getelementptr ptr, ptr %frame, i64 1
  %w = load ptr, ptr %w.place
  %y.place = getelementptr ptr, ptr %frame, i64 2
  %y.at = load ptr, ptr %y.place
  %a.place = getelementptr ptr, ptr %frame, i64 3
  %a.at = load ptr, ptr %a.place
  br label %loop
loop:
  %j = phi i64 [ 0, %entry ], [ %next, %loop ]
  %at = add i64 %start, %j
  %x.j = getelementptr float, ptr %x.at, i64 %at
  %w.j = getelementptr float, ptr %w, i64 %j
  %y.j = getelementptr float, ptr %y.at, i64 %at
  %a.j = getelementptr float, ptr %a.at, i64 %at
  %xv = load float, ptr %x.j
  %wv = load float, ptr %w.j
  store volatile float %wv, ptr %a.j
  %av = load volatile float, ptr %a.j
  %sum = fadd float %xv, %av
  store float %sum, ptr %y.j
  %next = add i64 %j, 1
  %more = icmp ult i64 %next, WIDTH
  br i1 %more, label %loop, label %done
done:
  ret void
}
declare void @bough_team_parallel(ptr, ptr, ptr, i64)
define i32 @bough_add(ptr %buffers, ptr %scalars, ptr %team) {
entry:
  %n = load i64, ptr %scalars
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %test, label %empty
test:
  %x = load ptr, ptr %buffers
  %first = load float, ptr %x
  %bad = fcmp olt float %first, 0.0
  br i1 %bad, label %fail, label %go
go:
  call void @bough_team_parallel(ptr %team, ptr @row, ptr %buffers, i64 %n)
  ret i32 0
empty:
  ret i32 0
fail:
  ret i32 7
}
"""


@functools.cache
def build_object(text: str, triple: str = HOST, with_team: bool = True, **switches: bool) -> bytes:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly(text)
    if with_team:
        module.link_in(llvm.parse_assembly(team_text(triple.split("-")[0], **switches)))
    module.triple = triple
    machine = llvm.Target.from_triple(triple).create_target_machine(opt=2, reloc="pic", codemodel="small")
    return bytes(machine.emit_object(module))


@pytest.fixture(scope="session")
def build() -> Build:
    """The object of some LLVM IR, with the relocations that the code generator asks for."""
    return build_object


@pytest.fixture(scope="session")
def squares() -> bytes:
    return build_object(SQUARES)


@pytest.fixture(scope="session", params=[{"one_region": False}, {"persistence": False}], ids=str)
def other_squares(request: pytest.FixtureRequest) -> bytes:
    """With a team that does without what makes it fast."""
    return build_object(SQUARES, **request.param)


@pytest.fixture(scope="session")
def add() -> bytes:
    """`bough_add` for 8 columns."""
    return build_object(ADD.replace("WIDTH", "8"))


Make = Callable[..., Executable]
WEIGHT = np.arange(8, dtype=np.float32)


def add_manifest(**changes: Any) -> Manifest:
    description: dict[str, Any] = {
        "entry": "bough_add",
        "arguments": (Tensor("x", "f32", ("batch", 8)),),
        "results": (Tensor("y", "f32", ("batch", 8)),),
        "buffers": (Buffer("argument", 0), Buffer("constant", "w"), Buffer("result", 0), Buffer("arena", "copy", 64)),
        "parameters": ("x",),
        "inputs": (Leaf("argument", 0),),
        "outputs": Leaf("result", 0),
        "constants": (Tensor("w", "f32", (8,)),),
        "scalars": (Scalar("batch", 0, 1000),),
        "arena": ("add", ("mul", "batch", 32), 64),
        "failures": (Failure(7, "ValueError", "x starts with a negative number"),),
    }
    return Manifest(**{**description, **changes})


@pytest.fixture(scope="session")
def manifest() -> Callable[..., Manifest]:
    """The description of `add`, with changes by keyword."""
    return add_manifest


@pytest.fixture(scope="session")
def make(add: bytes) -> Make:
    """An executable of x[batch, 8] + [0 .. 7]; keywords change its manifest."""

    def made(threads: int = 2, provider: Provider = "own", **changes: Any) -> Executable:
        return Executable(add_manifest(**changes), add, {"w": WEIGHT}, threads=threads, provider=provider)

    return made
