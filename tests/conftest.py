"""What holds for every test: a compile cache of its own, and PyTorch on one thread."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import hypothesis
import pytest

# PyTorch's OpenMP threads spin where they wait. Beside the other tests' threads that turns a call of microseconds into one
# of hundreds of milliseconds, so eager code runs on one thread. PyTorch reads this once, when it is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples each time, so that a change is judged by what it changed; BOUGH_TEST_RANDOM=1 draws new ones.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis.settings.register_profile("random", deadline=None)
hypothesis.settings.load_profile("random" if os.environ.get("BOUGH_TEST_RANDOM") else "fixed")

_CACHE = tempfile.TemporaryDirectory(prefix="bough-tests-")
os.environ["BOUGH_CACHE"] = _CACHE.name


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that nothing has used yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("BOUGH_CACHE", str(folder))
    return folder
