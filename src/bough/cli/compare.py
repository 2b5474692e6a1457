"""Is a compiled function right? Its outputs beside eager's, both against the module in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from bough.cli.model import Model

SLACK_ULPS = 8
"""On top of twice eager's error: where eager happens to round exactly, twice nothing would be nothing."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One output. Errors are absolute, against float64; None where the module does not run in float64.

    For outputs that are not floats the errors count the elements that differ from eager's. `allowed` is None where any error is.
    """

    output: int
    shape: tuple[int, ...]
    dtype: str
    bough_error: float | None
    eager_error: float | None
    difference: float
    allowed: float | None
    right: bool
    largest: float
    """The largest absolute value, of outputs that are not floats their number."""

    @property
    def share(self) -> float:
        """The difference from eager as a share of the largest value."""
        return self.difference / self.largest if self.largest else 0.0


def compare(model: Model, compiled: Callable[..., Any], *, exact: bool = True) -> list[Compared]:
    """Each output of the example call. Right: NaN where eager's is, and, if it is to be `exact`, an error at most twice eager's
    plus some ULP."""
    with torch.no_grad():
        mine = pytree.tree_leaves(compiled(*model.args))
        eager = pytree.tree_leaves(model.module(*model.args))
        references = _in_float64(model)
    if len(mine) != len(eager):
        raise RuntimeError(f"{len(mine)} outputs where eager has {len(eager)}")
    return [_compare(i, *three, exact=exact) for i, three in enumerate(zip(mine, eager, references or [None] * len(eager)))]


def _compare(index: int, mine: Any, eager: Any, reference: Any, *, exact: bool) -> Compared:
    mine, eager = torch.as_tensor(mine), torch.as_tensor(eager)
    shape, dtype = tuple(eager.shape), str(eager.dtype).removeprefix("torch.")
    alike = mine.shape == eager.shape and mine.dtype == eager.dtype
    if not alike or not eager.is_floating_point():
        wrong = float((mine != eager).sum()) if mine.shape == eager.shape else float(max(1, eager.numel()))
        right = alike and (wrong == 0 or not exact)
        return Compared(index, shape, dtype, wrong, 0.0, wrong, 0.0 if exact else None, right, float(eager.numel()))
    same_nan = bool((mine.isnan() == eager.isnan()).all())
    difference = _distance(mine, eager)
    known = reference is not None
    reference = reference if known else eager
    largest = _largest(reference)
    ulp = torch.finfo(eager.dtype).eps * max(1e-30, largest)
    eager_error = _distance(eager, reference)
    bough_error = _distance(mine, reference)
    # Without a reference, the two may each be off in their own direction by what the sum of a long row loses.
    allowed = 2 * eager_error + SLACK_ULPS * ulp if known else 128 * ulp
    right = same_nan and (bough_error <= allowed or not exact)
    mine_or_none, eager_or_none = (bough_error, eager_error) if known else (None, None)
    return Compared(index, shape, dtype, mine_or_none, eager_or_none, difference, allowed if exact else None, right, largest)


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest absolute difference where both are numbers; equal infinities do not differ."""
    a, b = a.detach().double(), b.detach().double()
    apart = torch.where(a == b, 0.0, (a - b).abs())[~(a.isnan() | b.isnan())]
    return float(apart.max()) if apart.numel() else 0.0


def _largest(a: torch.Tensor) -> float:
    finite = a[a.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0


def _in_float64(model: Model) -> list[Any] | None:
    def widen(leaf: Any) -> Any:
        return leaf.double() if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() else leaf

    module = model.module
    try:
        if isinstance(module, torch.nn.Module):
            module = copy.deepcopy(module).double()
        return pytree.tree_leaves(module(*pytree.tree_map(widen, model.args)))
    except (RuntimeError, TypeError):
        return None  # the module makes float32 tensors of its own
