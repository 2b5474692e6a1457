"""Compiled answers against eager ones, measured by eager float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

ULPS = 8


class Function(nn.Module):
    """A function as a module with the parameters x, y, z."""

    def __init__(self, body: Callable[..., Any]) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Any, y: Any = None, z: Any = None) -> Any:
        return self.body(*(v for v in (x, y, z) if v is not None))


def leaves(tree: Any) -> list[Any]:
    return _pytree.tree_flatten(tree)[0]


def shape_of(tree: Any) -> Any:
    """The nesting, with the type and sizes of tensors in their place; named tuples count as tuples."""
    if isinstance(tree, tuple):
        return tuple(shape_of(v) for v in tree)
    if isinstance(tree, list):
        return [shape_of(v) for v in tree]
    if isinstance(tree, dict):
        return {k: shape_of(v) for k, v in tree.items()}
    return (tree.dtype, tree.shape) if isinstance(tree, torch.Tensor) else tree


def in_float64(module: Callable[..., Any], args: tuple[Any, ...], want: Any) -> Any:
    """What the module gives in float64; what it gave before, where it fixes its own types."""
    wide = copy.deepcopy(module).double() if isinstance(module, nn.Module) else module
    try:
        return wide(*_pytree.tree_map(lambda v: v.double() if torch.is_tensor(v) and v.is_floating_point() else v, args))
    except RuntimeError:
        return want


@torch.no_grad()
def assert_eager(got: Any, module: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Exact for integers; for floats, at most twice eager's error against float64 plus a few units in the last place."""
    want = module(*args)
    assert shape_of(got) == shape_of(want)
    for x, y, exact in zip(leaves(got), leaves(want), leaves(in_float64(module, args, want)), strict=True):
        if isinstance(y, torch.Tensor) and y.is_floating_point():
            special = ~torch.isfinite(y)
            torch.testing.assert_close(x[special], y[special], rtol=0, atol=0, equal_nan=True)
            a, b, e = (v[~special].double() for v in (x, y, exact))
            if len(e):
                few = ULPS * torch.finfo(y.dtype).eps * e.abs()
                assert (a - e).abs().max() <= 2 * (b - e).abs().max() + few.max()
                assert (a - e).abs().mean() <= 2 * (b - e).abs().mean() + few.mean()
        elif isinstance(y, torch.Tensor):
            assert torch.equal(x, y)
