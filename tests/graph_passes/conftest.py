"""Lets the tests of this folder import the random programs of the representation's tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "ir"))
