"""The order in which dimensions lie in memory, changed for arrays that no one outside sees.

    t[n, c, h, w] = ...                      order of t: n, h, w, c          t[n, h, w, c] = ...
    y[n, k, h, w] = ... t[n, c, h, w + s]                       ->           y[n, k, h, w] = ... t[n, h, w + s, c]

A permutation of the indices of every kernel that touches the array: what is computed stays the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bough.ir.expr import Expr, Load, variables
from bough.ir.kernel import Axis, Kernel, Operand, Store
from bough.ir.sequence import Sequence, host_loads, kernels, map_kernels, map_loads, map_statement

Order = tuple[int, ...]
"""Old dimensions in their new order."""


def movable(sequence: Sequence) -> dict[str, Operand]:
    """The arrays whose layout is free: neither given nor returned nor read by the host, of one shape in all kernels."""
    fixed = {*sequence.results, *host_loads(sequence.steps), *sequence.partly}
    found = {n: o for n, o in sequence.temporaries.items() if n not in fixed and len(o.shape) > 1}
    for k in kernels(sequence.steps):
        for o in k.operands.values():
            if o.name in found and o.shape != found[o.name].shape:
                del found[o.name]
    return found


def with_orders(sequence: Sequence, orders: Mapping[str, Order]) -> Sequence:
    """The sequence with the dimensions of movable arrays in other orders."""
    if not orders:
        return sequence
    temporaries = {n: _operand(o, orders) for n, o in sequence.temporaries.items()}
    return replace(sequence, temporaries=temporaries, steps=map_kernels(sequence.steps, lambda k: permuted(k, orders)))


def permuted(kernel: Kernel, orders: Mapping[str, Order]) -> Kernel:
    """The kernel on arrays whose dimensions lie in other orders; its free axes then follow what it stores."""
    if orders.keys().isdisjoint(kernel.operands):
        return kernel

    def change(load: Load) -> Expr:
        return Load(load.source, _index(load.source, load.index, orders), load.dtype)

    body = []
    for s in kernel.body:
        s = map_statement(s, lambda e: map_loads(e, change))
        body.append(replace(s, index=_index(s.target, s.index, orders)) if isinstance(s, Store) else s)
    inputs, outputs = (tuple(_operand(o, orders) for o in group) for group in (kernel.inputs, kernel.outputs))
    moved = replace(kernel, inputs=inputs, outputs=outputs, body=tuple(body))
    return replace(moved, axes=(*_as_stored(moved), *(a for a in moved.axes if a.name in moved.reduced)))


def _as_stored(kernel: Kernel) -> list[Axis]:
    """The free axes in the order in which the first store names them; others before, as they were."""
    named = [n for i in kernel.stores[0].index for n in sorted(variables(i))] if kernel.stores else []
    return sorted(kernel.free, key=lambda a: named.index(a.name) if a.name in named else -1)


def _index(operand: str, index: tuple[Expr, ...], orders: Mapping[str, Order]) -> tuple[Expr, ...]:
    return tuple(index[d] for d in orders[operand]) if operand in orders else index


def _operand(o: Operand, orders: Mapping[str, Order]) -> Operand:
    return replace(o, shape=tuple(o.shape[d] for d in orders[o.name])) if o.name in orders else o
