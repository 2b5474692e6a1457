"""`bough export` and `bough inspect`."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path

import pytest

from bough.cli import main

MODEL = """
import torch
from torch import nn


def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh()).eval(), (torch.randn(4, 6),), {"input": {0: "batch"}}
"""
needs_cc = pytest.mark.skipif(platform.system() != "Linux" or shutil.which("cc") is None, reason="needs cc on Linux")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("BOUGH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "models_to_export.py").write_text(MODEL)
    return f"{tmp_path / 'models_to_export.py'}:build"


def run(*argv: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in argv])
    return int(left.value.code or 0)


@needs_cc
def test_export_and_inspect(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run("export", model, out, "--name", "net", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert set(made["files"]) == {f.name for f in out.iterdir()}
    assert run("inspect", out, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["arguments"] == ["input: f32[batch, 6]"] and list(shown["sizes"]) == ["batch"]
    assert all(part["right"] for part in shown["parts"].values())
    (out / "net.safetensors").write_bytes(b"no weights")
    assert run("inspect", out / "net.json") == 1
    assert "CHANGED" in capsys.readouterr().out


@needs_cc
def test_a_saved_function(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "net.bough"
    assert run("compile", model, "-o", saved) == 0
    assert run("export", saved, tmp_path / "out") == 0
    assert (tmp_path / "out" / "libmodel.so").exists()
    capsys.readouterr()
    assert run("inspect", saved) == 0
    assert "as written" in capsys.readouterr().out
    contents = bytearray(saved.read_bytes())
    contents[5000] ^= 1  # in the code
    saved.write_bytes(contents)
    assert run("inspect", saved) == 1


def test_what_is_no_file_of_bough(tmp_path: Path) -> None:
    assert run("inspect", tmp_path / "nothing") == 2
    (tmp_path / "text").write_text("text")
    assert run("inspect", tmp_path / "text") == 1
    assert run("inspect", tmp_path) == 1
