"""The matrix products inside networks as PyTorch gives them, found by the one mechanism and proved on data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mapping_kernels import FMA, FMAVV, MATMUL
from torch import nn

from bough.frontends.torch_export import export
from bough.graph_passes.fuse import fuse
from bough.graph_passes.lower_program import lower_function
from bough.graph_passes.normalize import normalize
from bough.ir.expr import variables
from bough.ir.kernel import Kernel, Let
from bough.ir.sequence import expressions, kernels
from bough.mapping import check_mapping, enumerate_mappings
from bough.targets import Instruction


class Attention(nn.Module):
    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(q, k, v)


def products(module: nn.Module, *inputs: torch.Tensor) -> list[Kernel]:
    """The kernels of a network that sum products, as the pipeline schedules them."""
    imported = export(module.eval(), inputs)
    sequence = fuse(lower_function(imported.program.functions[imported.program.entry]))
    found = [normalize(k) for k in kernels(sequence.steps)]
    return [k for k in found if any(r.op == "sum" and "mul" in str(r.body) for _, r in k.reductions)]


def proved(kernel: Kernel, instruction: Instruction) -> int:
    """How many mappings there are; each is right."""
    found = enumerate_mappings(kernel, instruction)
    for mapping in found:
        assert check_mapping(kernel, mapping, np.random.default_rng(1), outside(kernel)), mapping
    return len(found)


def outside(kernel: Kernel) -> dict[str, int]:
    """A value for each scalar that the kernel is given, such as the time step."""
    used = {name for statement in kernel.body for e in expressions(statement) for name in variables(e)}
    own = {a.name for a in kernel.axes} | {s.name for s in kernel.body if isinstance(s, Let)}
    return dict.fromkeys(sorted(used - own), 1)


IMAGE = torch.zeros(2, 4, 5, 5)


@pytest.mark.parametrize(
    ("module", "inputs", "count"),
    [
        (nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 3)), (torch.zeros(4, 5),), 2),
        (nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, stride=2), nn.ReLU()), (IMAGE,), 1),
        (nn.Conv2d(4, 6, 3, groups=2, dilation=2), (IMAGE,), 1),
        (Attention(), (torch.zeros(2, 2, 5, 3), torch.zeros(2, 2, 6, 3), torch.zeros(2, 2, 6, 3)), 2),
        (nn.GRU(5, 7, batch_first=True), (torch.zeros(3, 4, 5),), 2),
        (nn.LSTM(5, 7, batch_first=True), (torch.zeros(3, 4, 5),), 2),
    ],
    ids=["mlp", "convolution", "grouped", "attention", "gru", "lstm"],
)
def test_products_are_found_in_networks(module: nn.Module, inputs: tuple[torch.Tensor, ...], count: int) -> None:
    found = products(module, *inputs)
    assert len(found) == count
    for kernel in found:
        assert proved(kernel, MATMUL)
        assert proved(kernel, FMA)


@pytest.mark.parametrize(("module", "gates"), [(nn.GRU(5, 7), 3), (nn.LSTM(5, 7), 4)], ids=["gru", "lstm"])
def test_gates_of_recurrent_cells_are_found_together(module: nn.Module, gates: int) -> None:
    cell = products(module, torch.zeros(4, 3, 5))[-1]
    assert max(len(m.parts) for m in enumerate_mappings(cell, MATMUL)) == gates


def test_depthwise_separable_convolution_in_a_network() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), nn.ReLU(), nn.Conv2d(4, 6, 1))
    depthwise, pointwise = products(network, IMAGE)
    assert enumerate_mappings(depthwise, MATMUL) == []
    assert proved(depthwise, FMAVV) and proved(depthwise, FMA)
    assert proved(pointwise, MATMUL) and proved(pointwise, FMA)
