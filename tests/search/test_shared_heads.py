"""Heads that share keys: which head's keys are read is a quotient of the row, and vectors lie along the features all the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import bough
from bough.ir.expr import Var, add, floordiv, mod, mul
from bough.pipeline.passes import Pass
from bough.schedule.access import LARGE, strides


def test_a_quotient_leaves_the_other_strides_known() -> None:
    b, h, s, e = map(Var, "bhse")
    assert strides((8, 3, 256, 64), (b, floordiv(h, 3), s, e), set("bhse")) == {"b": 49152, "h": LARGE * 16384, "s": 64, "e": 1}
    assert strides((8, 192), (b, add(mul(floordiv(h, 3), 64), e)), set("bhe")) == {"b": 192, "h": LARGE * 64, "e": 1}
    assert strides((8, 192), (b, mod(e, 192)), set("be")) == {"b": 192, "e": LARGE}


class Word(nn.Module):
    """One word's attention to those before it and itself."""

    def forward(self, query: Tensor, past: Tensor, values: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        keys = torch.cat([past, key], 2)
        groups = query.shape[1] // key.shape[1]
        shared, seen = keys.repeat_interleave(groups, 1), values.repeat_interleave(groups, 1)
        return F.scaled_dot_product_attention(query, shared, seen), keys


class Watch:
    """The axes that vectors lie along in the products of scores."""

    axes: list[str]

    def after(self, step: Pass, value: Any, seconds: float) -> None:
        if step.name == "choose schedules":
            found = ((s.kernel, s.schedule.vector) for s in value.scheduled.values() if "scores" in s.kernel.name)
            self.axes = [v.axis if v else "" for k, v in found]


@pytest.mark.parametrize(("batch", "heads", "shared", "past"), [(1, 6, 2, 33), (3, 6, 2, 33), (2, 9, 3, 1), (2, 4, 4, 7)])
def test_words_attend_to_a_cache_of_shared_keys(batch: int, heads: int, shared: int, past: int) -> None:
    torch.manual_seed(0)
    shapes = [(heads, 1), (shared, past), (shared, past + 1), (shared, 1)]
    args = tuple(torch.randn(batch, *shape, 32) for shape in shapes)
    watch = Watch()
    f = bough.compile(Word(), args, threads=2, cache=False, watchers=[watch])
    assert watch.axes == ["e0"]
    exact = Word()(*(a.double() for a in args))
    for mine, eager, right in zip(f(*args), Word()(*args), exact, strict=True):
        assert (mine - right).abs().max() <= 2 * (eager - right).abs().max() + 1e-6
    alone = bough.compile(Word(), tuple(a[:1] for a in args), threads=1, cache=False)(*(a[:1] for a in args))
    assert all(torch.equal(a[:1], b) for a, b in zip(f(*args), alone, strict=True))
