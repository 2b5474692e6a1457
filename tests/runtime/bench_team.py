"""What the two thread teams cost: on a quiet machine, beside a busy process, and between calls of torch.

    PYTHONPATH=src python tests/runtime/bench_team.py [--threads N] [--provider own|openmp|serial] [--spin US] [--seconds S]

The calls consist of arithmetic on registers only. Times in microseconds: median and 99th percentile.
"""

from __future__ import annotations

import argparse
import ctypes
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import llvmlite.binding as llvm

from bough.runtime import LoadedObject, team, team_text

WORK = """
define internal void @work(ptr %frame, i64 %i) {
entry:
  %turns = load i64, ptr %frame
  br label %loop
loop:
  %k = phi i64 [ 0, %entry ], [ %next, %loop ]
  %v = phi double [ 1.0, %entry ], [ %sum, %loop ]
  %sum = fadd double %v, 1.0e-9
  %next = add i64 %k, 1
  %more = icmp slt i64 %next, %turns
  br i1 %more, label %loop, label %done
done:
  %out.at = getelementptr i64, ptr %frame, i64 8
  %out = getelementptr double, ptr %out.at, i64 %i
  store double %sum, ptr %out
  ret void
}
declare void @bough_team_parallel(ptr, ptr, ptr, i64)
define i32 @bough_work(ptr %frame, ptr %scalars, ptr %team) {
entry:
  %n = load i64, ptr %scalars
  %phases.at = getelementptr i64, ptr %scalars, i64 1
  %phases = load i64, ptr %phases.at
  br label %loop
loop:
  %k = phi i64 [ 0, %entry ], [ %next, %loop ]
  call void @bough_team_parallel(ptr %team, ptr @work, ptr %frame, i64 %n)
  %next = add i64 %k, 1
  %more = icmp slt i64 %next, %phases
  br i1 %more, label %loop, label %done
done:
  ret i32 0
}
"""

Call = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--provider", choices=["own", "openmp", "serial"], default="own")
    parser.add_argument("--spin", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    if options.provider == "openmp":
        import torch

        torch.ones(500, 500) @ torch.ones(500, 500)
    program = build()
    pointer = 0
    if options.provider != "serial":
        pointer = team(options.provider, options.threads, options.spin).start(program)
    bench(options, program, pointer)


def build() -> LoadedObject:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly(WORK)
    module.link_in(llvm.parse_assembly(team_text(platform.machine())))
    module.triple = f"{platform.machine()}-unknown-linux-gnu"
    machine = llvm.Target.from_triple(module.triple).create_target_machine(opt=2, reloc="pic", codemodel="small")
    return LoadedObject(machine.emit_object(module))


def bench(options: argparse.Namespace, program: LoadedObject, pointer: int) -> None:
    address = ctypes.c_void_p
    run = program.function("bough_team_run", ctypes.c_int32, address, address, address, address)
    entry = program.symbols["bough_work"]
    keep = []

    def call(indices: int, phases: int, turns: int) -> Call:
        frame, scalars = (ctypes.c_int64 * (8 + indices))(turns), (ctypes.c_int64 * 2)(indices, phases)
        keep.append((frame, scalars))
        at, sizes = ctypes.addressof(frame), ctypes.addressof(scalars)
        return lambda: run(pointer, entry, at, sizes)

    def show(label: str, measured: list[float], divisor: int = 1) -> None:
        measured.sort()
        median, slow = measured[len(measured) // 2] / divisor, measured[int(len(measured) * 0.99)] / divisor
        print(f"{options.provider:6} {label:44} {median:10.2f} {slow:10.2f}   of {len(measured)}", flush=True)

    threads = options.threads
    turns = 10_000
    one = min(measure(call(1, 1, turns), 0.2))
    for n in (threads, 4 * threads):
        show(f"empty phase, {n} indices", measure(call(n, 1000, 1), options.seconds / 4), 1000)
    show("region of one empty phase, back to back", measure(call(threads, 1, 1), options.seconds / 4))
    show("region of one empty phase, each ms", measure(call(threads, 1, 1), options.seconds, gap=0.001))
    calls = {
        f"{phases} phases of {n} x {1000 * threads // phases // n} us": call(
            n, phases, int(turns * 1000 * threads / phases / n / one)
        )
        for phases, n in ((1, threads), (10, threads), (10, 4 * threads), (100, threads))
    }
    for label, work in calls.items():
        show(label, measure(work, options.seconds))
    with busy_process():
        for label, work in calls.items():
            show(f"{label}, crowded", measure(work, options.seconds))
        for label, work in calls.items():
            show(f"{label}, crowded, each 2 ms", measure(work, options.seconds, gap=0.002))
    import torch

    torch.set_num_threads(threads)
    matrix = torch.ones(256, 256)
    for label, work in calls.items():
        show(f"{label}, between torch", measure(work, options.seconds, before=lambda: matrix @ matrix))
        show("  256 x 256 product of torch, between those", measure(lambda: matrix @ matrix, options.seconds, before=work))
    show("  256 x 256 product of torch, alone", measure(lambda: matrix @ matrix, options.seconds))


def measure(work: Call, seconds: float, gap: float = 0, before: Call | None = None) -> list[float]:
    """The times of calls, in microseconds."""
    times, end = [], time.perf_counter() + seconds
    work()
    while time.perf_counter() < end:
        if gap:
            time.sleep(gap)
        if before:
            before()
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e6)
    return times


@contextmanager
def busy_process() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.2)
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
