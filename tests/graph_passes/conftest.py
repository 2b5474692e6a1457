"""Lets the tests of this folder import its helpers, and the random programs of the representation's tests."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.extend([str(HERE), str(HERE.parent / "ir")])
