"""The thread teams of this process: one for each provider and number of threads, started when first needed.

`own` threads come from POSIX threads and sleep soon after the last phase; `openmp` borrows the OpenMP runtime that the process
has loaded already (torch's). Both run the protocol of `team.ll`.

Measured on 4 cores of an EPYC 9004, `tests/runtime/bench_team.py`, in microseconds: an empty phase of 4 indices 0.27, of 16
indices 0.44 to 0.53 (0.68 and 1.0 where the cores share no cache); a region of one phase (own / openmp) 0.8 / 1.7 back to back,
19 / 2.6 after a pause of 1 ms (own threads sleep by then, those of OpenMP still spin). Beside busy processes, a region of 1.4 ms:
median 1,450 / 20,000, 99th percentile 7,000 to 17,000 / 36,000. So `own` is the default.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from bough.base import settings
from bough.base.errors import CompileError
from bough.runtime.loader import LoadedObject

Provider = Literal["own", "openmp"]
# Instruction set -> the intrinsic that tells the core that this thread spins, and its arguments.
_PAUSE = {"x86_64": ("llvm.x86.sse2.pause", "", ""), "aarch64": ("llvm.aarch64.isb", "i32", "i32 15")}
_PAUSE["arm64"] = _PAUSE["aarch64"]
_ABI, _MOVING_ABI = 4, 1004
"""Versions of the layout. Workers run the code of the object that started them: another way to share out is another version."""
_PART = re.compile(r"define internal i64 @bough_team_part.*?^}\n", re.DOTALL | re.MULTILINE)


def team_text(architecture: str, *, one_region: bool = True, persistence: bool = True) -> str:
    """The thread team as LLVM IR text, with the spin hint of a processor ("x86_64", "aarch64", ...) filled in.

    Without `one_region`, every phase of a call is a region of its own; without `persistence`, a thread's part of the chunks is
    another one in each phase. Both are there to measure what they are worth.
    """
    text = _text("team.ll")
    if not persistence:
        text = _PART.sub(lambda _: _text("team_moving.ll"), text)
        text = text.replace(f"ret i32 {_ABI}", f"ret i32 {_MOVING_ABI}")
    if not one_region:
        text = text.replace("@bough_team_run(", "@bough_team_enter(").replace("@bough_team_parallel(", "@bough_team_share(")
        text += _text("team_phases.ll")
    text = f"{text}\n{_text('team_life.ll')}"
    if architecture not in _PAUSE:
        return text
    name, types, arguments = _PAUSE[architecture]
    return text.replace("  ; pause\n", f"  call void @{name}({arguments})\n") + f"\ndeclare void @{name}({types})\n"


def _text(name: str) -> str:
    return resources.files("bough.runtime").joinpath(name).read_text(encoding="utf-8")


def recording_team_text(architecture: str, address: int) -> str:
    """The thread team as one that writes down what its threads do, at an address (record.ll)."""
    plain = team_text(architecture).replace("@bough_team_parallel(", "@bough_team_plain(")
    return f"{plain}\n{_text('record.ll').replace('i64 RECORD', f'i64 {address}')}"


@dataclass(slots=True)
class Team:
    """A team, shared by all compiled functions. `pointer` is 0 until `start`, and again in the child after a fork; there a
    team of OpenMP stays out of use, since its runtimes hang in the child of a process that has used them."""

    provider: Provider
    threads: int
    spin_us: int
    pointer: int = 0
    usable: bool = True

    def start(self, program: LoadedObject) -> int:
        """The pointer to hand to compiled code, from an object whose `team.ll` has the right version; 0 for no team."""
        with _LOCK:
            if not self.pointer and self.threads > 1 and self.usable:
                self.pointer = self._create(program)
            return self.pointer

    def _create(self, program: LoadedObject) -> int:
        spin = ctypes.c_int64(self.spin_us * 1000)
        if self.provider == "own":
            create = program.function("bough_team_create", ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64)
            pointer = create(self.threads, spin)
        else:
            parallel, number = find_openmp()
            pointers = (ctypes.c_void_p, ctypes.c_void_p)
            create = program.function("bough_team_create_openmp", ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, *pointers)
            pointer = create(self.threads, spin, parallel, number)
        program.keep()
        return int(pointer or 0)


def team(provider: Provider | None = None, threads: int | None = None, spin_us: int | None = None, abi: int = _ABI) -> Team:
    """The team of this process with these properties, by default those of the settings; not started yet. Teams of different
    layouts (`abi`) are kept apart."""
    chosen: Provider = provider or ("openmp" if settings.read(settings.TEAM) == "openmp" else "own")
    count = max(1, settings.read(settings.THREADS) if threads is None else threads)
    spin = settings.read(settings.SPIN) if spin_us is None else spin_us
    with _LOCK:
        return _TEAMS.setdefault((chosen, count, spin, abi), Team(chosen, count, spin))


def team_of(
    program: LoadedObject, provider: Provider | None = None, threads: int | None = None, spin_us: int | None = None
) -> Team:
    """The team that an object's functions can use."""
    return team(provider, threads, spin_us, program.function("bough_team_abi", ctypes.c_int32)())


def find_openmp() -> tuple[int, int]:
    """The addresses of GOMP_parallel and omp_get_thread_num in the OpenMP runtime that this process has loaded, torch's
    where there are several. Raises `CompileError` where there is none."""
    for path in _loaded_openmp():
        try:
            library = ctypes.CDLL(path)
            addresses = [
                ctypes.cast(symbol, ctypes.c_void_p).value for symbol in (library.GOMP_parallel, library.omp_get_thread_num)
            ]
        except (OSError, AttributeError):
            continue
        if addresses[0] and addresses[1]:
            return addresses[0], addresses[1]
    raise CompileError(
        "no OpenMP runtime is loaded in this process",
        code="BGH-RT-001",
        because="the thread team was asked to borrow one",
        advice="import torch first, or use the team of Bough's own threads (BOUGH_TEAM=own)",
    )


def _loaded_openmp() -> list[str | None]:
    """Files mapped into this process that look like an OpenMP runtime; None stands for the process's own symbols."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            found = set(re.findall(r"(/\S.*/lib[gi]?omp[^/\n]*\.so[^/\n]*)$", maps.read(), re.MULTILINE))
    except OSError:
        return [None]
    return [*sorted(found, key=lambda path: ("torch" not in path, path)), None]


_LOCK = threading.Lock()
_TEAMS: dict[tuple[Provider, int, int, int], Team] = {}


def _forget_after_fork() -> None:
    """The threads did not come along into the child: start anew when needed."""
    global _LOCK
    _LOCK = threading.Lock()
    for team in _TEAMS.values():
        team.usable = team.usable and (team.provider == "own" or not team.pointer)
        team.pointer = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
