"""Which layout arrays get: dimensions that belong together come last in all their arrays, where that makes kernels cheaper.

Dimensions belong together when one axis of a kernel runs over them: the channels of a convolution's output, of the residual
that is added to it and of the pooling behind it. Of each class over which what constant weights take or give lies, the arrays may
have their dimension last; the choice that saves most is taken, and so on, until none saves anything.

The order of sums depends on strides, so layouts must depend neither on the number of threads nor on the batch: kernels are
priced by what one vector step costs, times the points for one index of the leading dimension.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import ceil, inf

from bough.graph_passes.layouts import Order, movable, permuted, with_orders
from bough.graph_passes.normalize import normalize
from bough.graph_passes.substitution import nameless
from bough.ir.expr import Const, Expr, Var, as_expr, loads, substitute, variables
from bough.ir.kernel import Kernel, Operand, Store
from bough.ir.sequence import Sequence, expressions, kernels, map_statement
from bough.schedule.access import Access, affine_in
from bough.search.cost import GATHER, Work, work_of

LEAST_GAIN = 0.01
"""The part of the price of the kernels concerned that a change must save."""
ROWS, COUNT = 6, 4
"""Rows and vectors of the register tile that prices stand for: a load that is the same for all rows is done once for them."""
APART = 1.5
"""What a scalar costs that shares its cache line with none that are read next."""
UNALIGNED = 2.0
"""What a vector costs that often lies in two cache lines: both are read."""
LINE = 16
"""Elements in a cache line."""

Place = tuple[str, int]
"""A dimension of an array."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known besides the sequence: elements of a vector, constants, nominal values of symbolic sizes."""

    lanes: int
    constants: frozenset[str]
    sizes: Mapping[str, int]


def choose_layouts(sequence: Sequence, known: Known) -> Sequence:
    """The sequence with those of its arrays laid out anew that make it cheaper."""
    if known.lanes == 1 or not any(k.reductions for k in kernels(sequence.steps)):
        return sequence
    return with_orders(sequence, _Choice(sequence, known).orders)


class _Choice:
    def __init__(self, sequence: Sequence, known: Known) -> None:
        self.known = known
        self.arrays = movable(sequence)
        self.kernels = kernels(sequence.steps)
        self.touching: dict[str, list[int]] = {}
        for n, k in enumerate(self.kernels):
            for name in k.operands:
                self.touching.setdefault(name, []).append(n)
        self.orders: dict[str, Order] = {}
        self.kinds: list[int] = []
        """Kernels that differ in names only are of one kind."""
        numbers: dict[Hashable, int] = {}
        for k in self.kernels:
            kind = nameless(k), tuple(n in known.constants for n in k.operands), tuple(n in self.arrays for n in k.operands)
            self.kinds.append(numbers.setdefault(kind, len(numbers)))
        self.memo: dict[Hashable, float] = {}
        self.prices = [self.price(n, {}) for n in range(len(self.kernels))]
        self.improve()

    def price(self, number: int, orders: Mapping[str, Order]) -> float:
        """Of a kernel, by its number."""
        kernel = self.kernels[number]
        key = self.kinds[number], tuple(orders.get(name) for name in kernel.operands)
        if key not in self.memo:
            self.memo[key] = price(permuted(one_row(kernel), orders), self.known)
        return self.memo[key]

    def improve(self) -> None:
        """Takes the change that saves most, as long as there is one; a class is tried again once arrays of its kernels change."""
        classes = alike(self.kernels, self.arrays, self.known.constants)
        saved = [self.gain(c) for c in classes]
        while True:
            best = max(range(len(classes)), key=saved.__getitem__, default=None)
            if best is None or saved[best] <= 0.0:
                return
            self.orders |= self.last(classes[best])
            near = self.near(classes[best])
            for n in near:
                self.prices[n] = self.price(n, self.orders)
            for n, c in enumerate(classes):
                if not near.isdisjoint(self.near(c)):
                    saved[n] = self.gain(c)

    def last(self, places: frozenset[Place]) -> dict[str, Order]:
        """Orders with the class last, for arrays that have one dimension of it."""
        found: dict[str, list[int]] = {}
        for name, d in places:
            found.setdefault(name, []).append(d)
        out: dict[str, Order] = {}
        for name, dims in found.items():
            if len(dims) == 1:
                order = (*(d for d in range(len(self.arrays[name].shape)) if d != dims[0]), dims[0])
                if order != self.orders.get(name, tuple(range(len(order)))):
                    out[name] = order
        return out

    def near(self, places: frozenset[Place]) -> set[int]:
        return {n for name, _ in places for n in self.touching[name]}

    def gain(self, places: frozenset[Place]) -> float:
        """Cycles that the change saves; 0 where that is next to nothing."""
        change = self.last(places)
        concerned = {n for name in change for n in self.touching[name]}
        before = sum(self.prices[n] for n in concerned)
        orders = {**self.orders, **change}
        after = sum(self.price(n, orders) for n in concerned)
        return before - after if after < (1.0 - LEAST_GAIN) * before else 0.0


def alike(
    all_kernels: Iterable[Kernel], arrays: Mapping[str, Operand], constants: frozenset[str]
) -> list[frozenset[Place]]:
    """The dimensions of the arrays in classes of those over which one free axis runs, step by step; those alone over which what
    constant weights take or give lies."""
    parent: dict[Place, Place] = {(n, d): (n, d) for n, o in arrays.items() for d in range(len(o.shape))}

    def root(p: Place) -> Place:
        while parent[p] != p:
            parent[p] = p = parent[parent[p]]
        return p

    channels: set[Place] = set()
    for k in all_kernels:
        free = {a.name for a in k.free}
        weights = [x for _, r in k.reductions for x in loads(r.body) if x.source in constants]
        weighted = {v for x in weights for i in x.index for v in variables(i)}
        first: dict[str, Place] = {}
        for name, index in _places(k):
            for d, i in enumerate(index if name in arrays else ()):
                for axis, step in (affine_in(i, free) or {}).items():
                    if step == 1:
                        parent[root((name, d))] = root(first.setdefault(axis, (name, d)))
                        channels |= {(name, d)} if axis in weighted else set()
                if isinstance(i, Var) and i.name in weighted:
                    channels.add((name, d))
    classes: dict[Place, set[Place]] = {}
    for p in parent:
        classes.setdefault(root(p), set()).add(p)
    return [frozenset(c) for c in classes.values() if c & channels]


def _places(kernel: Kernel) -> list[tuple[str, tuple[Expr, ...]]]:
    found: list[tuple[str, tuple[Expr, ...]]] = []
    for s in kernel.body:
        if isinstance(s, Store):
            found.append((s.target, s.index))
        found += [(load.source, load.index) for e in expressions(s) for load in loads(e)]
    return found


def one_row(kernel: Kernel) -> Kernel:
    """The kernel at the first place of the axis over the leading dimension of what it stores."""
    leading = kernel.stores[0].index[:1] if kernel.stores else ()
    row = next((a for a in kernel.free if leading == (Var(a.name),) and a not in kernel.ragged), None)
    if row is None or any(row.name in variables(as_expr(a.extent)) for a in kernel.axes):
        return kernel
    body = tuple(map_statement(s, lambda e: substitute(e, {row.name: Const(0)})) for s in kernel.body)
    return replace(kernel, axes=tuple(a for a in kernel.axes if a != row), body=body)


def price(kernel: Kernel, known: Known) -> float:
    """Cycles of a kernel with its vectors along the axis that suits it best."""
    kernel = normalize(kernel)
    work = work_of(kernel, known.sizes)
    uneven = {v for a in kernel.ragged for v in (a.name, *variables(as_expr(a.extent)))}
    free = [_along(kernel, work, a.name, known) for a in kernel.free if a.name not in uneven]
    across = [_along(kernel, work, a, known) for a in kernel.reduced if a not in uneven and _serves(kernel, work, a)]
    best = min((*free, *across), default=inf)
    return best if best < inf else 0.0


def _serves(kernel: Kernel, work: Work, axis: str) -> bool:
    """Whether vectors may lie along a reduced axis."""
    return all(axis in r.axes for _, r in kernel.reductions) and all(
        x.stride(axis) in (0, 1) for x in work.loads if x.reduction is not None
    )


def _along(kernel: Kernel, work: Work, vector: str, known: Known) -> float:
    """Cycles with vectors along this axis."""
    extent = work.extents[vector]
    steps = ceil(extent / known.lanes) / max(extent, 1)
    free = work.points(tuple(a.name for a in kernel.free))
    across = vector in kernel.reduced
    total = 0.0
    for name, reduce in kernel.reductions:
        mine = [x for x in work.loads if x.reduction == name]
        each = 1.0 + sum(_load(kernel, x, vector, reduce.axes[-1], known) for x in mine)
        total += each * steps * free * work.points(reduce.axes)
    for x in (*(x for x in work.loads if x.reduction is None), *work.stores):
        s = 0 if across else x.stride(vector)
        wide = 1.0 if s in (0, 1) else known.lanes * GATHER * (1 if s is not None else 2)
        total += wide * free * (1 if across else steps)
    return total


def _load(kernel: Kernel, access: Access, vector: str, innermost: str, known: Known) -> float:
    """Cycles of a load in a reduction, for one vector step of one row of a register tile."""
    s = access.stride(vector)
    same = access.strides is not None and any(not access.strides.get(a.name) for a in kernel.free if a.name != vector)
    rows = ROWS if same else 1
    if access.operand in known.constants and not any(loads(i) for i in access.index):
        return 1.0 / (rows if s else COUNT)  # its layout is its own
    if s == 0:
        return (1.0 if access.stride(innermost) in (0, 1) else APART) / COUNT
    if s == 1:
        return (1.0 if _aligned(access, vector) else UNALIGNED) / rows
    return known.lanes * GATHER * (1 if s is not None else 2) / rows


def _aligned(access: Access, vector: str) -> bool:
    return all(s % LINE == 0 for a, s in (access.strides or {}).items() if a != vector)
