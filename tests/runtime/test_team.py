"""The thread team: every index once, whatever the numbers of threads, phases and callers."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bough.base
from bough.base.errors import CompileError
from bough.runtime import LoadedObject, team, team_text
from bough.runtime.team import Provider, Team, team_of

Squares = Callable[..., None]
_POINTER = ctypes.c_void_p
SOURCES = str(Path(bough.base.__file__).parents[2])


@pytest.fixture(scope="module")
def program(squares: bytes) -> LoadedObject:
    return LoadedObject(squares)


@pytest.fixture(scope="module")
def check(program: LoadedObject) -> Squares:
    return checking(program)


def checking(program: LoadedObject) -> Squares:
    """Runs the squares entry in a region of a team and checks that each index ran once in each phase."""
    run = program.function("bough_team_run", ctypes.c_int32, _POINTER, _POINTER, _POINTER, _POINTER)
    entry = program.symbols["bough_squares"]

    def checked(pointer: int, n: int, phases: int) -> None:
        x, y = np.arange(n, dtype=np.int64), np.zeros(n, np.int64)
        buffers = (ctypes.c_uint64 * 2)(x.ctypes.data, y.ctypes.data)
        scalars = (ctypes.c_int64 * 2)(n, phases)
        assert run(pointer, entry, ctypes.addressof(buffers), ctypes.addressof(scalars)) == 0
        np.testing.assert_array_equal(y, phases * (x * x + x))

    return checked


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("spin_us", [0, 50])
def test_runs_every_index_once(program: LoadedObject, check: Squares, threads: int, spin_us: int) -> None:
    pointer = team(threads=threads, spin_us=spin_us).start(program)
    for n in (0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 1000):
        for phases in (0, 1, 2, 50):
            check(pointer, n, phases)


@pytest.mark.parametrize("provider", ["own", "openmp"])
def test_runs_every_index_once_without_what_makes_it_fast(other_squares: bytes, provider: Provider) -> None:
    pytest.importorskip("torch")
    program = LoadedObject(other_squares)
    for threads in (1, 3):
        pointer = team_of(program, provider, threads).start(program)
        for n in (0, 1, 2, 3, 7, 1000):
            checking(program)(pointer, n, 5)


def test_groups_indices_where_there_are_more_than_a_ticket_counts(program: LoadedObject, check: Squares) -> None:
    pointer = team(threads=2).start(program)
    for n in (2 * 65535 - 1, 2 * 65535, 2 * 65535 + 1, 3 * 65535, 1_000_003):
        check(pointer, n, 2)


def test_no_phase_is_lost_between_sleeping_and_waking(program: LoadedObject, check: Squares) -> None:
    """Workers that never spin sleep and wake all the time."""
    pointer = team(threads=3, spin_us=0).start(program)
    for _ in range(200):
        check(pointer, 5, 20)


def test_workers_sleep_and_wake(program: LoadedObject, check: Squares) -> None:
    pointer = team(threads=3, spin_us=20).start(program)
    for _ in range(20):
        time.sleep(0.002)
        check(pointer, 64, 3)


def test_idle_workers_use_no_time(program: LoadedObject, check: Squares) -> None:
    check(team(threads=4).start(program), 100, 10)
    time.sleep(0.02)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.05


def test_a_region_may_be_expected(program: LoadedObject, check: Squares) -> None:
    """By several callers, more than once, for longer than workers wait, and in vain."""
    expect = program.function("bough_team_expect", None, _POINTER)
    pointer = team(threads=3, spin_us=20).start(program)
    expect(None)
    for n in range(30):
        for _ in range(n % 3):
            expect(pointer)
            time.sleep(0.001 * (n % 2))
        check(pointer, 64, 3)
    expect(pointer)
    time.sleep(0.01)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.1


def test_callers_at_the_same_time(program: LoadedObject, check: Squares) -> None:
    """One has the team, the others run alone."""
    pointer = team(threads=3).start(program)
    failures: list[BaseException] = []

    def call() -> None:
        try:
            for _ in range(150):
                check(pointer, 37, 5)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_without_a_team_the_caller_runs_alone(check: Squares) -> None:
    check(0, 100, 3)


def test_teams_end(program: LoadedObject, check: Squares) -> None:
    create = program.function("bough_team_create", _POINTER, ctypes.c_int32, ctypes.c_int64)
    destroy = program.function("bough_team_destroy", None, _POINTER)
    before = threads_of_process()
    for spin in (0, 50_000, 10_000_000):
        pointer = create(4, spin)
        check(pointer, 100, 3)
        destroy(pointer)
    destroy(None)
    assert threads_of_process() <= before


def threads_of_process() -> int:
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0


def test_one_team_for_equal_properties(program: LoadedObject) -> None:
    assert team_of(program, "own", 5) is team("own", 5)
    assert team_of(program, "own", 5) is not team("own", 6)
    assert team("own", 0).threads == 1
    assert team("own", 1).start(program) == 0


def test_the_settings_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOUGH_THREADS", "3")
    monkeypatch.setenv("BOUGH_SPIN_US", "7")
    monkeypatch.setenv("BOUGH_TEAM", "openmp")
    chosen = team()
    assert (chosen.provider, chosen.threads, chosen.spin_us) == ("openmp", 3, 7)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("provider", ["own", "openmp"])
def test_survives_a_fork(program: LoadedObject, check: Squares, provider: Provider) -> None:
    if provider == "openmp":
        pytest.importorskip("torch")
    shared = team(provider, 3)
    check(shared.start(program), 100, 3)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if shared.pointer == 0:
                check(shared.start(program), 100, 50)
                status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    check(shared.pointer, 100, 3)


def test_borrows_the_openmp_runtime_of_torch(program: LoadedObject, check: Squares) -> None:
    torch = pytest.importorskip("torch")
    torch.ones(300, 300) @ torch.ones(300, 300)
    shared = team("openmp", 2)
    pointer = shared.start(program)
    for n in (1, 2, 3, 100):
        for phases in (0, 1, 20):
            check(pointer, n, phases)


def test_says_that_there_is_no_openmp_runtime() -> None:
    code = "from bough.runtime.team import find_openmp; find_openmp()"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": SOURCES}, capture_output=True, text=True, check=False)
    assert CompileError.__name__ in done.stderr and "BGH-RT-001" in done.stderr


def test_text_for_each_processor() -> None:
    assert "call void @llvm.x86.sse2.pause()" in team_text("x86_64")
    assert "call void @llvm.aarch64.isb(i32 15)" in team_text("aarch64")
    assert "llvm.x86" not in team_text("riscv64")


def test_description_of_a_team() -> None:
    assert Team("own", 2, 50).pointer == 0
