"""Networks without control flow on computed values, written from their papers in plain PyTorch, with random weights."""

from __future__ import annotations

from bough.bench.zoo.static.registry import STATIC, StaticEntry

__all__ = ["STATIC", "StaticEntry"]
