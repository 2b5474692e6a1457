"""Pooling, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

Check = Callable[..., None]
FLOATS = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2}


@pytest.fixture(params=FLOATS)
def x(request: pytest.FixtureRequest) -> torch.Tensor:
    torch.manual_seed(10)
    return torch.randn(2, 3, 9, 11, dtype=request.param)


def close(x: torch.Tensor) -> dict[str, float]:
    return {"rtol": FLOATS[x.dtype], "atol": FLOATS[x.dtype]}


MAXIMA: list[dict[str, Any]] = [
    {"window": (2, 2)},
    {"window": (3, 2), "stride": (2, 3)},
    {"window": (3, 3), "stride": (1, 1), "padding": (1, 1)},
    {"window": (3, 2), "stride": (2, 2), "padding": (1, 1), "dilation": (1, 2), "ceil_mode": True},
    {"window": (2, 2), "stride": (2, 5), "ceil_mode": True},
    {"window": (2, 3), "stride": (4, 4), "padding": (1, 1), "ceil_mode": True},
]


def _torch_names(a: dict[str, Any]) -> dict[str, Any]:
    return {"kernel_size": a["window"], **{k: v for k, v in a.items() if k not in ("window", "divisor")}}


@pytest.mark.parametrize("attributes", MAXIMA)
def test_max_pool(check: Check, x: torch.Tensor, attributes: dict[str, Any]) -> None:
    check("max_pool", [x], F.max_pool2d(x, **_torch_names(attributes)), **attributes)
    x[0, 1, 4, 5], x[1, 0] = float("nan"), float("-inf")
    check("max_pool", [x], F.max_pool2d(x, **_torch_names(attributes)), **attributes)


AVERAGES: list[dict[str, Any]] = [
    {"window": (2, 2)},
    {"window": (3, 2), "stride": (2, 3)},
    *(
        {"window": (3, 3), "stride": (2, s), "padding": (1, p), "ceil_mode": ceil, "count_include_pad": include}
        for s, p in ((2, 1), (5, 0), (4, 1))
        for ceil in (False, True)
        for include in (False, True)
    ),
]


@pytest.mark.parametrize("attributes", AVERAGES)
def test_avg_pool(check: Check, x: torch.Tensor, attributes: dict[str, Any]) -> None:
    check("avg_pool", [x], F.avg_pool2d(x, **_torch_names(attributes)), **attributes, **close(x))
    want = F.avg_pool2d(x, **_torch_names(attributes), divisor_override=5)
    check("avg_pool", [x], want, **attributes, divisor=5, **close(x))


@pytest.mark.parametrize("size", [(1, 1), (3, 11), (4, 5), (12, 20), (9, 11), (1, 4), (None, 2)])
def test_adaptive(check: Check, x: torch.Tensor, size: tuple[int | None, int]) -> None:
    check("adaptive_avg_pool", [x], F.adaptive_avg_pool2d(x, size), size=size, **close(x))
    check("adaptive_max_pool", [x], F.adaptive_max_pool2d(x, size), size=size)


def test_other_ranks(check: Check) -> None:
    x = torch.randn(2, 3, 5, 6, 7)
    check("max_pool", [x], F.max_pool3d(x, 3, 2, 1), window=(3, 3, 3), stride=(2, 2, 2), padding=(1, 1, 1))
    check("avg_pool", [x], F.avg_pool3d(x, 2), window=(2, 2, 2))
    line = x[:, :, 0, 0]
    check("max_pool", [line], F.max_pool1d(line, 2, 2, 1), window=(2,), stride=(2,), padding=(1,))
    check("max_pool", [line[0]], F.max_pool1d(line[0], 2), window=(2,))
    check("adaptive_avg_pool", [line], F.adaptive_avg_pool1d(line, 3), size=(3,))


def test_integers(check: Check) -> None:
    x = torch.randint(-9, 9, (2, 3, 6, 7))
    check("max_pool", [x], F.max_pool2d(x, 3, 2, 1), window=(3, 3), stride=(2, 2), padding=(1, 1))


def test_empty_batch(check: Check) -> None:
    x = torch.zeros(0, 3, 6, 6)
    check("max_pool", [x], F.max_pool2d(x, 2), window=(2, 2))
    check("avg_pool", [x], F.avg_pool2d(x, 2), window=(2, 2))
