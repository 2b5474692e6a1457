"""Convolutions of DeepBench's inference sets: one layer without bias, its weights constant."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from bough.bench.onnx_export import write_module
from bough.bench.problem import Array, Case, Form, Problem, Traffic, Work, largest_error
from bough.bench.suites.deepbench import CONV_DEVICE, CONV_SERVER, Conv

QUICK = {
    (56, 56, 64, 1, 64, 3, 3, 1, 1, 1, 1), (14, 14, 256, 1, 1024, 1, 1, 0, 0, 1, 1), (224, 224, 3, 1, 64, 7, 7, 3, 3, 2, 2),
    (341, 79, 32, 1, 32, 10, 5, 0, 0, 2, 2), (28, 28, 256, 1, 512, 3, 3, 1, 1, 1, 1),
    (56, 56, 64, 1, 256, 1, 1, 0, 0, 1, 1),
}  # fmt: skip
UNIT = 2.0**-22


def cases() -> tuple[Case[Problem], ...]:
    sets = (("server", CONV_SERVER), ("device", CONV_DEVICE))
    return tuple(
        Case(f"{name}/{title(size)}", functools.partial(build, size), size in QUICK) for name, sizes in sets for size in sizes
    )


def title(size: Conv) -> str:
    """WxHxC-bBATCH-kFILTERSxSxR-sSTRIDE-pPADDING; strides and paddings that differ by axis have both."""
    w, h, c, n, k, s, r, pad_w, pad_h, stride_w, stride_h = size
    strides = f"{stride_w}" if stride_w == stride_h else f"{stride_w}x{stride_h}"
    paddings = f"{pad_w}" if pad_w == pad_h else f"{pad_w}x{pad_h}"
    return f"{w}x{h}x{c}-b{n}-k{k}x{s}x{r}-s{strides}-p{paddings}"


def build(size: Conv) -> Problem:
    """The layer on random pictures."""
    w, h, c, n, k, s, r, pad_w, pad_h, stride_w, stride_h = size
    random = torch.Generator().manual_seed(sum(size))
    module = nn.Conv2d(c, k, (r, s), (stride_h, stride_w), (pad_h, pad_w), bias=False).requires_grad_(False)
    module.weight.uniform_(-1, 1, generator=random)
    x = torch.empty(n, c, h, w).uniform_(-1, 1, generator=random)
    rows, columns = (h + 2 * pad_h - r) // stride_h + 1, (w + 2 * pad_w - s) // stride_w + 1
    moved = 4.0 * (x.numel() + module.weight.numel() + n * k * rows * columns)

    def write_onnx(folder: Path) -> Path:
        return write_module(folder, module, (x,))

    def error(outputs: Sequence[Array]) -> float:
        return largest_error(reference(), outputs)

    @functools.cache
    def reference() -> list[Array]:
        with torch.inference_mode():
            return [copy.deepcopy(module).double()(x.double()).numpy()]

    work = Work(2.0 * n * k * rows * columns * c * r * s, (Traffic(moved, moved),))
    return Problem(module, (x,), work, lambda: layouts(module, (x,)), write_onnx, error, UNIT * math.sqrt(c * r * s))


def layouts(module: nn.Module, args: tuple[torch.Tensor, ...]) -> Iterator[Form]:
    """Pictures and weights as they are, and with channels last."""
    yield module, args
    last = torch.channels_last
    yield (
        copy.deepcopy(module).to(memory_format=last),  # type: ignore[call-overload]
        tuple(x.contiguous(memory_format=last) if x.dim() == 4 else x for x in args),
    )
