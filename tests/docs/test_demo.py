"""What `make demo` runs: compiled networks give PyTorch's predictions on real images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_succeeds(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "BOUGH_CACHE": str(tmp_path)}
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("0 of 360") == 2
