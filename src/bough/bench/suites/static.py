"""Networks of the zoo without control flow on computed values, on one input and on eight together."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bough.bench.dynamic_problem import in_float64
from bough.bench.dynamic_work import needs
from bough.bench.onnx_export import tensors, write_module
from bough.bench.peers import arrays
from bough.bench.problem import Array, Case, Choice, Form, Problem, Traffic, Work, largest_error
from bough.bench.suites.conv import layouts
from bough.bench.zoo.static import STATIC, StaticEntry

BATCHES = (1, 8)
TOLERANCE = 1e-3
"""Of the error that is rounding. What matters, and is shown, is how it compares with that of eager PyTorch."""


def cases(choice: Choice) -> tuple[Case[Problem], ...]:
    """Named model-bBATCH. Quick ones are some of those of single inputs."""
    return tuple(
        Case(f"{name}-b{batch}", functools.partial(build, entry, batch), quick=entry.quick and batch == 1)
        for name, entry in STATIC.items()
        for batch in BATCHES
    )


def build(entry: StaticEntry, batch: int, small: bool = False) -> Problem:
    """A network of the zoo on so many random inputs; `small` as its tests have it."""
    module, args = entry.network(small), entry.inputs(batch, small)
    is_pictures = any(tensor.dim() == 4 for tensor in args if isinstance(tensor, torch.Tensor))

    def forms() -> Iterator[Form]:
        return layouts(module, args) if is_pictures else iter([(module, args)])

    def write_onnx(folder: Path) -> Path:
        return write_module(folder, module, args)

    def error(outputs: Sequence[Array]) -> float:
        return largest_error(reference(), outputs)

    @functools.cache
    def reference() -> list[Array]:
        with torch.inference_mode():
            return arrays(in_float64(copy.deepcopy(module), args))

    return Problem(module, args, work(module, args), forms, write_onnx, error, TOLERANCE)


def work(module: nn.Module, args: tuple[Any, ...]) -> Work:
    """The products and convolutions, their weights once, and what goes in and comes out."""
    need = needs(module, args)
    with torch.inference_mode():
        results = module(*args)
    moved = float(sum(need.used.values()) + sum(t.numel() * t.element_size() for t in tensors((args, results))))
    return Work(need.flops, (Traffic(moved, moved),))
