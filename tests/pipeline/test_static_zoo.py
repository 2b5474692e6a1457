"""The static networks of the zoo, small, compiled: as right as eager PyTorch, whatever the batch."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

import bough
from bough.bench.dynamic_problem import arrays, in_float64
from bough.bench.zoo.static import STATIC

FEW = 16 * 2.0**-23
BATCH = 3


def deviation(given: list[Any], exact: list[Any]) -> float:
    """The root of the mean squared error, relative to that of the values."""
    errors = [np.square(a - b).sum() for a, b in zip(given, exact, strict=True)]
    return float(np.sqrt(sum(errors) / sum(np.square(b).sum() for b in exact)))


@pytest.mark.parametrize("name", STATIC)
def test_networks_are_as_exact_as_eager(name: str) -> None:
    entry = STATIC[name]
    module, args = entry.network(small=True), entry.inputs(BATCH, small=True)
    with torch.inference_mode():
        eager, exact = arrays(module(*args)), arrays(in_float64(copy.deepcopy(module), args))
    compiled = bough.compile(module, args, threads=1)
    given = arrays(compiled(*args))
    assert [a.shape for a in given] == [a.shape for a in eager]
    assert deviation(given, exact) <= 2 * deviation(eager, exact) + FEW


@pytest.mark.parametrize("name", ["vit-b", "dlrm", "autoencoder"])
def test_neither_threads_nor_the_rest_of_a_batch_change_a_row(name: str) -> None:
    entry = STATIC[name]
    module, args = entry.network(small=True), entry.inputs(BATCH, small=True)
    whole = bough.compile(module, args, threads=2)(*args)
    for row in range(BATCH):
        alone = tuple(x[:, row : row + 1] if x.dim() == 3 else x[row : row + 1] for x in args)
        assert torch.equal(bough.compile(module, alone, threads=1)(*alone), whole[row : row + 1])


def test_published_sizes() -> None:
    """Millions of parameters, as the papers and their code have them."""
    published = {
        "mobilenet-v1": 4.2, "mobilenet-v2": 3.5, "mobilenet-v3": 5.5, "efficientnet-b0": 5.3, "resnet-18": 11.7,
        "resnet-50": 25.6, "wide-resnet-50": 68.9, "vgg-16": 138.4, "convnext-t": 28.6, "unet": 31.0, "swin-t": 28.3,
        "vit-b": 86.6, "mixer-b": 59.9, "bert-base": 109.5, "distilbert": 66.4, "gpt2-prefill": 124.4, "t5-small": 60.5,
        "llama-prefill": 134.5,
    }  # fmt: skip
    with torch.device("meta"):
        for name, millions in published.items():
            count = sum(p.numel() for p in STATIC[name].full().parameters())
            assert count / 1e6 == pytest.approx(millions, abs=0.06), name
