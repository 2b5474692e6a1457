"""Where numbers stand on an axis, and at which of them to put a mark."""

from __future__ import annotations

from math import ceil, floor, log10


def steps(end: float, about: int = 8) -> list[float]:
    """Round numbers from 0 to `end`, about so many."""
    if end <= 0:
        return [0.0]
    rough = end / about
    unit = 10.0 ** floor(log10(rough))
    step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= rough)
    return [n * step for n in range(int(end / step + 1e-9) + 1)]


class Log:
    """Powers of ten from `low` to `high` along `size` pixels."""

    def __init__(self, low: float, high: float, size: float) -> None:
        self.first, self.last = floor(log10(low)), ceil(log10(high))
        self.last = max(self.last, self.first + 1)
        self.size = size

    def __call__(self, value: float) -> float:
        return (log10(value) - self.first) / (self.last - self.first) * self.size

    @property
    def powers(self) -> list[int]:
        return list(range(self.first, self.last + 1))
