"""Scalar algebra in kernels, as far as it is exact: NaN, infinities and the sign of zero stay what they are.

    y[i] = f32(x[i] * 1.0)    ->    y[i] = x[i]

So `x + 0.0` stays (x may be -0.0), and no factor moves into weights: a product that is scaled, as by a normalization behind a
convolution, has its factor in the epilogue, at one multiply-add for each element that is stored.
"""

from __future__ import annotations

from dataclasses import replace

from bough.ir.expr import Expr, as_expr, loads
from bough.ir.kernel import Kernel
from bough.ir.sequence import Sequence, expressions, map_kernels, map_statement
from bough.rewrite import EXACT, rewrite


def simplify_scalars(sequence: Sequence) -> Sequence:
    """The sequence with the rules of `EXACT` applied to every statement."""
    return replace(sequence, steps=map_kernels(sequence.steps, _simplified))


def _simplified(kernel: Kernel) -> Kernel:
    body = tuple(map_statement(s, _exact) for s in kernel.body)
    if body == kernel.body:
        return kernel
    extents = [as_expr(a.extent) for a in kernel.axes]
    read = {load.source for e in (*extents, *(e for s in body for e in expressions(s))) for load in loads(e)}
    return replace(kernel, body=body, inputs=tuple(i for i in kernel.inputs if i.name in read))


def _exact(e: Expr) -> Expr:
    return rewrite(e, EXACT)
