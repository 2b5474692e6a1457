"""Instruction mapping: find instructions of a target inside kernels, rewrite kernels to use them, run them on paper."""

from __future__ import annotations

from bough.mapping.apply import MappedKernel, apply_mapping
from bough.mapping.check import check_mapping
from bough.mapping.enumerate import enumerate_mappings, explain_mismatch, pairs_are_independent
from bough.mapping.lower_tiles import lower_tiles
from bough.mapping.mapping import Binding, Mapping, Mismatch, Part
from bough.mapping.simulate import Simulation, best_mapping, simulate

__all__ = [
    "Binding", "MappedKernel", "Mapping", "Mismatch", "Part", "Simulation", "apply_mapping", "best_mapping", "check_mapping",
    "enumerate_mappings", "explain_mismatch", "lower_tiles", "pairs_are_independent", "simulate",
]  # fmt: skip
