"""`torch.compile(backend="bough")` as its users meet it: whole models, sizes that vary, control flow, layers left in training mode."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch._dynamo
from against_eager import assert_eager
from torch import nn
from torch._higher_order_ops import while_loop

from bough.bench.zoo.dynamic import DYNAMIC
from bough.bench.zoo.static import STATIC

STRICT = {"threads": 1, "fallback": False}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def check(module: Callable[..., Any], *calls: tuple[Any, ...], **options: Any) -> int:
    """The compiled module agrees with eager on each call; gives the number of graphs that Dynamo had compiled."""
    fast = torch.compile(module, backend="bough", options=STRICT, **options)
    for args in calls:
        assert_eager(fast(*args), module, args)
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


@pytest.mark.parametrize("name", ["dlrm", "llama-decode"])
def test_a_whole_network_is_one_graph_for_all_batches(name: str) -> None:
    """The first call has its own sizes; those that differ afterwards are symbolic."""
    entry = STATIC[name]
    calls = [entry.inputs(batch, small=True) for batch in (2, 3, 5, 4)]
    assert check(entry.network(small=True), *calls, fullgraph=True) == 2


@pytest.mark.parametrize("name", ["mixture-of-experts", "captioning"])
def test_networks_that_decide_are_left_in_pieces(name: str) -> None:
    network = DYNAMIC[name].network("small")
    assert check(network.module, *(network.inputs(n) for n in range(3))) > 0


def test_marked_sizes_have_one_graph_from_the_start() -> None:
    calls = [torch.randn(n, 8) for n in (5, 2, 64, 33)]
    for x in calls:
        torch._dynamo.mark_dynamic(x, 0, min=2, max=64)
    assert check(nn.Linear(8, 4), *((x,) for x in calls), fullgraph=True) == 1


def test_sizes_that_only_a_guard_makes_a_number() -> None:
    """After a graph break Dynamo does not know the size of pictures, but that a layer behind them fits."""

    class Exits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(nn.Conv2d(c, 8, 3, padding=1) for c in (3, 8))
            self.heads = nn.ModuleList(nn.Linear(n, 4) for n in (8 * 16, 8 * 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for block, head in zip(self.blocks, self.heads):
                x = nn.functional.max_pool2d(block(x), 2)
                scores = head(x.flatten(1))
                if scores.max() > 1e9:
                    break
            return scores

    check(Exits().eval(), *((torch.randn(n, 3, 8, 8),) for n in (2, 3, 5)))


def test_control_flow_of_torch_is_part_of_the_graph() -> None:
    def network(x: torch.Tensor) -> torch.Tensor:
        x = torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))
        return while_loop(lambda x: x.abs().sum() < 100, lambda x: (x * 2,), (x,))[0]

    check(network, (torch.ones(3),), (-torch.ones(3),), fullgraph=True)


def test_control_flow_of_python_is_refused_by_dynamo_where_one_graph_is_wanted() -> None:
    def branch(x: torch.Tensor) -> torch.Tensor:
        return x + 1 if x.sum() > 0 else x - 1

    with pytest.raises(torch._dynamo.exc.Unsupported, match="Data-dependent branching"):
        check(branch, (torch.ones(3),), fullgraph=True)


@torch._dynamo.config.patch(capture_scalar_outputs=True)
def test_numbers_that_are_computed() -> None:
    assert check(lambda x: x * x.sum().item(), (torch.randn(3),), (torch.randn(3),), fullgraph=True) == 1


def test_a_layer_in_training_mode_is_named_and_runs_in_eager_mode() -> None:
    module = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Dropout(0.5)))
    fast, x = torch.compile(module, backend="bough"), torch.randn(4, 8)
    with pytest.warns(UserWarning, match=r"(?s)BGH-TRAIN-001.*1\.0 \(Dropout\)"):
        torch.manual_seed(1)
        got = fast(x)
    torch.manual_seed(1)
    assert torch.equal(got, module(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module.eval()
        assert_eager(fast(x), module, (x,))


def test_nothing_in_a_batch() -> None:
    check(nn.Linear(8, 8), (torch.randn(0, 8),))
