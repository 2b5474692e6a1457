"""The layout of what a chain of sums keeps to itself: rows side by side, so that sums over the others are element-wise.

    scores[g, t, s] = sum(e) q[g, t, e] * k[g, s, e]   ->   q.rows[g, e, t] = q[g, t, e]
                                                            scores[g, s, t] = sum(e) q.rows[g, e, t] * k[g, s, e]

Vectors lie along `t` then: neither `k` nor the scores are ever transposed, and the maximum and the sum over `s` take no
combining of lanes. Where a chain reads something else along `s` (a mask for every row), its arrays stay as they are.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from bough.graph_passes.chains import Chain, change_chains, is_product
from bough.ir.expr import Expr, Load, Var, loads, variables
from bough.ir.kernel import Kernel, Operand, Statement, Store
from bough.ir.sequence import Run, Sequence, Step, expressions, map_loads, map_statement
from bough.schedule.access import Access, load_accesses, row_places

FEWEST = 16
"""Rows that fill a vector, of whatever target."""


def lay_out_rows(sequence: Sequence) -> Sequence:
    """Gives the private arrays of chains the layout that suits them; what they hold stays the same."""
    temporaries = dict(sequence.temporaries)

    def change(chain: Chain) -> list[Step]:
        row = chain.rows[-1]
        first = next(n for n, k in enumerate(chain.kernels) if is_product(k))
        before, members = chain.kernels[:first], chain.kernels[first:]
        moved = _movable(chain) - {o.name for k in before for o in k.outputs}
        kernels = [_rows_last(k, row, moved) for k in members]
        if not moved or not _suits(kernels, row, moved):
            return [Run(k) for k in chain.kernels]
        temporaries.update({o.name: o for k in kernels for o in k.outputs if o.name in moved})
        copies, reading = _with_copies(kernels[0], chain.rows, temporaries)
        return [Run(k) for k in (*before, *copies, reading, *kernels[1:])]

    return replace(change_chains(sequence, change), temporaries=temporaries)


def _movable(chain: Chain) -> frozenset[str]:
    """The private arrays that have a known number of elements in each row. What may be samples, the first index, stays first:
    their number must not decide how sums are formed."""
    return frozenset(
        name
        for name in chain.private
        if all(
            (places := row_places(k, chain.rows, name)) is not None
            and any(n > 0 and row == chain.rows[-1] for n, row in places.items())
            and all(isinstance(e, int) for n, e in enumerate(k.operands[name].shape) if n not in places)
            for k in chain.kernels
            if name in k.operands
        )
    )


def _rows_last(kernel: Kernel, row: str, moved: frozenset[str]) -> Kernel:
    """The kernel with the dimension of the row as the last one of these arrays."""
    order: dict[str, list[int]] = {}
    for name in moved & kernel.operands.keys():
        places = row_places(kernel, (row,), name) or {}
        order[name] = sorted(range(len(kernel.operands[name].shape)), key=lambda n: (n in places, n))

    def permuted(name: str, index: tuple[Expr, ...]) -> tuple[Expr, ...]:
        return tuple(index[n] for n in order[name]) if name in order else index

    def operand(o: Operand) -> Operand:
        return replace(o, shape=tuple(o.shape[n] for n in order[o.name])) if o.name in order else o

    def load(x: Load) -> Load:
        return Load(x.source, permuted(x.source, x.index), x.dtype)

    body: list[Statement] = []
    for s in kernel.body:
        s = map_statement(s, lambda e: map_loads(e, load))
        body.append(Store(s.target, permuted(s.target, s.index), s.value) if isinstance(s, Store) else s)
    inputs, outputs = (tuple(map(operand, group)) for group in (kernel.inputs, kernel.outputs))
    return replace(kernel, inputs=inputs, outputs=outputs, body=tuple(body))


def _suits(kernels: list[Kernel], row: str, moved: frozenset[str]) -> bool:
    """Whether vectors along the rows serve every kernel that writes such an array: what else it reads there is the same for
    all rows, or only to be copied for a product that some other operand keeps from having vectors along its columns."""
    extent = kernels[0].axis(row).extent
    if not isinstance(extent, int) or extent < FEWEST:
        return False
    for k in kernels:
        if not any(o.name in moved for o in k.outputs):
            continue
        for access in load_accesses(k):
            if access.stride(row) not in (0, 1) and not (k is kernels[0] and _copies_well(k, access)):
                return False
    return any(_turns(k, row, moved) for k in kernels)


def _copies_well(kernel: Kernel, access: Access) -> bool:
    """Whether what a product reads may be copied: into as much as it is."""
    if not _in_product(kernel, access) or access.strides is None:
        return False
    axes = [kernel.axis(a).extent for a in access.strides]
    size = kernel.operands[access.operand].shape
    return prod(e for e in axes if isinstance(e, int)) <= prod(e for e in size if isinstance(e, int))


def _turns(kernel: Kernel, row: str, moved: frozenset[str]) -> bool:
    """Whether a product would need a transposed copy of what its rows share."""
    columns = [a.name for a in kernel.free if a.name != row and a.extent != 1]
    return any(o.name in moved for o in kernel.outputs) and any(
        _in_product(kernel, x)
        and not x.stride(row)
        and not any(x.stride(c) == 1 for c in columns)
        for x in load_accesses(kernel)
    )


def _in_product(kernel: Kernel, access: Access) -> bool:
    return is_product(kernel) and access.reduction is not None


def _with_copies(kernel: Kernel, rows: tuple[str, ...], temporaries: dict[str, Operand]) -> tuple[list[Kernel], Kernel]:
    """Copies with rows last of what the products of a kernel read row by row, and the kernel that reads them."""
    copies: list[Kernel] = []
    changed: dict[tuple[str, tuple[Expr, ...]], Load] = {}
    for x in load_accesses(kernel):
        if not _in_product(kernel, x) or x.stride(rows[-1]) in (0, 1):
            continue
        used = {v for i in x.index for v in variables(i)}
        axes = (*(a for a in kernel.axes if a.name in used and a.name != rows[-1]), kernel.axis(rows[-1]))
        source = kernel.operands[x.operand]
        name = f"{x.operand}.rows"
        while name in temporaries:
            name += "_"
        target = temporaries[name] = Operand(name, source.dtype, tuple(a.extent for a in axes))
        place = tuple(Var(a.name) for a in axes)
        store = Store(name, place, Load(source.name, x.index, source.dtype))
        copies.append(Kernel(f"rows.{x.operand}", axes, (source,), (target,), (store,), kernel.location, kernel.origins))
        changed[x.operand, x.index] = Load(name, place, source.dtype)
    if not copies:
        return [], kernel
    body = tuple(map_statement(s, lambda e: map_loads(e, lambda x: changed.get((x.source, x.index), x))) for s in kernel.body)
    still = {x.source for s in body for e in expressions(s) for x in loads(e)}
    inputs = (*(i for i in kernel.inputs if i.name in still), *(o for c in copies for o in c.outputs))
    return copies, replace(kernel, inputs=inputs, body=body)


