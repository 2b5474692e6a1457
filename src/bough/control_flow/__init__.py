"""Control flow for many samples at once: each step runs for those samples that take it."""

from __future__ import annotations

from bough.control_flow.samples import over_samples

__all__ = ["over_samples"]
