"""Random networks made to behave like trained ones: normalisations that fit what comes in, and decisions that go both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

FIRST = 1_000_000
"""The first of the numbers of inputs that networks are calibrated on."""
COUNT = 64
SLACK, WIDE = 0.12, 0.2
"""How far from the wanted share a threshold may lie; WIDE finds the border between two kinds of inputs more often."""
STEPS = 60
FAR = 8.0


def settle(module: nn.Module, *args: Any) -> Any:
    """The module's result in evaluation mode, after its batch normalisations have taken the statistics of this call."""
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    module.train()
    module(*args)
    module.eval()
    for norm, momentum in zip(norms, before):
        norm.momentum = momentum
    return module(*args)


def threshold(values: Tensor, share: float, slack: float = SLACK) -> float:
    """About `share` of the values lie above it: the middle of the widest gap near there, so that rounding decides nothing."""
    ordered = values.double().flatten().sort(descending=True).values
    wanted = share * len(ordered)
    reach = slack * len(ordered)
    low = max(0, min(round(wanted - reach) - 1, len(ordered) - 2))
    high = min(len(ordered) - 1, max(round(wanted + reach), low + 1))
    gaps = ordered[low:high] - ordered[low + 1 : high + 1]
    at = low + int(gaps.argmax())
    return float(ordered[at] + ordered[at + 1]) / 2


def bias_for(logits: Tensor, share: float) -> float:
    """What to add to the logits so that about `share` of them are positive; all of them for 1, none for 0."""
    if share in (0, 1):
        return FAR * (2 * share - 1) - float(logits.mean())
    return -threshold(logits, share, WIDE)


def scale_for(logits: Tensor, measure: Callable[[Tensor], Tensor], level: float, share: float) -> float:
    """The factor of the logits with which `measure`, which grows with it, reaches `level` in about `share` of the rows."""
    low = torch.full((len(logits), 1), 1e-6, dtype=torch.float64)
    high = torch.full_like(low, 1e6)
    for _ in range(STEPS):
        middle = (low * high).sqrt()
        reached = (measure(middle * logits.double()) >= level)[:, None]
        low, high = torch.where(reached, low, middle), torch.where(reached, middle, high)
    return float(2.0 ** -threshold(-high.log2(), share))


def confidence(logits: Tensor) -> Tensor:
    """The probability of the likeliest class, by rows."""
    return logits.softmax(1).amax(1)


def entropy(logits: Tensor) -> Tensor:
    """The entropy of the classes, by rows."""
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1)
