"""Softmax over many keys in turns: the same numbers, NaN and infinities in the same places, and no row of scores kept whole."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from lowered import Function, fused
from torch import Tensor
from torch.nn import functional as F

import bough
from bough.graph_passes.lay_out_rows import lay_out_rows
from bough.graph_passes.nest import nest
from bough.graph_passes.online import BLOCK, LONGEST, online
from bough.ir.interpret_sequence import run_sequence
from bough.ir.sequence import Group, Repeat, Sequence, walk
from bough.ir.verify_sequence import verify_sequence


def in_turns(sequence: Sequence) -> bool:
    return any(isinstance(s, Repeat) for s in walk(sequence.steps))


def unshifted(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    scores = q @ k.transpose(-1, -2) + mask
    return torch.exp(scores - scores.amax(-1, keepdim=True)) @ v


def softmax(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return torch.softmax(q @ k.transpose(-1, -2) / 3 + mask, -1) @ v


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def strange_mask(queries: int, keys: int) -> Tensor:
    """Rows without keys, with late keys only, with a NaN, with infinities."""
    mask = torch.randn(queries, keys)
    mask[1] = -math.inf
    mask[2, : keys - 3] = -math.inf
    mask[3, 4] = math.nan
    mask[4, keys // 2] = math.inf
    return mask


@pytest.mark.parametrize("function", [attention, softmax, unshifted])
@pytest.mark.parametrize(("keys", "block"), [(23, 8), (24, 8), (22, 11), (31, 6)])
def test_turns_mean_what_one_piece_means(function: Callable[..., Tensor], keys: int, block: int) -> None:
    args = (torch.randn(2, 3, 5, 4), torch.randn(2, 3, keys, 4), torch.randn(2, 3, keys, 6), strange_mask(5, keys))
    whole = fused(function, *args)
    turns = online(whole, longest=10, block=block)
    verify_sequence(turns)
    assert in_turns(turns)
    arrays = [a.numpy() for a in args]
    first, then = (run_sequence(s, arrays)[0] for s in (whole, turns))
    np.testing.assert_allclose(then, first, rtol=2e-5, atol=1e-6)
    nested = nest(lay_out_rows(turns))
    verify_sequence(nested)
    np.testing.assert_array_equal(run_sequence(nested, arrays)[0], then)
    assert not any(keys in o.shape for o in nested.temporaries.values())
    assert all(any("scores" in n or "add" in n for n in g.private) for g in walk(nested.steps) if isinstance(g, Group))


def limited(more: int) -> Callable[..., Tensor]:
    def function(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.transpose(-1, -2)
        row, key = torch.arange(q.shape[-2])[:, None], torch.arange(k.shape[-2])
        scores = torch.where(key <= row + more, scores, -math.inf)
        return torch.exp(scores - scores.amax(-1, keepdim=True)) @ v

    return function


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def causal_softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    later = torch.arange(k.shape[-2]) > torch.arange(q.shape[-2])[:, None]
    return torch.softmax((q @ k.transpose(-1, -2)).masked_fill(later, -math.inf), -1) @ v


@pytest.mark.parametrize("function", [causal_attention, causal_softmax, limited(0), limited(5), limited(-3)])
@pytest.mark.parametrize(("rows", "keys"), [(23, 23), (24, 24), (12, 31), (31, 12), (17, 8), (9, 40)])
def test_rows_with_keys_of_their_own(function: Callable[..., Tensor], rows: int, keys: int) -> None:
    args = tuple(torch.randn(2, 3, n, 4) for n in (rows, keys, keys))
    whole = fused(function, *args)
    turns = online(whole, longest=100, block=4, limited=7)
    verify_sequence(turns)
    assert in_turns(turns)
    arrays = [a.numpy() for a in args]
    first, then = (run_sequence(s, arrays)[0] for s in (whole, turns))
    np.testing.assert_allclose(then, first, rtol=2e-5, atol=1e-6)
    nested = nest(lay_out_rows(turns))
    verify_sequence(nested)
    np.testing.assert_array_equal(run_sequence(nested, arrays)[0], then)


@pytest.mark.parametrize("function", [causal_attention, causal_softmax, limited(0)])
def test_keys_that_no_row_of_a_part_has_are_left_out(function: Callable[..., Tensor]) -> None:
    q, k, v = (torch.randn(1, 1, 16, 4) for _ in range(3))
    v[0, 0, 15] = math.inf
    turns = online(fused(function, q, k, v), longest=100, block=4, limited=7)
    (result,) = run_sequence(turns, [a.numpy() for a in (q, k, v)])
    assert np.isfinite(result[0, 0, :12]).all() and not np.isfinite(result[0, 0, 12:]).any()


@pytest.mark.parametrize("causal", [False, True])
def test_few_keys_stay_in_one_piece(causal: bool) -> None:
    q, k, v = (torch.randn(1, 2, n, 4) for n in (5, 12, 12))
    sequence = fused(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal), q, k, v)
    assert not in_turns(online(sequence))
    assert in_turns(online(sequence, longest=11))


def test_exponentials_that_serve_something_else_stay() -> None:
    def both(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.transpose(-1, -2)
        powers = torch.exp(scores - scores.amax(-1, keepdim=True))
        return torch.sin(powers) @ v

    sequence = fused(both, torch.randn(2, 5, 4), torch.randn(2, 23, 4), torch.randn(2, 23, 6))
    assert not in_turns(online(sequence, longest=10))


@pytest.mark.parametrize("causal", [False, True])
def test_rows_are_those_of_other_batches_and_threads(causal: bool) -> None:
    torch.manual_seed(0)
    keys = LONGEST + BLOCK + 3
    function = Function(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal))
    args = tuple(torch.randn(2, 2, n, 16) for n in (300 if causal else 37, keys, keys))
    alone = tuple(a[1:] for a in args)
    both = bough.compile(function, args, threads=2)(*args)
    assert torch.equal(both[1:], bough.compile(function, alone, threads=1)(*alone))
    exact = function(*(a.double() for a in args))
    eager = (function(*args) - exact).abs().max()
    assert (both - exact).abs().max() <= 2 * eager
