"""Networks with control flow on computed values, as their authors would write them in plain PyTorch, and inputs for them."""

from __future__ import annotations

from bough.bench.zoo.dynamic.registry import DYNAMIC, DynamicEntry, Network, Size

__all__ = ["DYNAMIC", "DynamicEntry", "Network", "Size"]
