"""Matrix products of DeepBench's inference sets: a linear layer without bias, its weights constant."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bough.bench.onnx_models import write_matmul
from bough.bench.problem import Array, Case, Form, Problem, Traffic, Work
from bough.bench.suites.deepbench import GEMM_DEVICE, GEMM_SERVER, Gemm

QUICK = {(35, 700, 2048), (7680, 1, 2560), (3072, 4, 1024), (1024, 700, 512), (512, 1500, 1536), (128, 1, 1024)}
SAMPLE = 64
"""Rows and columns of the output that are compared one by one where there are more; the others go into sums."""
CHUNK = 64
UNIT = 2.0**-22
"""Rounding makes an error of a few 2**-24, relative to the largest sum, times the root of k where k products are added up
one after the other; one that is left out makes an error of about 1 / (4 * the root of k), which is more up to a million."""


class Transposed(nn.Module):
    """The same product with the weights' rows and columns exchanged."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.t().contiguous(), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight


def cases() -> tuple[Case[Problem], ...]:
    sets = (("server", GEMM_SERVER), ("device", GEMM_DEVICE))
    return tuple(
        Case(f"{name}/{m}x{n}x{k}", functools.partial(build, (m, n, k)), (m, n, k) in QUICK)
        for name, sizes in sets
        for m, n, k in sizes
    )


def build(size: Gemm) -> Problem:
    """The linear layer with constant weights that is the product."""
    m, n, k = size
    random = torch.Generator().manual_seed(m + n + k)
    module = nn.Linear(k, m, bias=False, device="meta").to_empty(device="cpu").requires_grad_(False)
    module.weight.uniform_(-1, 1, generator=random)
    x = torch.empty(n, k).uniform_(-1, 1, generator=random)
    moved = 4.0 * (m * k + n * k + n * m)

    def forms() -> Iterator[Form]:
        yield module, (x,)
        yield Transposed(module.weight), (x,)

    def write_onnx(folder: Path) -> Path:
        return write_matmul(folder, module.weight.t().contiguous().numpy(), n)

    def error(outputs: Sequence[Array]) -> float:
        (y,) = outputs
        return product_error(x.numpy(), module.weight.numpy(), y)

    work = Work(2.0 * m * n * k, (Traffic(moved, moved),))
    return Problem(module, (x,), work, forms, write_onnx, error, UNIT * math.sqrt(k))


def product_error(x: Array, weight: Array, y: Array) -> float:
    """The largest error of y = x @ weight.T, relative to the largest element.

    Compares a sample of rows and columns, the first and last among them; and the sums of all rows with random signs, in
    which a single wrong element shows too (Freivalds, "Probabilistic machines can use less running time", 1977).
    """
    if y.shape != (len(x), len(weight)) or not np.isfinite(y).all():
        return float("inf")
    random = np.random.default_rng(0)
    rows, columns = _sample(random, len(x)), _sample(random, len(weight))
    expected = x[rows].astype(np.float64) @ weight[columns].astype(np.float64).T
    largest = float(np.abs(expected).max())
    sampled = float(np.abs(y[np.ix_(rows, columns)] - expected).max())
    signs = random.choice((-1.0, 1.0), len(weight))
    combined = np.zeros(weight.shape[1])
    for start in range(0, len(weight), CHUNK):
        combined += signs[start : start + CHUNK] @ weight[start : start + CHUNK].astype(np.float64)
    summed = float(np.abs(y.astype(np.float64) @ signs - x.astype(np.float64) @ combined).max())
    # The errors of m elements, each with a random sign, add up to about the root of m times one of them.
    return max(sampled, summed / math.sqrt(len(weight))) / largest


def _sample(random: np.random.Generator, count: int) -> Array:
    if count <= SAMPLE:
        return np.arange(count)
    return np.unique(np.concatenate([[0, count - 1], random.choice(count, SAMPLE - 2, replace=False)]))
