"""Operators whose indices are data, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

Check = Callable[..., None]
FLOATS = [torch.float32, torch.float64, torch.bfloat16]


@pytest.fixture
def x() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(3, 5, 4)


@pytest.mark.parametrize("kind", [torch.int64, torch.int32])
def test_take(check: Check, x: torch.Tensor, kind: torch.dtype) -> None:
    i = torch.tensor([[0, 2, -1], [-4, 3, 1]], dtype=kind)
    check("take", [x, i], x[:, i.long()], axis=1)
    check("take", [x, i[0]], x[..., i[0].long()], axis=-1)
    check("take", [x, torch.tensor(-2, dtype=kind)], x[:, -2], axis=1)
    check("take", [x, i[:0]], x[:, i[:0].long()], axis=1)
    check("embedding", [x[0], i.abs()], x[0][i.abs().long()], padding_idx=1)
    for dtype in FLOATS:
        check("take", [x.to(dtype), i], x.to(dtype)[:, i.long()], axis=1)


def test_take_at(check: Check, x: torch.Tensor) -> None:
    for axis in range(3):
        check("take_at", [x, torch.tensor(2)], x.select(axis, 2), axis=axis)
    check("take_at", [x, torch.tensor(2, dtype=torch.int32)], x.select(-1, 2), axis=-1)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 2])
def test_embedding_bag(check: Check, x: torch.Tensor, mode: str, padding: int | None) -> None:
    """A list of nothing but padding, and an empty one, are 0."""
    indices, bounds = torch.tensor([0, 2, 2, 4, 1, 2, 2, 3]), torch.tensor([0, 3, 3, 5, 7, 8])

    def want(indices: torch.Tensor, bounds: torch.Tensor, factors: torch.Tensor | None) -> torch.Tensor:
        return F.embedding_bag(
            indices, x[0], bounds, mode=mode, include_last_offset=True, padding_idx=padding, per_sample_weights=factors
        )

    for factors in (None, torch.randn(8)) if mode == "sum" else (None,):
        expected = want(indices, bounds, factors)
        check("embedding_bag", [x[0], indices, bounds, factors], expected, mode=mode, padding=padding, dynamic=False)
        narrow = [x[0], indices.int(), bounds, factors]
        check("embedding_bag", narrow, expected, mode=mode, padding=padding, dynamic=False)


def test_gather(check: Check, x: torch.Tensor) -> None:
    for axis in range(-3, 3):
        i = torch.randint(0, x.shape[axis], (2, 3, 3))
        check("gather", [x, i], x.gather(axis, i), axis=axis)
    i = torch.randint(0, 5, (3, 7, 4))
    check("gather", [x, i], x.gather(1, i), axis=1)


def test_index(check: Check, x: torch.Tensor) -> None:
    i, j = torch.tensor([[0], [-1]]), torch.tensor([1, -2, 2])
    check("index", [x, i, j], x[i, j])
    check("index", [x, i, None, j], x[i, :, j])
    check("index", [x, None, i, j], x[:, i, j])
    check("index", [x, None, None, j], x[:, :, j])
    check("index", [x, i, j, j], x[i, j, j])
    four = torch.randn(2, 3, 4, 3)
    check("index", [four, None, j, None, j], four[:, j, :, j])
    check("index", [four, None, j, i], four[:, j, i])


@pytest.mark.parametrize("shape", [(3, 5, 4), (2, 3, 3), (3, 1, 4), (3, 0, 4)])
def test_scatter(check: Check, x: torch.Tensor, shape: tuple[int, ...]) -> None:
    modes = {"add": "sum", "prod": "prod", "max": "amax", "min": "amin"}
    for axis in range(3):
        updates = torch.randn(3, 5, 4)
        meeting = torch.randint(0, x.shape[axis], shape)
        for mode, name in modes.items():
            want = x.scatter_reduce(axis, meeting, updates, name)
            check("scatter", [x, meeting, updates], want, axis=axis, mode=mode, dynamic=False)
        apart = torch.rand(3, 5, 4).argsort(axis)[tuple(slice(n) for n in shape)]
        check("scatter", [x, apart, updates], x.scatter(axis, apart, updates), axis=axis)


def test_index_put(check: Check, x: torch.Tensor) -> None:
    i, j = torch.tensor([[0], [-1]]), torch.tensor([1, -2, 2])
    for values in (torch.randn(2, 3, 4), torch.randn(3, 1), torch.randn(())):
        check("index_put", [x, values, i, j], x.index_put((i, j), values))
        check("index_put", [x, values, i, j], x.index_put((i, j), values, accumulate=True), mode="add")
    wide, values = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 4)
    want = wide.clone()
    want[:, j % 3, j] = values
    check("index_put", [wide, values, None, j % 3, j], want)
    want = wide.clone()
    want[:, j % 3, :, j] = values[0, :, None].expand(3, 2, 4)[..., :1]
    check("index_put", [wide, values[0, :, None, :1], None, j % 3, None, j], want)
