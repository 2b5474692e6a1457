"""What holds for every test: a compile cache of its own, and no more busy threads than the machine has cores."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

# torch reads these once, when it is first imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_CACHE = tempfile.TemporaryDirectory(prefix="bough-tests-")
os.environ["BOUGH_CACHE"] = _CACHE.name


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that nothing has used yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("BOUGH_CACHE", str(folder))
    return folder
