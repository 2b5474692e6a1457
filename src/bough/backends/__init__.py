"""Other compilers under Bough's host program: each runs the straight-line sub-networks of a module, Bough takes the decisions."""

from __future__ import annotations

from bough.backends.compilers import COMPILERS, Compiler, bound
from bough.backends.hosted import Hosted, run_under, run_with_host_calls

__all__ = ["COMPILERS", "Compiler", "Hosted", "bound", "run_under", "run_with_host_calls"]
