"""Decoders with random weights made to end some of their texts before the limit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bough.bench.zoo.dynamic.calibrate import threshold

NEVER = -1e9


def set_end(output: nn.Linear, end: int, decode: Callable[[int], object], count: int, row: int = -1, share: float = 0.5) -> None:
    """Changes the row of the word `end` in a decoder's last layer so that the likeliest word is `end` at some step of about
    `share` of the texts that `decode` makes: by its bias, or, where there is none, by the length of its row.
    `row` says which of the rows that the layer gets in a step decides about the next word."""
    scores = [_scores(output, end, decode, number, row) for number in range(count)]
    if output.bias is not None:
        needed = torch.stack([(others - own).min() for own, others in scores])
        output.bias[end] = -threshold(-needed, share)
    else:
        needed = torch.stack([torch.where(own > 0, own / others, 0).max() for own, others in scores])
        output.weight[end] /= threshold(needed, share)


def _scores(output: nn.Linear, end: int, decode: Callable[[int], object], number: int, at: int) -> tuple[Tensor, Tensor]:
    """At each step of a text that never ends: the score of the end's row alone, and the best score of another word."""
    states: list[Tensor] = []
    row, bias = output.weight[end].clone(), output.bias
    output.weight[end] = 0
    if bias is not None:
        bias[end] = NEVER
    watch = output.register_forward_hook(lambda module, args, result: states.append(args[0].reshape(-1, len(row))[at]))
    decode(number)
    watch.remove()
    seen = torch.stack(states)
    others = output(seen)
    others[:, end] = NEVER
    output.weight[end] = row
    return seen @ row, others.amax(1)
