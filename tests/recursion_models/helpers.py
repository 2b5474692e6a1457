"""Functions that models of this folder import, as people keep them in another file."""

from __future__ import annotations

import torch
from torch import Tensor


def cut(x: Tensor, limit: float = 1.5) -> Tensor:
    return x.clamp(-limit, limit)


def combine(weight: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Half the sum, and a transformed product."""
    return cut((a + b) / 2 + torch.mv(weight, a * b))


def pooled(states: list[Tensor]) -> Tensor:
    together = torch.stack(states, dim=0)
    return torch.cat([together.mean(0), together.amax(0)])
