"""The suites of `bough bench`, and what runs them."""

from __future__ import annotations

from bough.bench.peers import PEERS
from bough.bench.problem import Choice
from bough.bench.run import choose, run_suite
from bough.bench.suites import SUITES

__all__ = ["PEERS", "SUITES", "Choice", "choose", "run_suite"]
