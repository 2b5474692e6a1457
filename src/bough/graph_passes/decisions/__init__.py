"""Passes over Programs with branches and loops: what is decided early, what runs where. Programs without
branches, loops and checks on computed values come out as they are."""

from __future__ import annotations

from bough.graph_passes.decisions.fold import fold_decisions
from bough.graph_passes.decisions.hoist import hoist
from bough.graph_passes.decisions.sink import sink

__all__ = ["fold_decisions", "hoist", "sink"]
