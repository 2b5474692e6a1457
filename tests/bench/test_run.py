"""Whole runs of few cases: the figures that come out, libraries that are missing, fail, or compute something else."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Set
from pathlib import Path
from typing import Any

import pytest
import torch

from bough.bench import PEERS, SUITES, run_suite
from bough.bench.measure import Plan, Timing
from bough.bench.peers import Peer, Session, open_torch
from bough.bench.problem import Case, Problem
from bough.bench.run import run_case, summarize
from bough.bench.suites import static
from bough.bench.zoo.static import STATIC
from bough.cli import main
from bough.cli.bench_table import write_table

TWO = "server/512x1x512|device/128x1x1024"


def run(against: list[str], suite: str = "gemm", filter: str = "device/128x1x1024") -> dict[str, Any]:
    *_, figures = run_suite(suite, against, 1, filter, True, lambda *_: None)
    return figures


def test_two_cases_against_torch() -> None:
    before = torch.get_num_threads()
    seen: list[tuple[str, int, int]] = []
    first, *_, figures = run_suite("gemm", ["torch"], 1, TWO, True, lambda *step: seen.append(step))
    assert first["rows"] is figures["rows"] and set(first) == set(figures)
    assert figures["suite"] == "gemm" and figures["threads"] == 1 and figures["missing"] == {}
    assert figures["machine"]["peak_gflops"] > 0.1
    assert [row["case"] for row in figures["rows"]] == ["server/512x1x512", "device/128x1x1024"]
    for row in figures["rows"]:
        assert row["bough_ms"] > 0 and row["compile_s"] > 0 and row["notes"] == {}
        assert row["peers_ms"]["torch"] > 0
        assert row["limit_ms"] > 0 and row["share_of_limit"] > 0 and row["memory_limit_ms"] > 0
        assert 0 < row["max_error"] < 1e-5
    assert set(figures["summary"]) == {"torch", "best"}
    assert set(figures["summary"]["torch"]) == {"geomean", "min", "max"}
    assert torch.get_num_threads() == before
    assert seen[0][1:] == (0, 2) and seen[-1][1:] == (2, 2)


def test_the_share_of_the_limit_pairs_what_was_measured_in_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as slow in every other turn, all of it: as on a host whose other guests take half of the bandwidth for a while."""
    limit, own = (1.0, 2.0, 1.0, 2.0, 2.0), (1.25, 2.5, 1.25, 2.5, 2.5)

    def turns(calls: dict[str, Any], plan: Plan, follow: Set[str]) -> dict[str, Timing]:
        first, *others = calls
        assert first == "bough" and set(others[: len(follow)]) == follow and len(follow) > 1
        times = {name: Timing(1.0, (0.5,) * len(own)) for name in calls}
        return times | {name: Timing(1.0, limit) for name in calls if name.startswith("read")} | {"bough": Timing(2.5, own)}

    monkeypatch.setattr("bough.bench.run.take_turns", turns)
    (row,) = run([])["rows"]
    assert row["share_of_limit"] == pytest.approx(0.8) and row["limit_ms"] >= 2e3 and row["bough_ms"] == 2.5e3


def test_a_recurrent_layer() -> None:
    (row,) = run(["torch"], "rnn", "device/vanilla-64")["rows"]
    assert row["notes"] == {} and row["peers_ms"]["torch"] > 0


def test_a_missing_peer_is_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    absent = Peer("absent", ("no-such-distribution-of-python",), "pip install absent", open_torch)
    monkeypatch.setitem(PEERS, "absent", absent)
    figures = run(["absent", "torch"])
    assert figures["missing"] == {"absent": "pip install absent"}
    assert figures["rows"][0]["peers_ms"]["absent"] is None and figures["rows"][0]["peers_ms"]["torch"] > 0
    assert set(figures["summary"]) == {"torch", "best"}
    assert "pip install absent" in caplog.text


def open_wrong(problem: Problem, threads: int, folder: Path) -> Session:
    right = open_torch(problem, threads, folder)

    def outputs() -> list[Any]:
        (y,) = (array.copy() for array in right.outputs())
        y[0, 7] += 1
        return [y]

    return Session(right.call, outputs)


def open_broken(problem: Problem, threads: int, folder: Path) -> Session:
    raise RuntimeError("no such operator")


def test_a_peer_that_is_wrong_or_fails_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PEERS, "wrong", Peer("wrong", ("torch",), "", open_wrong))
    monkeypatch.setitem(PEERS, "broken", Peer("broken", ("torch",), "", open_broken))
    figures = run(["wrong", "broken"])
    (row,) = figures["rows"]
    assert row["peers_ms"] == {"wrong": None, "broken": None} and figures["summary"] == {}
    assert "wrong: an error of" in row["notes"]["wrong"] and "no such operator" in row["notes"]["broken"]
    assert row["bough_ms"] > 0


def test_narrow_weights_are_no_best_peer() -> None:
    figures = run(["torch", "bough-bfloat16"], "gemm", "device/3072x1x1024")
    (row,) = figures["rows"]
    assert row["peers_ms"]["bough-bfloat16"] > 0 and row["best"] == "torch"
    assert row["peer_errors"]["bough-bfloat16"] > 10 * row["max_error"]
    assert figures["summary"]["best"] == figures["summary"]["torch"]


def test_the_summary_is_of_ratios() -> None:
    rows: list[dict[str, Any]] = [
        {"bough_ms": 1.0, "peers_ms": {"a": 2.0, "b": 4.0}, "best": "a"},
        {"bough_ms": 2.0, "peers_ms": {"a": 1.0, "b": None}, "best": "a"},
        {"bough_ms": None, "peers_ms": {"a": 1.0, "b": 1.0}, "best": "a"},
    ]
    assert summarize(rows, ["a", "b", "c"]) == {
        "a": {"geomean": pytest.approx(1.0), "min": 0.5, "max": 2.0},
        "b": {"geomean": pytest.approx(4.0), "min": 4.0, "max": 4.0},
        "best": {"geomean": pytest.approx(1.0), "min": 0.5, "max": 2.0},
    }


def command(*argv: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["bench", *argv])
    return int(left.value.code or 0)


def test_the_command_prints_a_table_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    assert command("gemm", "--quick", "--threads", "1", "--filter", "device/128x1x1024", "--json", str(file)) == 0
    printed = capsys.readouterr().out
    assert "device/128x1x1024" in printed and "torch ms" in printed and "geomean" in printed
    figures = json.loads(file.read_text())
    assert figures["suite"] == "gemm" and figures["rows"][0]["peers_ms"]["torch"] > 0


def test_a_run_that_is_stopped_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(case: Case[Any], *rest: Any) -> Any:
        if case.name.startswith("device"):
            raise KeyboardInterrupt
        return run_case(case, *rest)

    monkeypatch.setattr("bough.bench.run.run_case", stop)
    file = tmp_path / "figures.json"
    assert command("gemm", "--quick", "--threads", "1", "--filter", TWO, "--json", str(file)) == 130
    out, err = capsys.readouterr()
    assert "512x1x512" in out and "device" not in out
    assert "1/2 device/128x1x1024" in err and "stopped" in err
    assert [row["case"] for row in json.loads(file.read_text())["rows"]] == ["server/512x1x512"]


def test_a_network_is_loaded_in_a_process_of_its_own_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if PEERS["onnxruntime"].versions is None:
        pytest.skip("onnxruntime is not installed")
    small = dataclasses.replace(
        SUITES["static"], cases=lambda _: (Case("small", lambda: static.build(STATIC["gpt2-decode"], 1, small=True)),)
    )
    monkeypatch.setitem(SUITES, "static", small)
    file = tmp_path / "table.md"
    file.write_text("# Models\n\n<!-- the rest: bough bench static -->\n\nold\n")
    figures = run(["torch", "onnxruntime"], "static", "small")
    (row,) = figures["rows"]
    assert row["notes"] == {} and set(row["load_s"]) == set(row["memory_mb"]) == {"bough", "onnxruntime"}
    assert all(seconds > 0 for seconds in row["load_s"].values())
    write_table(file, figures)
    written = file.read_text()
    assert written.startswith("# Models") and "old" not in written and "| `small` |" in written
    (head, _, cells) = (line for line in written.splitlines() if line.startswith("|"))
    assert head.count("|") == cells.count("|") and "eager's error" in head


@pytest.mark.parametrize("options", [("--against", "torch,abacus"), ("--filter", "abacus")])
def test_the_command_refuses_what_there_is_not(options: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command("gemm", *options) == 2
    assert "abacus" in capsys.readouterr().err
