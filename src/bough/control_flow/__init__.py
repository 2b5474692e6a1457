"""Control flow for many samples at once: each step runs for those samples that take it."""

from __future__ import annotations

from bough.control_flow.samples import divides, over_samples

__all__ = ["divides", "over_samples"]
