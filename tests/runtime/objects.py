"""Small objects for the tests, built with LLVM."""

from __future__ import annotations

import functools
import platform

import llvmlite.binding as llvm

from bough.runtime.team import team_text

X86_64, AARCH64 = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
HOST = AARCH64 if platform.machine().lower() in ("aarch64", "arm64") else X86_64

# run_squares is an entry of the compiled ABI: buffers[1][i] = buffers[0][i] ** 2 + i for i < scalars[0], in as many phases
# as scalars[1] says, each adding once more.
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


@functools.cache
def build(text: str, triple: str = HOST, with_team: bool = False) -> bytes:
    """The object of some LLVM IR; the target machine's relocations are those that the code generator asks for."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly(text)
    if with_team:
        module.link_in(llvm.parse_assembly(team_text(triple.split("-")[0])))
    module.triple = triple
    machine = llvm.Target.from_triple(triple).create_target_machine(opt=2, reloc="pic", codemodel="small")
    return bytes(machine.emit_object(module))
