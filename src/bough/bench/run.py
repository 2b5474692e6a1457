"""One suite on Bough and its peers: checks, times, limits, and the figures that come out."""

from __future__ import annotations

import gc
import logging
import math
import platform
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from subprocess import TimeoutExpired
from typing import Any

import torch

from bough.base.clock import Stopwatch
from bough.base.version import __version__
from bough.bench.footprint import footprint
from bough.bench.limits import LARGEST, SMALLEST, Limits, Meter
from bough.bench.measure import Plan, Timing, peak_memory, take_turns
from bough.bench.peers import Peer, Session
from bough.bench.problem import Case, Choice, P, Work
from bough.bench.suite import Suite
from bough.bench.suites import SUITES
from bough.targets import host

Progress = Callable[[str, int, int], None]
Row = dict[str, Any]
OWN, ARITHMETIC = "bough", "arithmetic"
FULL, QUICK = Plan(), Plan(seconds=0.5)
log = logging.getLogger("bough")


def run_suite(
    suite: str,
    against: Sequence[str],
    threads: int,
    filter: str,
    quick: bool,
    progress: Progress,
    sentences: Path | None = None,
) -> Iterator[dict[str, Any]]:
    """Runs the cases of a suite whose names match `filter`; gives the figures that docs/benchmarks.md describes after each case,
    of all until then, so that a run that is stopped has not been for nothing.

    A quick run measures less, and where there is no filter takes few cases. `progress` is told the case, how many are done,
    and how many there are. `sentences` is a file of trees in brackets. Raises KeyError for an unknown suite or peer.
    """
    found = SUITES[suite]
    peers = [found.rivals[name] for name in against]
    missing = {peer.name: peer.install for peer in peers if peer.versions is None}
    for name, install in missing.items():
        log.warning("%s is not installed and takes no part; install it with: %s", name, install)
    chosen = choose(found.cases(Choice(quick, sentences)), filter, quick)
    present = {peer.name: peer for peer in peers if peer.name not in missing}
    rows: list[Row] = []
    works: list[Work] = []

    def figures() -> dict[str, Any]:
        for row, work in zip(rows, works, strict=True):
            row["memory_limit_ms"] = 1e3 * limits.seconds_from_memory(work)
            row["best"] = best_of(row, {name for name, peer in present.items() if peer.tolerance})
        return {
            "suite": suite,
            "threads": threads,
            "machine": describe_machine(limits),
            "versions": {OWN: __version__} | {peer.name: peer.versions for peer in peers if peer.versions},
            "missing": missing,
            "rows": rows,
            "summary": summarize(rows, list(present)),
        }

    with _torch_threads(threads):
        progress("the machine's limits", 0, len(chosen))
        meter = Meter(threads, SMALLEST if quick else LARGEST)
        limits = meter.limits()
        for done, case in enumerate(chosen):
            progress(case.name, done, len(chosen))
            row, work = run_case(case, found, present, meter, QUICK if quick else FULL)
            row["peers_ms"] = {name: row["peers_ms"].get(name) for name in against}
            rows.append(row)
            works.append(work)
            gc.collect()
            yield figures()
        progress("the machine's limits", len(chosen), len(chosen))
        limits = limits.best(meter.limits())
        yield figures()


def choose(cases: Sequence[Case[P]], filter: str, quick: bool) -> list[Case[P]]:
    """Those that match the filter; a quick run without a filter takes those marked for it."""
    if filter:
        return [case for case in cases if re.search(filter, case.name)]
    return [case for case in cases if case.quick or not quick]


def run_case(
    case: Case[P], suite: Suite[P], peers: Mapping[str, Peer[P]], meter: Meter, plan: Plan
) -> tuple[Row, Work]:
    """Checks and times one case; `memory_limit_ms` and `best` are left open. A library that fails or is wrong has no time;
    `notes` says why."""
    problem = case.build()
    row = empty_row(case.name, problem.facts)
    with tempfile.TemporaryDirectory(prefix="bough-bench-") as folder:
        sessions = _right_sessions(problem, suite, peers, meter.threads, Path(folder), row)
        calls = {name: session.call for name, session in sessions.items()}
        readings = meter.readings(problem.work)
        compute, repeats = meter.arithmetic(problem.work)
        with torch.inference_mode():
            own = {name: calls[name] for name in calls if name == OWN}  # beside the limit, of which it is a share
            limit = {**readings, ARITHMETIC: compute}
            times = take_turns({**own, **limit, **calls}, plan, limit.keys()) if calls else {}
        for name in suite.footprints:
            if name in calls:
                _add_footprint(row, name, Path(folder), meter.threads)
    if times:
        limits = _limits(times.pop(ARITHMETIC), repeats, [times.pop(name) for name in readings])
        row["limit_ms"] = 1e3 * median(limits)
        if own:
            ratios = [limit / turn for limit, turn in zip(limits, times[OWN].best, strict=True)]
            row["share_of_limit"] = sessions[OWN].times * median(ratios)
    for name, note in row["notes"].items():
        log.warning("%s, %s: %s", case.name, name, note)
    row["fastest_ms"] = {name: 1e3 * timing.fastest / sessions[name].times for name, timing in times.items()}
    medians = {name: 1e3 * timing.median / sessions[name].times for name, timing in times.items()}
    row["bough_ms"] = medians.pop(OWN, None)
    row["peers_ms"] = medians
    return row, problem.work


def _limits(compute: Timing, repeats: float, readings: Sequence[Timing]) -> list[float]:
    """Seconds of each turn to multiply and add as often as the work does or to read what it reads, whichever takes longer. Of
    the ways to read one is taken for all turns: the best of two readings in each would be luckier than one call is."""
    reads = min((reading.best for reading in readings), key=median)
    return [max(turn / repeats, read) for turn, read in zip(compute.best, reads, strict=True)]


def empty_row(case: str, facts: Mapping[str, Any]) -> Row:
    """The figures of a case of which nothing is known but `facts`."""
    return {
        "case": case,
        "bough_ms": None,
        "peers_ms": {},
        "limit_ms": None,
        "share_of_limit": None,
        "memory_limit_ms": None,
        "max_error": None,
        "compile_s": None,
        "peak_mb": {},
        "load_s": {},
        "memory_mb": {},
        "peer_errors": {},
        "fastest_ms": {},
        "notes": {},
        **facts,
    }


def _right_sessions(
    problem: P, suite: Suite[P], peers: Mapping[str, Peer[P]], threads: int, folder: Path, row: Row
) -> dict[str, Session]:
    """The libraries that solve the problem, ready to be called; what is known about each before it is timed goes into the row."""
    sessions: dict[str, Session] = {}
    for name, load in {OWN: suite.open, **{name: peer.open for name, peer in peers.items()}}.items():
        try:
            with Stopwatch() as watch:
                session = load(problem, threads, folder)
            with torch.inference_mode():
                outputs, peak = peak_memory(session.outputs)
            error = problem.error(outputs)
        except Exception as failure:  # any library may fail in its own way, and the other cases go on
            row["notes"][name] = f"{type(failure).__name__}: {failure}"
            continue
        if name == OWN:
            row["max_error"], row["compile_s"] = error, watch.seconds
        else:
            row["peer_errors"][name] = error
        tolerance = max(problem.tolerance, peers[name].tolerance if name in peers else 0.0)
        if error <= tolerance:
            sessions[name] = session
            row["peak_mb"][name] = None if peak is None else peak / 1e6
        else:
            row["notes"][name] = f"wrong: an error of {error:.1e}, where {tolerance:.1e} is rounding"
    return sessions


def _add_footprint(row: Row, name: str, folder: Path, threads: int) -> None:
    try:
        found = footprint(name, folder, threads)
    except (RuntimeError, TimeoutExpired) as failure:
        row["notes"][name] = str(failure)
        return
    row["load_s"][name] = found.load
    row["memory_mb"][name] = None if found.memory is None else found.memory / 1e6


def best_of(row: Row, apart: Set[str] = frozenset()) -> str | None:
    """The fastest peer of a row but for those `apart`."""
    times = {name: time for name, time in row["peers_ms"].items() if time is not None and name not in apart}
    return min(times, key=lambda name: times[name], default=None)


def summarize(rows: Sequence[Row], peers: Sequence[str]) -> dict[str, dict[str, float]]:
    """Peer time / Bough time over the rows that have both; `best` is the best peer of each row."""
    ratios: dict[str, list[float]] = {name: [] for name in (*peers, "best")}
    for row in rows:
        known = {name: time for name, time in row["peers_ms"].items() if time is not None}
        if row["bough_ms"] is None or not known:
            continue
        best = {"best": known[row["best"]]} if row["best"] else {}
        for name, time in (known | best).items():
            ratios[name].append(time / row["bough_ms"])
    return {name: statistics for name, found in ratios.items() if (statistics := _statistics(found))}


def _statistics(ratios: Sequence[float]) -> dict[str, float]:
    if not ratios:
        return {}
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return {"geomean": mean, "min": min(ratios), "max": max(ratios)}


def describe_machine(limits: Limits) -> Mapping[str, Any]:
    """The processor, and what was measured of it."""
    return {
        "processor": _processor(),
        "target": host().name,
        "system": platform.platform(),
        "peak_gflops": limits.peak / 1e9,
        "memory_gb_per_s": limits.memory_bandwidth / 1e9,
        "bandwidth_curve": [{"bytes": size, "gb_per_s": rate / 1e9} for size, rate in limits.curve],
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1] if found else platform.processor()


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
