"""What `make demo` runs: compiled networks give PyTorch's predictions on real images and syntax trees."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_succeeds(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "BOUGH_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("0 of 360") == 4  # predictions of three networks, and exits
    assert re.search(r"\b0 of [23]\s+images, one of each exit, give other numbers", done.stdout)
    assert re.search(r"^TreeReader .* 0 of \d+ ", done.stdout, re.MULTILINE)
    assert [file.suffix for file in tmp_path.glob("*.png")] == [".png"]
