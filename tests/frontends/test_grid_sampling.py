"""Images read at computed places, with NaN and infinities on both sides."""

from __future__ import annotations

import pytest
import torch
from comparing import check
from torch.nn import functional as F

PADDINGS = ("zeros", "border", "reflection")


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_images(mode: str, padding: str, align_corners: bool) -> None:
    torch.manual_seed(0)
    image, grid = torch.randn(2, 3, 5, 7), 2.5 * torch.rand(2, 3, 4, 2) - 1.25
    image[0, 0, 0, 0], image[1, 1, 2, 2] = torch.nan, torch.inf  # what is read in place of elements outside must not show
    grid[0, 0, 0, 0], grid[0, 1, 1], grid[0, 1, 2], grid[1, 0, 1, 1] = torch.nan, -1.0, 1.0, torch.inf
    check(lambda x, g: F.grid_sample(x, g, mode, padding, align_corners), image, grid)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_volumes(mode: str, padding: str) -> None:
    torch.manual_seed(0)
    volume, grid = torch.randn(2, 3, 4, 5, 6), 2.5 * torch.rand(2, 3, 4, 5, 3) - 1.25
    check(lambda x, g: F.grid_sample(x, g, mode, padding, align_corners=False), volume, grid)


def test_sizes_of_the_call() -> None:
    dynamic = {"x": {0: "batch", 2: "height"}, "g": {0: "batch", 1: "rows"}}
    sizes = [(2, 5, 3), (1, 2, 6), (3, 9, 1)]
    made = [(torch.randn(n, 3, h, 4), 2 * torch.rand(n, r, 3, 2) - 1) for n, h, r in sizes]
    check(lambda x, g: F.grid_sample(x, g, align_corners=False), *made[0], dynamic=dynamic, also=made[1:])
