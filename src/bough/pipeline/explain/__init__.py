"""What became of a model, measured: rows for kernels, a call on its threads, memory, the course of the host program."""

from bough.pipeline.explain.explanation import Explanation, explain
from bough.pipeline.explain.roofs import Roof, Roofs, described_roofs
from bough.pipeline.explain.rows import Row

__all__ = ["Explanation", "Roof", "Roofs", "Row", "described_roofs", "explain"]
