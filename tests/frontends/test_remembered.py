"""Loops inside of loops begin with what they carried when they were last traced."""

from __future__ import annotations

import pytest
import torch
from comparing import call, compare
from torch import Tensor, nn

from bough.frontends.staging import carried, export_module


class Nested(nn.Module):
    """Four loops inside of each other that carry tensors, numbers, what is in lists and, the outermost, a size that grows."""

    def forward(self, x: Tensor) -> tuple[Tensor, int, list[Tensor]]:
        rows, last, total = x, [x.sum(), x.max()], 0
        while total < 30:
            state = x
            while last[0] < 3:
                n = 0
                while n < 3:
                    state = state * 3
                    while state.abs().sum() > 1:
                        state = state / 2
                        last[1] = last[1] + state.sum()
                        total += 1
                    n += 2
                    if last[1] > 6:
                        break
                last[0] = last[0] + n
            last[0] = last[1] - 4
            rows = torch.cat([rows, state])
            total += 1
        return rows, total, last


def test_inner_loops_are_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries, attempt = [0], carried._attempt

    def counted(loop: carried.Loop) -> tuple[bool, object]:
        tries[0] += 1
        return attempt(loop)

    monkeypatch.setattr(carried, "_attempt", counted)
    imported = export_module(Nested(), (torch.randn(4),))
    assert tries[0] < 80  # 51; 195 where nothing is remembered
    for seed in range(12):
        x = torch.randn(4, generator=torch.Generator().manual_seed(seed)) * 2
        compare(call(imported, x), Nested()(x))


class Collecting(nn.Module):
    """A loop that fills two lists."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rows, sums = [], []
        while True:
            x = x * 1.5
            rows.append(x)
            sums.append(x.sum())
            if x.abs().sum() > 9 or len(sums) > 11:
                break
        return torch.stack(rows), torch.stack(sums)


def test_lists_grow_from_the_second_try_on(monkeypatch: pytest.MonkeyPatch) -> None:
    tries, attempt = [0], carried._attempt

    def counted(loop: carried.Loop) -> tuple[bool, object]:
        tries[0] += 1
        return attempt(loop)

    monkeypatch.setattr(carried, "_attempt", counted)
    imported = export_module(Collecting(), (torch.randn(4),))
    assert tries[0] == 3
    for seed in range(6):
        x = torch.randn(4, generator=torch.Generator().manual_seed(seed))
        compare(call(imported, x), Collecting()(x))


class Differing(nn.Module):
    """The inner loop carries something else each time that the outer one is tried: what it remembers does not hold."""

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        n, y, seen = 0, x, None
        while n < 9:
            inner = [x]
            while y.sum() < 5:
                y = y + 1
                inner.append(y) if seen is None else inner.insert(0, y)
                n += 1
            y = y - torch.stack(inner).mean(0)
            seen = y if n > 3 else seen
            n += 1
        return y, n


def test_what_does_not_hold_is_found_out() -> None:
    imported = export_module(Differing(), (torch.randn(3),))
    for seed in range(12):
        x = torch.randn(3, generator=torch.Generator().manual_seed(seed)) * 2
        compare(call(imported, x), Differing()(x))
