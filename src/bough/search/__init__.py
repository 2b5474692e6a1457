"""Choosing schedules: strategies, the cost model, traces of what was chosen."""

from __future__ import annotations

from bough.search.heuristic import Context, CostModel, Heuristic, Strategy
from bough.search.trace import Record, Replay

__all__ = ["Context", "CostModel", "Heuristic", "Record", "Replay", "Strategy"]
