"""The suites of `bough bench`, and what runs them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bough.bench.peers import PEERS
    from bough.bench.problem import Choice
    from bough.bench.run import choose, run_suite
    from bough.bench.suites import SUITES

__all__ = ["PEERS", "SUITES", "Choice", "choose", "run_suite"]

_HOME = {"PEERS": "peers", "SUITES": "suites", "Choice": "problem", "choose": "run", "run_suite": "run"}


def __getattr__(name: str) -> Any:
    """Most of this needs torch; the processes that measure footprints do without it."""
    if name not in _HOME:
        raise AttributeError(f"module 'bough.bench' has no attribute {name!r}")
    return getattr(import_module(f"bough.bench.{_HOME[name]}"), name)
