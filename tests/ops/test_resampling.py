"""Resampling, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

Check = Callable[..., None]


@pytest.fixture
def x() -> torch.Tensor:
    torch.manual_seed(3)
    return torch.randn(2, 3, 5, 7)


@pytest.mark.parametrize("size", [(10, 14), (5, 7), (3, 2), (8, 11), (1, 1)])
def test_upsample(check: Check, x: torch.Tensor, size: tuple[int, int]) -> None:
    check("upsample_nearest", [x], F.interpolate(x, size), size=size)
    check("upsample_nearest", [x[:, :, 0]], F.interpolate(x[:, :, 0], size[1]), size=size[1:])
    for corners in (False, True):
        want = F.interpolate(x, size, mode="bilinear", align_corners=corners)
        check("upsample_linear", [x], want, size=size, align_corners=corners, rtol=1e-4)
        wide = x.double()
        want = F.interpolate(wide, size, mode="bilinear", align_corners=corners)
        check("upsample_linear", [wide], want, size=size, align_corners=corners)


def test_upsample_other_ranks(check: Check, x: torch.Tensor) -> None:
    want = F.interpolate(x[:, :, 0], 9, mode="linear")
    check("upsample_linear", [x[:, :, 0]], want, size=(9,))
    check("upsample_linear", [x[None]], F.interpolate(x[None], (4, 6, 5), mode="trilinear"), size=(4, 6, 5))
    check("upsample_nearest", [x[None]], F.interpolate(x[None], (4, 6, 5)), size=(4, 6, 5))


def test_pixel_shuffle(check: Check) -> None:
    x = torch.randn(2, 12, 3, 5)
    check("pixel_shuffle", [x], F.pixel_shuffle(x, 2), factor=2, dynamic=False)
