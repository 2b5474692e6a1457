"""`grid_sample` in terms of simpler operators: images read at computed places between their elements.

An element outside of an image counts as zero, whatever the image holds elsewhere. (PyTorch's own rules read some element
there and multiply it by zero, which spreads its NaN.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor

BILINEAR, NEAREST, BICUBIC = 0, 1, 2
BORDER, REFLECTION = 1, 2
At = Callable[[Sequence[Tensor]], Tensor]
"""The elements at places, of which there is a tensor of whole numbers for each dimension."""


def grid_sampler(x: Tensor, grid: Tensor, mode: int = 0, padding: int = 0, align_corners: bool = False) -> Tensor:
    """x: [n, c, *sizes]; grid: [n, *places, dimensions], the last dimension first, with -1 and 1 for the ends of an axis."""
    sizes = x.shape[2:]
    given = [g.unsqueeze(1) for g in reversed(grid.unbind(-1))]
    spots = [(g + 1) * ((n - 1) / 2) if align_corners else (g + 1) * (n / 2) - 0.5 for g, n in zip(given, sizes, strict=True)]

    def kept(places: Sequence[Tensor]) -> list[Tensor]:
        return [_kept(p, n, padding, align_corners) for p, n in zip(places, sizes, strict=True)]

    def at(places: Sequence[Tensor]) -> Tensor:
        return _elements(x, places)

    if mode == NEAREST:
        return at([s.round() for s in kept(spots)])
    if mode == BILINEAR:
        return _total(_corners(at, kept(spots)))
    return _cubic(lambda places: at(kept(places)), spots)


def _kept(place: Tensor, size: Any, padding: int, align_corners: bool) -> Tensor:
    """A place, moved into an axis where elements beside it repeat those inside; NaN becomes the first."""
    if padding == REFLECTION:
        low, span = (0.0, size - 1) if align_corners else (-0.5, size)
        beyond = (place - low).abs()
        turns, rest = (beyond / span).floor(), torch.fmod(beyond, span)
        place = torch.where(torch.fmod(turns, 2) == 0, rest + low, span + low - rest) if span else torch.zeros_like(place)
    if padding in (BORDER, REFLECTION):
        return torch.where(place.isnan(), 0, place.clamp(0, size - 1))
    return place


def _elements(x: Tensor, places: Sequence[Tensor]) -> Tensor:
    inside = torch.ones_like(places[0], dtype=torch.bool)
    for place, size in zip(places, x.shape[2:], strict=True):
        inside = inside & (place >= 0) & (place < size)
    leading = [torch.arange(n, device=x.device) for n in x.shape[:2]]
    ones = [1] * len(places)
    samples, channels = leading[0].reshape(-1, 1, *ones), leading[1].reshape(1, -1, *ones)
    found = x[(samples, channels, *(torch.where(inside, p, 0).to(torch.int64) for p in places))]
    return torch.where(inside, found, 0)


def _corners(at: At, spots: Sequence[Tensor]) -> Iterator[Tensor]:
    """What the elements around the spots add: each has the size of the box opposite to it for its share."""
    first = [s.floor() for s in spots]
    for corner in product((0, 1), repeat=len(spots)):
        shares = [s - f if far else f + 1 - s for s, f, far in zip(spots, first, corner, strict=True)]
        yield at([f + far for f, far in zip(first, corner, strict=True)]) * prod(shares[1:], start=shares[0])


def _cubic(at: At, spots: Sequence[Tensor]) -> Tensor:
    first = [s.floor() for s in spots]
    down, across = (_cubic_shares(s - f) for s, f in zip(spots, first, strict=True))
    rows = []
    for n in range(4):
        places = [[first[0] + (n - 1), first[1] + (m - 1)] for m in range(4)]
        rows.append(_total(at(p) * share for p, share in zip(places, across, strict=True)))
    return _total(row * share for row, share in zip(rows, down, strict=True))


def _cubic_shares(t: Tensor) -> list[Tensor]:
    """Of the element before a spot at distance t, and of the three behind that; Keys' cubic with a = -3/4."""

    def near(d: Tensor) -> Tensor:
        return (1.25 * d - 2.25) * d * d + 1

    def far(d: Tensor) -> Tensor:
        return ((-0.75 * d + 3.75) * d - 6) * d + 3

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _total(parts: Iterator[Tensor]) -> Tensor:
    total = next(parts)
    for part in parts:
        total = total + part
    return total
