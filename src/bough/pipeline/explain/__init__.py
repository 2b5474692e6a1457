"""What became of a model, measured: rows for kernels, a call on its threads, memory, the course of the host program."""

from bough.pipeline.explain.findings import Findings
from bough.pipeline.explain.roofs import Roof, Roofs, described_roofs
from bough.pipeline.explain.rows import Row

__all__ = ["Findings", "Roof", "Roofs", "Row", "described_roofs"]
