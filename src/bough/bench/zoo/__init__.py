"""The zoo: recursive models as their authors would write them in plain PyTorch, and structures to run them on."""

from __future__ import annotations

from bough.bench.zoo.registry import ZOO, Data, Entry

__all__ = ["ZOO", "Data", "Entry"]
