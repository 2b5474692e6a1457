"""Samples one after the other: a straight run of kernels over all samples becomes a loop over the samples.

    t[n, c] = f(x[n, c])                        repeat turn in 0..8
    y[n, c] = g(t[n, c])           ->             t[0, c] = f(x[turn, c])
                                                  y[turn, c] = g(t[0, c])

What nothing else touches has room for one sample then, and stays in the caches from kernel to kernel. All threads work on the
same sample, by the kernels that a batch of one would have.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field, replace

from bough.ir.expr import Const, Expr, Extent, Load, Var, add, as_expr, substitute, variables
from bough.ir.kernel import Axis, Kernel, Operand, Statement, Store
from bough.ir.sequence import Apart, Group, Repeat, Run, map_loads, map_statement, phase, straight
from bough.schedule.access import row_places

Member = Run | Group


@dataclass(frozen=True, slots=True)
class Batch:
    """Steps that each sample can go through by itself: of the sample's axis in each kernel, and its dimension in each array."""

    steps: tuple[Member, ...]
    samples: Extent
    axes: tuple[str, ...]
    """What each step calls its samples."""
    places: dict[str, int]


@dataclass(slots=True)
class _Open:
    """A batch that may still grow. `places` are of all arrays touched, None: not by samples alone."""

    samples: Extent
    steps: list[Member] = field(default_factory=list)
    axes: list[str] = field(default_factory=list)
    places: dict[str, int | None] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)

    def closed(self) -> Batch:
        known = {name: d for name, d in self.places.items() if d is not None}
        return Batch(tuple(self.steps), self.samples, tuple(self.axes), known)


def batches(steps: Iterable[Member], constants: Set[str]) -> list[Batch]:
    """A straight run in pieces, in order, all of it: those of more than one step have samples in common."""
    out: list[_Open] = []
    for s in steps:
        if not (out and _join(out[-1], s, constants)):
            out.append(_Open(0))
            if not _join(out[-1], s, constants):
                out[-1].steps.append(s)
                out.append(_Open(-1))
    return [b.closed() for b in out if b.steps]


def _join(batch: _Open, step: Member, constants: Set[str]) -> bool:
    """Adds a step to a batch, if each sample can go through both by itself."""
    members = phase(step)
    if any(k.ragged or k.apart or not k.stores for k in members):
        return False
    axis = _axis(batch, members[0])
    if axis is None or (isinstance(step, Group) and not _shared(step, axis)):
        return False
    samples = members[0].axis(axis).extent
    if samples == 1 or (batch.steps and samples != batch.samples) or any(k.axis(axis).extent != samples for k in members):
        return False
    if any(axis in variables(as_expr(a.extent)) for k in members for a in k.axes):
        return False
    places, written = dict(batch.places), set(batch.written)
    for k in members:
        written |= {o.name for o in k.outputs}
        for name in k.operands.keys() - constants:
            found = row_places(k, (axis,), name)
            d = next(iter(found), None) if found else None
            if d is not None and k.operands[name].shape[d] != samples:
                d = None
            places[name] = d if places.get(name, d) == d else None
    if any(places[name] is None for name in written):
        return False
    batch.samples, batch.places, batch.written = samples, places, written
    batch.steps.append(step)
    batch.axes.append(axis)
    return True


def _shared(group: Group, axis: str) -> bool:
    """Whether all kernels of a group have an axis, which is not all that their rows are."""
    return group.rows != (axis,) and all(axis in {a.name for a in k.free} for k in group.kernels)


def _axis(batch: _Open, kernel: Kernel) -> str | None:
    """The free axis that stands where the samples stand in what the batch has written, or first in what the kernel stores."""
    free = {a.name for a in kernel.free}
    for s in kernel.body:
        for load in _loads(s):
            d = batch.places.get(load.source) if load.source in batch.written else None
            if d is not None:
                here = load.index[d]
                return here.name if isinstance(here, Var) and here.name in free else None
    first = kernel.stores[0].index[:1]
    return first[0].name if first and isinstance(first[0], Var) and first[0].name in free else None


def _loads(s: Statement) -> list[Load]:
    found: list[Load] = []

    def note(load: Load) -> Expr:
        found.append(load)
        return load

    map_statement(s, lambda e: map_loads(e, note))
    return found


def in_turn(batch: Batch, turn: str, own: Set[str]) -> Repeat:
    """The steps as a loop over the samples, whose number is called `turn`. Of the arrays, its `own` have room for one."""
    places = {name: batch.places[name] for name in own}
    steps = (_one(s, axis, turn, places) for s, axis in zip(batch.steps, batch.axes, strict=True))
    return Repeat(turn, batch.samples, tuple(steps))


def apart(batch: Batch, sample: str, own: Set[str], rooms: int) -> Apart:
    """The same with samples on threads of their own, so many at one time, each with room for one sample of `own` arrays."""
    return Apart(sample, batch.samples, rooms, straight(in_turn(batch, sample, own).body), tuple(sorted(own)))


def of_one(o: Operand, place: int) -> Operand:
    """An array with room for one sample."""
    return replace(o, shape=(*o.shape[:place], 1, *o.shape[place + 1 :]))


def _one(step: Member, axis: str, turn: str, places: dict[str, int]) -> Member:
    if isinstance(step, Run):
        return Run(kernel_of_one(step.kernel, axis, turn, places))
    members = tuple(kernel_of_one(k, axis, turn, places) for k in step.kernels)
    return replace(step, kernels=members, rows=tuple(r for r in step.rows if r != axis))


def kernel_of_one(kernel: Kernel, axis: str, turn: str, places: dict[str, int]) -> Kernel:
    """The kernel for the sample number `turn` alone; arrays in `places` have only that one."""
    here: dict[str, Expr] = {axis: add(Var(turn), Var(axis))}

    def index(name: str, old: tuple[Expr, ...]) -> tuple[Expr, ...]:
        d = places.get(name)
        return old if d is None else (*old[:d], Const(0), *old[d + 1 :])

    def load(x: Load) -> Load:
        return Load(x.source, index(x.source, x.index), x.dtype)

    body: list[Statement] = []
    for s in kernel.body:
        s = map_statement(s, lambda e: map_loads(substitute(e, here), load))
        body.append(Store(s.target, index(s.target, s.index), s.value) if isinstance(s, Store) else s)
    inputs, outputs = (
        tuple(of_one(o, places[o.name]) if o.name in places else o for o in group) for group in (kernel.inputs, kernel.outputs)
    )
    axes = tuple(Axis(a.name, 1) if a.name == axis else a for a in kernel.axes)
    return replace(kernel, axes=axes, inputs=inputs, outputs=outputs, body=tuple(body))
