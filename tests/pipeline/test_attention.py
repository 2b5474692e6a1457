"""Chains of sums as one phase: what they give on the machine, for shapes and forms of attention of all kinds."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan, sqrt

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import bough
from bough.ir.sequence import Group, Sequence, walk
from bough.pipeline.passes import Pass
from bough.pipeline.samples import SAMPLE_PASSES

Inputs = tuple[Tensor, ...]


class Function(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Tensor) -> Tensor:
        return self.function(*args)


class Nested:
    """A watcher that keeps the private arrays of the groups with rows of their own, as scheduled."""

    def __init__(self) -> None:
        self.private: list[str] = []

    def after(self, step: Pass, value: object, seconds: float) -> None:
        sequence = getattr(value, "sequence", None)
        if step.name == "choose schedules" and isinstance(sequence, Sequence):
            self.private = [n for s in walk(sequence.steps) if isinstance(s, Group) for n in s.private]


def heads(batch: int, count: int, queries: int, keys: int, width: int, out: int | None = None, groups: int | None = None) -> Inputs:
    groups = groups or count
    return (
        torch.randn(batch, count, queries, width),
        torch.randn(batch, groups, keys, width),
        torch.randn(batch, groups, keys, out or width),
    )


def by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.transpose(-1, -2) / sqrt(q.shape[-1]), -1) @ v


def rescaled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention in other words than softmax's."""
    scores = torch.einsum("bhte,bhse->bhts", q, k)
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    return torch.einsum("bhts,bhsv->bhtv", powers, v) * powers.sum(-1, keepdim=True).reciprocal()


def biased(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def grouped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)


def projected(x: Tensor, w: Tensor) -> Tensor:
    """Heads as they come out of a projection, and back."""
    q, k, v = (p.unflatten(-1, (4, -1)).transpose(1, 2) for p in (x @ w).chunk(3, -1))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)


CASES: dict[str, tuple[Callable[..., Tensor], Inputs]] = {
    "plain": (F.scaled_dot_product_attention, heads(1, 4, 64, 64, 32)),
    "odd": (F.scaled_dot_product_attention, heads(2, 3, 37, 53, 19, 23)),
    "a row over": (causal, heads(1, 2, 65, 65, 16)),
    "few queries": (F.scaled_dot_product_attention, heads(3, 2, 5, 70, 8)),
    "one query": (F.scaled_dot_product_attention, heads(2, 4, 1, 257, 64)),
    "by hand": (by_hand, heads(2, 4, 33, 49, 16)),
    "in other words": (rescaled, heads(1, 4, 33, 49, 16)),
    "a bias for each row": (biased, (*heads(2, 4, 40, 56, 16), torch.randn(40, 56))),
    "keys left out": (biased, (*heads(2, 4, 40, 56, 16), torch.rand(2, 1, 1, 56) > 0.3)),
    "nothing to attend to": (biased, (*heads(1, 2, 20, 24, 8), torch.rand(20, 24) > 0.9)),
    "grouped": (grouped, heads(2, 6, 48, 48, 16, groups=2)),
    "projected": (projected, (torch.randn(2, 50, 24), torch.randn(24, 72) / 5)),
    "many keys": (F.scaled_dot_product_attention, heads(1, 1, 16, 3000, 8)),
}


@pytest.mark.parametrize("name", CASES)
def test_attention(name: str) -> None:
    function, args = CASES[name]
    module, nested = Function(function), Nested()
    compiled = bough.compile(module, args, threads=2, cache=False, watchers=[nested])
    y = compiled(*args)
    wide = [a.double() if a.is_floating_point() else a for a in args]
    exact, eager = module(*wide), module(*args)
    exact = torch.nan_to_num(exact, nan=0.0)  # where nothing is kept PyTorch's versions differ
    error = (y.double() - exact).abs().max()
    assert error <= 2 * (torch.nan_to_num(eager, nan=0.0).double() - exact).abs().max() + 1e-6
    assert nested.private, "the scores are stored"
    alone = bough.compile(module, args, threads=1, cache=False)
    assert torch.equal(y, alone(*args))


def test_a_row_has_the_bits_that_it_has_alone() -> None:
    args = heads(3, 4, 37, 53, 16)
    dynamic = {name: {0: "batch"} for name in ("q", "k", "v")}

    class Attention(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, k, v)

    compiled = bough.compile(Attention(), args, dynamic=dynamic, threads=2, cache=False)
    whole = compiled(*args)
    for n in range(3):
        assert torch.equal(whole[n : n + 1], compiled(*(a[n : n + 1] for a in args)))


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_what_is_no_number(value: float) -> None:
    q, k, v = heads(1, 2, 33, 20, 8)
    q[0, 0, 5, 3], k[0, 1, 7, 2], v[0, 0, 2, 1] = value, value, value
    compiled = bough.compile(Function(by_hand), (q, k, v), threads=1, cache=False)
    torch.testing.assert_close(compiled(q, k, v), by_hand(q, k, v), equal_nan=True, rtol=1e-4, atol=1e-5)


def test_no_keys_and_no_queries() -> None:
    for queries, keys in ((3, 0), (0, 3)):
        args = heads(1, 2, queries, keys, 8)
        compiled = bough.compile(Function(F.scaled_dot_product_attention), args, threads=1, cache=False)
        assert torch.equal(compiled(*args), torch.zeros(1, 2, queries, 8))


@pytest.mark.parametrize("causal", [False, True])
def test_lengths_that_are_known_when_it_runs(causal: bool) -> None:
    class Attention(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

    nested = Nested()
    dynamic = {name: {2: "length"} for name in ("q", "k", "v")}
    compiled = bough.compile(Attention(), heads(2, 3, 8, 8, 16), dynamic=dynamic, threads=2, cache=False, watchers=[nested])
    assert nested.private
    for length in (1, 2, 15, 16, 17, 64, 65, 131):
        q, k, v = heads(2, 3, length, length, 16)
        torch.testing.assert_close(compiled(q, k, v), Attention()(q, k, v), rtol=1e-5, atol=1e-6)


def test_a_cache_that_grows() -> None:
    class Step(nn.Module):
        def forward(self, q: Tensor, past: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
            keys = torch.cat([past, new], 2)
            return F.scaled_dot_product_attention(q, keys, keys), keys

    q, new = torch.randn(1, 4, 1, 32), torch.randn(1, 4, 1, 32)
    compiled = bough.compile(
        Step(), (q, torch.randn(1, 4, 9, 32), new), dynamic={"past": {2: "length"}}, threads=2, cache=False
    )
    for length in (1, 7, 64, 300):
        past = torch.randn(1, 4, length, 32)
        for y, z in zip(compiled(q, past, new), Step()(q, past, new)):
            torch.testing.assert_close(y, z, rtol=1e-5, atol=1e-6)


def test_samples_run_their_kernels_one_by_one() -> None:
    assert "nest chains" not in {p.name for p in SAMPLE_PASSES}
