"""Which kernels take their samples in turn or apart, and that nobody can tell from the results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bough
from bough.ir.expr import Extent
from bough.ir.sequence import Apart, Repeat, Sequence, kernels
from bough.pipeline.passes import Pass
from bough.pipeline.watchers import Verify
from bough.targets import Target, host
from bough.targets.host import with_cache_sizes


class Network(nn.Module):
    def __init__(self, kernel: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, kernel, padding=1)
        self.deep, self.wide = nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.Conv2d(16, 48, 1)
        self.last, self.head = nn.Conv2d(48, 48, 3, padding=1), nn.Linear(48, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        y = self.wide(torch.relu(self.deep(x)) + x)
        return self.head(torch.relu(self.last(y)).mean((2, 3)))


class Watch:
    """The sequence after the choice."""

    sequence: Sequence

    def after(self, step: Pass, value: Any, seconds: float) -> None:
        if step.name == "take samples in turn":
            self.sequence = value

    def loops(self) -> list[int]:
        """Kernels in each loop."""
        return [len(kernels((s,))) for s in self.sequence.steps if isinstance(s, (Repeat, Apart))]

    def apart(self) -> list[tuple[Extent, int]]:
        """Samples and rooms where threads take samples of their own."""
        return [(s.count, s.rooms) for s in self.sequence.steps if isinstance(s, Apart)]


def small_caches(part: int = 1) -> Target:
    """This machine, had it caches for (part of) a sample of the network above, but not for two, and a slow memory."""
    machine = host()
    memories = with_cache_sizes(machine.memories, {"l1": (1 << 12) // part, "l2": (1 << 16) // part, "l3": (1 << 18) // part})
    return replace(machine, memories=tuple(replace(m, bandwidth=0.1) if m.kind == "memory" else m for m in memories))


def compiled(x: Tensor, watch: Watch, threads: int = 1, **options: Any) -> Any:
    torch.manual_seed(0)
    return bough.compile(Network().eval(), (x,), threads=threads, cache=False, watchers=[watch], **options)


def test_samples_run_in_turn_where_they_leave_the_caches_together() -> None:
    x, watch, machine = torch.randn(4, 3, 20, 22), Watch(), host()
    compiled(x, watch, target=replace(machine, memories=with_cache_sizes(machine.memories, {"l2": 1 << 25})))
    assert watch.loops() == []
    compiled(x, watch, target=small_caches())
    assert sum(watch.loops()) >= 4


@pytest.mark.parametrize("threads", [1, 3])
def test_rows_have_the_bits_they_have_alone(threads: int) -> None:
    x, watch = torch.randn(5, 3, 19, 22), Watch()
    f, alone = compiled(x, watch, threads, target=small_caches()), compiled(x[:1], Watch(), 2)
    assert watch.loops()
    y = f(x)
    assert all(torch.equal(y[n : n + 1], alone(x[n : n + 1])) for n in range(5))


@pytest.mark.parametrize(("samples", "threads", "rooms"), [(8, 4, 4), (8, 3, 3), (5, 4, 0), (2, 4, 0), (9, 3, 3), (64, 4, 4)])
def test_threads_take_samples_of_their_own_where_none_waits_long(samples: int, threads: int, rooms: int) -> None:
    x, watch = torch.randn(samples, 3, 19, 22), Watch()
    f, alone = compiled(x, watch, threads, target=small_caches()), compiled(x[:1], Watch(), 2)
    assert watch.apart() == ([(samples, rooms)] if rooms else [])
    y = f(x)
    assert all(torch.equal(y[n : n + 1], alone(x[n : n + 1])) for n in range(samples))


def test_samples_apart_mean_the_same_at_every_level() -> None:
    """Also in Loops, where the interpreter takes shares, and what is parallel in them, in a random order."""
    x, target, watch = torch.randn(4, 3, 4, 4), small_caches(32), Watch()
    torch.manual_seed(0)
    network = Network().eval()
    f = bough.compile(network, (x,), threads=2, cache=False, watchers=[watch, Verify(3, target)], target=target)
    assert watch.apart() == [(4, 2)]
    torch.testing.assert_close(f(x), network(x))
    rows = f.explain().rows
    assert all(r.runs in (1, 4) for r in rows) and any(r.runs == 4 for r in rows)


@pytest.mark.parametrize("threads", [1, 4])
def test_the_number_of_samples_may_be_known_at_the_call_alone(threads: int) -> None:
    x, watch = torch.randn(8, 3, 20, 22), Watch()
    f = compiled(x, watch, threads, target=small_caches(), dynamic={"x": {0: "batch"}})
    assert watch.loops() and (threads == 1 or watch.apart()[0][1] == 4)
    y = f(x)
    for n in (1, 2, 3, 19):
        z = torch.cat([x, x, x])[:n]
        assert torch.equal(f(z), torch.cat([y, y, y])[:n])
    assert {r.runs for r in f.explain().rows} <= {1, 8}


def test_samples_of_sizes_known_at_the_call_alone_stay_off_rooms() -> None:
    x, watch, width = torch.randn(8, 3, 19, 22), Watch(), {"x": {3: "w"}}
    f, alone = compiled(x, watch, 4, target=small_caches(), dynamic=width), compiled(x[:1], Watch(), 2, dynamic=width)
    assert watch.apart() == []
    y = f(x)
    assert all(torch.equal(y[n : n + 1], alone(x[n : n + 1])) for n in range(8))
    assert f(x[..., :9]).shape == (8, 7)


def test_wide_products_keep_their_samples_together() -> None:
    layers = nn.Sequential(*(m for _ in range(3) for m in (nn.Linear(512, 512), nn.ReLU())))
    watch = Watch()
    bough.compile(layers.eval(), (torch.randn(64, 512),), threads=2, cache=False, watchers=[watch], target=small_caches())
    assert watch.loops() == []


class Attention(nn.Module):
    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        y = nn.functional.scaled_dot_product_attention(torch.sin(q) * 2, k.cumsum(-1), v)
        return torch.softmax(y.cumsum(2), -1) @ v.transpose(-1, -2)


@pytest.mark.parametrize("keys", [37, 300])
def test_chains_keep_the_order_of_their_sums(keys: int) -> None:
    q, k, v = torch.randn(4, 2, 37, 16), torch.randn(4, 2, keys, 16), torch.randn(4, 2, keys, 16)
    target = small_caches()
    one, three, large = (
        bough.compile(Attention(), (q, k, v), threads=n, cache=False, target=t) for n, t in ((1, target), (3, target), (2, host()))
    )
    y = large(q, k, v)
    assert torch.equal(one(q, k, v), y) and torch.equal(three(q, k, v), y)
    alone = bough.compile(Attention(), (q[:1], k[:1], v[:1]), threads=2, cache=False)
    assert torch.equal(alone(q[2:3], k[2:3], v[2:3]), y[2:3])
