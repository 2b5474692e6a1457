"""Softmax, normalizations and attention, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

Check = Callable[..., None]
FLOATS = {torch.float32: 2e-5, torch.float64: 1e-12, torch.bfloat16: 3e-2}
INF, NAN = float("inf"), float("nan")


@pytest.fixture(params=FLOATS)
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    torch.manual_seed(11)
    kind: torch.dtype = request.param
    return kind


def close(dtype: torch.dtype) -> dict[str, float]:
    return {"rtol": FLOATS[dtype], "atol": FLOATS[dtype]}


def parameters(shape: Any, dtype: torch.dtype) -> list[tuple[torch.Tensor | None, torch.Tensor | None]]:
    w, b = torch.randn(shape, dtype=dtype), torch.randn(shape, dtype=dtype)
    return [(w, b), (w, None), (None, b), (None, None)]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax(check: Check, dtype: torch.dtype, axis: int) -> None:
    x = torch.randn(4, 3, 5, dtype=dtype) * 9
    check("softmax", [x], x.softmax(axis), axis=axis, **close(dtype))
    check("log_softmax", [x], x.log_softmax(axis), axis=axis, **close(dtype))
    x[0, 0, 0], x[1, 1, 1], x[2, 2, 2], x[3] = -INF, INF, NAN, -INF
    check("softmax", [x], x.softmax(axis), axis=axis, **close(dtype))
    check("log_softmax", [x], x.log_softmax(axis), axis=axis, **close(dtype))
    check("softmax", [x[:0]], x[:0].softmax(axis), axis=axis)
    check("log_softmax", [x[:0]], x[:0].log_softmax(axis), axis=axis)


def test_softmax_of_large_numbers(check: Check) -> None:
    x = torch.tensor([[1e4, 1e4 - 1, -1e4], [-3e38, 3e38, 0.0]])
    check("softmax", [x], x.softmax(1), axis=1)
    check("log_softmax", [x], x.log_softmax(1), axis=1)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_layer_norm(check: Check, dtype: torch.dtype, count: int) -> None:
    x = torch.randn(4, 3, 5, dtype=dtype) + 3
    shape = x.shape[3 - count :]
    for w, b in parameters(shape, dtype):
        check("layer_norm", [x, w, b], F.layer_norm(x, shape, w, b, 1e-4), axes=count, eps=1e-4, **close(dtype))
    named = tuple(range(3 - count, 3))
    check("layer_norm", [x, None, None], F.layer_norm(x, shape), axes=named, eps=1e-5, **close(dtype))
    if count < 3:
        check("layer_norm", [x[:0], None, None], F.layer_norm(x[:0], shape), axes=count, eps=1e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_rms_norm(check: Check, dtype: torch.dtype, count: int) -> None:
    x = torch.randn(4, 3, 5, dtype=dtype)
    shape = x.shape[3 - count :]
    w = torch.randn(shape, dtype=dtype)
    check("rms_norm", [x, w], F.rms_norm(x, shape, w, 1e-3), axes=count, eps=1e-3, **close(dtype))
    check("rms_norm", [x, None], F.rms_norm(x, shape), axes=count, eps=None, **close(dtype))


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_group_norm(check: Check, dtype: torch.dtype, groups: int, rank: int) -> None:
    if groups == 6 and rank == 0:
        pytest.skip("PyTorch refuses groups of one element")
    x = torch.randn(2, 6, *(5, 3)[:rank], dtype=dtype)
    for w, b in parameters(6, dtype):
        want = F.group_norm(x, groups, w, b, 1e-4)
        check("group_norm", [x, w, b], want, groups=groups, eps=1e-4, fixed=frozenset({6}), **close(dtype))


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_batch_norm(check: Check, dtype: torch.dtype, rank: int) -> None:
    x = torch.randn(2, 6, *(5, 3, 4)[:rank], dtype=dtype)
    mean, var = torch.randn(6, dtype=dtype), torch.rand(6, dtype=dtype) + 0.2
    for w, b in parameters(6, dtype):
        want = F.batch_norm(x, mean, var, w, b, False, 0.1, 1e-3)
        check("batch_norm", [x, mean, var, w, b], want, eps=1e-3, **close(dtype))


def attend(check: Check, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None, **a: Any) -> None:
    dynamic = a.pop("dynamic", True)
    options = {"is_causal": a.get("causal", False), "scale": a.get("scale"), "enable_gqa": a.pop("shared", False)}
    want = F.scaled_dot_product_attention(q, k, v, mask, **options)
    check("attention", [q, k, v, mask], want, dynamic=dynamic, **a, **close(q.dtype))


def heads(dtype: torch.dtype, *batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return (
        torch.randn(*batch, 5, 6, dtype=dtype), torch.randn(*batch, 7, 6, dtype=dtype), torch.randn(*batch, 7, 3, dtype=dtype)
    )  # fmt: skip


@pytest.mark.parametrize("batch", [(), (4,), (2, 4), (2, 1, 3)])
def test_attention(check: Check, dtype: torch.dtype, batch: tuple[int, ...]) -> None:
    q, k, v = heads(dtype, *batch)
    attend(check, q, k, v)
    attend(check, q, k, v, causal=True, scale=0.3)
    kept = torch.rand(5, 7) > 0.4
    attend(check, q, k, v, kept)
    attend(check, q, k, v, torch.randn(5, 7, dtype=dtype))


def test_attention_masks(check: Check, dtype: torch.dtype) -> None:
    q, k, v = heads(dtype, 2, 4)
    attend(check, q, k, v, torch.randn(2, 1, 5, 7, dtype=dtype))
    attend(check, q, k, v, torch.rand(2, 1, 1, 7) > 0.3)
    kept = torch.rand(5, 7) > 0.4
    kept[2] = False
    attend(check, q, k, v, kept)
    added = torch.zeros(5, 7, dtype=dtype)
    added[3] = -INF
    attend(check, q, k, v, added)


def test_attention_of_nothing(check: Check) -> None:
    q, k, v = heads(torch.float32, 2, 4)
    check("attention", [q, k[:, :, :0], v[:, :, :0]], torch.zeros(2, 4, 5, 3))
    check("attention", [q[:0], k[:0], v[:0]], torch.zeros(0, 4, 5, 3))


@pytest.mark.parametrize("shared", [1, 2, 4])
def test_grouped_query_heads(check: Check, dtype: torch.dtype, shared: int) -> None:
    q, _, _ = heads(dtype, 2, 4)
    _, k, v = heads(dtype, 2, 4 // shared)
    attend(check, q, k, v, shared=True, dynamic=False)
    attend(check, q, k, v, torch.rand(5, 7) > 0.4, shared=True, dynamic=False)
