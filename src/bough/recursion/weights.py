"""What activations that are computed together share: the weights."""

from __future__ import annotations

from bough.ir.expr import Load, loads, variables
from bough.ir.kernel import Kernel
from bough.ir.sequence import Repeat, Sequence, kernels

MANY_USES = 16.0
"""An activation that alone uses each weight so often gains little from others beside it."""


def uses_of_weights(sequence: Sequence) -> float:
    """How often an activation in the levels multiplies by a weight, on average."""
    products = weights = 0
    for k in kernels(tuple(s for s in sequence.steps if isinstance(s, Repeat))):
        for _, reduce in k.reductions:
            products += _points(k, {a.name for a in k.free} | set(reduce.axes))
            weights += sum(_points(k, _axes(load)) for load in loads(reduce.body) if load.source in sequence.constants)
    return products / weights if weights else float(products > 0) * MANY_USES


def _axes(load: Load) -> set[str]:
    return {v for i in load.index for v in variables(i)}


def _points(kernel: Kernel, axes: set[str]) -> int:
    """The points of some axes, those over activations and elements of walks left out."""
    total = 1
    for a in kernel.axes:
        if a.name in axes and isinstance(a.extent, int):
            total *= a.extent
    return total
