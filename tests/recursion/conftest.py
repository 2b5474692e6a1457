"""Recursions built by hand, as the front end makes them from modules, and structures to run them on."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # for recursive_models
