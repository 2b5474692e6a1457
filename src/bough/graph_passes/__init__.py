"""Passes from Programs to kernels, and over kernels in sequence."""

from __future__ import annotations

from bough.graph_passes.fuse import fuse
from bough.graph_passes.lower_program import lower_function
from bough.graph_passes.normalize import normalize
from bough.graph_passes.plan_memory import ArenaPlan, plan_memory

__all__ = ["ArenaPlan", "fuse", "lower_function", "normalize", "plan_memory"]
