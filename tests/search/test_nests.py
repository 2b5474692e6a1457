"""Rows of a group: as fine as what a thread keeps of them needs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import bough
from bough.ir.sequence import Group, walk
from bough.pipeline.passes import Pass


class Watch:
    """The groups that were scheduled."""

    groups: list[Group]

    def after(self, step: Pass, value: Any, seconds: float) -> None:
        if step.name == "choose schedules":
            self.groups = [s for s in walk(value.sequence.steps) if isinstance(s, Group) and s.private]


@pytest.mark.parametrize(("width", "rows"), [(66, 1), (402, 2)])
def test_rows_of_tiles_that_leave_the_cache_are_cut_into_parts(width: int, rows: int) -> None:
    torch.manual_seed(0)
    module, x, watch = nn.Conv2d(48, 64, 3).eval(), torch.randn(1, 48, 18, width), Watch()
    f = bough.compile(module, (x,), threads=2, cache=False, watchers=[watch])
    assert [len(g.rows) for g in watch.groups] == [rows]
    assert torch.equal(f(x), bough.compile(module, (x,), threads=1, cache=False)(x))
    with torch.inference_mode():
        torch.testing.assert_close(f(x), module(x))
