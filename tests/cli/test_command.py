"""What the command promises to shells: exit codes, results on stdout alone, JSON that parses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bough
from bough.cli import main

MODELS = '''
import torch
from torch import nn


class Wrong(nn.Module):
    def forward(self, x):
        return torch.linalg.svdvals(x)


def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).eval(), (torch.randn(4, 6),)


def sized():
    module, args = build()
    return module, args, {"input": {0: "batch"}}


def unsupported():
    return Wrong(), (torch.randn(4, 4),)


def nothing():
    return 3


def function():
    return (lambda x: torch.tanh(x) + 1), (torch.randn(3),)


def sized_by(width, depth=2):
    return nn.Linear(width, width), (torch.randn(width),)


def broken():
    raise RuntimeError("no weights here")
'''


@pytest.fixture
def models(tmp_path: Path) -> Path:
    file = tmp_path / "models_of_this_test.py"
    file.write_text(MODELS)
    return file


def run(*argv: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in argv])
    return int(left.value.code or 0)


@pytest.mark.parametrize("command", ["compile", "run", "explain", "bench", "targets", "cache", "doctor"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [
        ("nonsense",),
        ("compile",),
        ("compile", "no_colon"),
        ("compile", "no_such_file.py:build"),
        ("compile", "no_such_package_at_all:build"),
        ("compile", "json:no_such_function"),
        ("targets", "no-such-target"),
        ("bench", "no-such-suite"),
        ("bench", "gemm", "--against", "no-such-peer"),
        ("bench", "gemm", "--filter", "("),
        ("doctor", "--all"),
        ("doctor", "--math", "--function", "no_such_function"),
        ("run", "json:loads", "--threads", "0"),
    ],
)
def test_bad_usage_leaves_with_2(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*argv) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err


def test_a_factory_must_return_a_model(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compile", f"{models}:nothing") == 2
    assert "returned int" in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_an_unknown_factory_is_named_with_those_there_are(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("run", f"{models}:biuld") == 2
    message = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert "biuld" in message and "sized" in message


def test_the_factorys_own_failure_is_the_users_traceback(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compile", f"{models}:broken") == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "RuntimeError: no weights here" in captured.err and "in broken" in captured.err
    assert "typer" not in captured.err and "load_model" not in captured.err


@pytest.mark.parametrize(
    "source, error", [("def f(:", "SyntaxError"), ("import no_such_module_here", "ModuleNotFoundError"), ("1 / 0", "ZeroDivisionError")]
)
def test_a_file_that_cannot_be_imported(source: str, error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / f"broken_{error}.py"
    file.write_text(source)
    assert run("compile", f"{file}:build") == 1
    said = capsys.readouterr().err
    assert error in said and "failed while it was imported" in said and source in said and "importlib" not in said


def test_a_factory_takes_no_arguments(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compile", f"{models}:sized_by") == 2
    assert "takes width" in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_functions_are_models_too(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("run", f"{models}:function", "--seconds", "0.05", "--json") == 0
    assert json.loads(capsys.readouterr().out)["right"]


def test_a_place_that_cannot_be_written(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compile", f"{models}:build", "--output", tmp_path / "nowhere" / "model.bough") == 2
    assert "there is no folder" in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert run("compile", f"{models}:build", "--output", tmp_path) == 2
    assert "is a directory" in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_compile_prints_a_summary(models: Path, empty_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compile", f"{models}:build", "--threads", "1", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["threads"] == 1 and summary["compile_s"] > 0
    assert not summary["from_cache"] and summary["passes_s"]["generate code"] > 0 < summary["passes_s"]["import module"]
    assert summary["code_bytes"] > 0 and summary["constant_bytes"] >= 4 * (6 * 8 + 8 + 8 * 3 + 3)
    assert run("cache", "list", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["entries"]) == 1


def test_the_second_time_the_cache_has_it(models: Path, empty_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compile", f"{models}:build") == 0
    assert "generate code" in capsys.readouterr().out
    assert run("compile", f"{models}:build") == 0
    assert "from the cache" in capsys.readouterr().out


def test_compile_writes_a_file_that_loads(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compile", f"{models}:build", "--output", tmp_path / "model.bough") == 0
    assert str(tmp_path / "model.bough") in capsys.readouterr().out
    assert bough.load(tmp_path / "model.bough")(np.zeros((4, 6), np.float32)).shape == (4, 3)


def test_run_compares_with_eager(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("run", f"{models}:sized", "--seconds", "0.1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["right"] and found["latency_s"]["bough"] > 0 and found["latency_s"]["eager"] > 0
    assert [row["shape"] for row in found["outputs"]] == [[4, 3]]


def test_explain_prints_what_became_of_the_model(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", f"{models}:build") == 0
    assert "linear" in capsys.readouterr().out.lower()
    assert run("explain", f"{models}:build", "--json") == 0
    explanation = json.loads(capsys.readouterr().out)
    assert explanation["threads"] >= 1 and all(row["mapping"] for row in explanation["rows"])


def test_explain_writes_files(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"--html": "report.html", "--trace": "trace.json", "--picture": "course.svg"}
    options = [part for option, name in files.items() for part in (option, tmp_path / name)]
    assert run("explain", f"{models}:build", "--threads", "1", *options) == 0
    captured = capsys.readouterr()
    assert captured.out == "" and all(name in captured.err for name in files.values())
    assert "measured on this machine" in (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert run("explain", f"{models}:build", "--html", tmp_path / "nowhere" / "report.html") == 2


def test_a_missing_operator_leaves_with_1(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compile", f"{models}:unsupported") == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "[BGH-OP-001]" in captured.err


def test_the_doctor_says_what_is_missing(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", f"{models}:unsupported", "--json") == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert "svd" in problem["what"] and problem["source"] == "return torch.linalg.svdvals(x)"
    assert run("doctor", f"{models}:unsupported") == 1
    printed = capsys.readouterr().out
    assert "1 problem" in printed and "return torch.linalg.svdvals(x)" in printed and "try:" in printed


def test_the_doctor_says_what_a_model_becomes(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", f"{models}:sized", "--target", "avx2", "--precision", "bfloat16") == 0
    printed = capsys.readouterr().out
    assert "compiles" in printed and "avx2, bfloat16" in printed and "parallel phase" in printed
    assert run("doctor", "--target", "avx2") == 2


def test_targets_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("targets", "--json") == 0
    names = [t["name"] for t in json.loads(capsys.readouterr().out)["targets"]]
    assert len(names) > 3
    assert run("targets") == 0
    listed = capsys.readouterr().out
    assert [name for name in names if name not in listed] == []
    for name in ("native", names[-1]):
        assert run("targets", name) == 0
        assert "instruction" in capsys.readouterr().out
        assert run("targets", name, "--json") == 0
        assert json.loads(capsys.readouterr().out)["instructions"]


def test_the_cache_is_listed_and_cleared(empty_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cache", "path") == 0
    assert capsys.readouterr().out.strip() == str(empty_cache)
    assert run("cache", "clear", "--json") == 0
    assert json.loads(capsys.readouterr().out)["removed"] == 0


def test_a_cache_that_is_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BOUGH_CACHE", "0")
    assert run("cache", "path") == 0
    captured = capsys.readouterr()
    assert captured.out == "" and "there is no cache" in captured.err
    assert run("cache", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"path": None, "entries": []}


def test_the_cache_is_trimmed(models: Path, empty_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compile", f"{models}:build", "--json") == run("compile", f"{models}:sized", "--json") == 0
    capsys.readouterr()
    assert run("cache", "trim", "1G", "--json") == 0
    before = json.loads(capsys.readouterr().out)
    assert before["removed"] == 0 and before["bytes"] > 0
    assert run("cache", "trim", str(before["bytes"] - 1), "--json") == 0
    after = json.loads(capsys.readouterr().out)
    assert after["removed"] == 1 and 0 < after["bytes"] < before["bytes"]
    assert run("cache", "trim", "lots") == 2


def test_a_wrong_setting_leaves_with_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BOUGH_CACHE", __file__)
    assert run("cache", "path") == 1
    assert "BGH-SET-001" in capsys.readouterr().err


def test_the_doctor_finds_this_installation_sound(capsys: pytest.CaptureFixture[str]) -> None:
    code = run("doctor", "--json")
    found = json.loads(capsys.readouterr().out)
    assert [c for c in found if c["state"] == "bad"] == []
    assert code == 0


def test_the_doctor_checks_the_math(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", "--math", "--function", "exp", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["function"] == "exp" and row["right"] and row["max_ulp"] <= 2


def test_benchmarks_show_their_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    run("bench", "gemm", "--quick", "--filter", "512x1x512$", "--threads", 1, "--against", "torch", "--json", file)
    figures = json.loads(file.read_text())
    assert figures["suite"] == "gemm" and len(figures["rows"]) >= 1
    assert all(row["case"] in capsys.readouterr().out for row in figures["rows"][:1])


def test_help_comes_at_once() -> None:
    """Without torch: help must not wait for it."""
    script = "import sys\nfrom bough.cli import main\ntry: main(['--help'])\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_run_measures_what_narrow_weights_change(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("run", f"{models}:build", "--precision", "int8", "--seconds", "0.1") == 0
    out = capsys.readouterr().out
    assert "weights in int8 change the outputs by" in out and "right" in out
