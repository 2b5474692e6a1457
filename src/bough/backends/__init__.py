"""Other compilers under Bough's host program: each runs the straight-line sub-networks of a module, Bough takes the decisions."""

from __future__ import annotations

from bough.backends.compilers import COMPILERS
from bough.backends.hosted import Hosted, run_under

__all__ = ["COMPILERS", "Hosted", "run_under"]
