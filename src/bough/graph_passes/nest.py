"""Chains of sums as one phase each: a thread takes its rows through the whole chain, and keeps to itself what only the chain
touches. A matrix of scores is never stored then, but for the rows at hand, which stay in the cache of their thread.
"""

from __future__ import annotations

from collections.abc import Sequence as List

from bough.graph_passes.chains import Chain, change_chains
from bough.graph_passes.effects import keeps_points
from bough.graph_passes.substitution import renamed
from bough.ir.expr import loads
from bough.ir.kernel import Kernel
from bough.ir.sequence import Group, Run, Sequence, Step, expressions
from bough.schedule.access import row_places


def nest(sequence: Sequence) -> Sequence:
    """Makes a group of every chain that keeps something to itself. In other groups and runs nothing changes."""

    def change(chain: Chain) -> List[Step]:
        private = {name for name in chain.private if _private(chain, name)}
        if not private or any(a.extent == 0 for k in chain.kernels for a in k.axes):
            return [Run(k) for k in chain.kernels]
        kernels = _in_place(list(chain.kernels), private)
        kept = {o.name for k in kernels for o in k.outputs} & private
        return [Group(tuple(kernels), chain.rows, tuple(sorted(kept)))]

    return change_chains(sequence, change)


def _private(chain: Chain, name: str) -> bool:
    """Whether every kernel that touches an array has each of the rows at one dimension, the same for all, and knows the number
    of elements of a row."""
    return all(
        (places := row_places(k, chain.rows, name)) is not None
        and len(places) == len(chain.rows)
        and all(isinstance(e, int) for n, e in enumerate(k.operands[name].shape) if n not in places)
        for k in chain.kernels
        if name in k.operands
    )


def _in_place(kernels: list[Kernel], private: set[str]) -> list[Kernel]:
    """The kernels, where one that makes each element of an array of one element of another, read for the last time, writes
    it there."""
    out: list[Kernel] = []
    names: dict[str, str] = {}
    for n, k in enumerate(kernels):
        k = renamed(k, names)
        later = {i.name for after in kernels[n + 1 :] for i in renamed(after, names).inputs}
        for target in [o.name for o in k.outputs if o.name in private]:
            source = next((i.name for i in k.inputs if i.name in private - later and _point_by_point(k, i.name, target)), None)
            if source is not None and source not in {o.name for o in k.outputs}:
                there = renamed(k, {target: source})
                if keeps_points(there):  # what is read again has not been overwritten
                    names[target], k = source, there
        out.append(k)
    return out


def _point_by_point(kernel: Kernel, source: str, target: str) -> bool:
    read, written = kernel.operands[source], kernel.operands[target]
    (place,) = (s.index for s in kernel.stores if s.target == target)
    return (
        not kernel.reductions
        and (read.dtype, read.shape) == (written.dtype, written.shape)
        and all(x.index == place for s in kernel.body for e in expressions(s) for x in loads(e) if x.source == source)
    )
