"""Arrays that are made with room for their padding, in place of copies that have it.

    t[n, p, c] = f(x[n, p, c])                              u[n, p + 1, c] = f(x[n, p, c])
    u[n, i, c] = select(1 <= i < 15, t[n, i - 1, c], 0.0)   u[n, 0, c] = 0.0;  u[n, 15, c] = 0.0
    y[n, p, k] = sum(r, c) u[n, p + r, c] * w[k, r, c]      y[n, p, k] = sum(r, c) u[n, p + r, c] * w[k, r, c]

Who makes `t` writes it where the padding leaves room, and whoever else reads it looks there; only the border is left to be
filled. Of several paddings with one value the largest serves all. Where the innermost dimension is padded, vectors would no
longer begin at the same places in all rows: those arrays are copied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

from bough.graph_passes.layouts import movable
from bough.ir.dtypes import BOOL
from bough.ir.expr import Apply, Const, Expr, Extent, Load, Var, add, as_expr, loads, substitute
from bough.ir.kernel import Axis, Kernel, Operand, Store
from bough.ir.sequence import Group, Run, Sequence, Step, kernels, map_bodies, map_kernels, map_loads, map_statement, phase
from bough.ops.building import within
from bough.schedule.access import affine_in

Offsets = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Padding:
    """A kernel that copies `inner` to `outer`, with so many elements of one value before and behind it in each dimension."""

    kernel: Kernel
    inner: Operand
    outer: Operand
    before: Offsets
    after: Offsets
    value: Const


def pad_in_place(sequence: Sequence) -> Sequence:
    """The sequence without those copies with padding that it can do without."""
    every = kernels(sequence.steps)
    everywhere = Counter(n for k in every for n in k.operands)
    fixed = {n for k in every for n in k.apart} | {x.source for k in every for a in k.ragged for x in loads(as_expr(a.extent))}
    free = movable(sequence).keys() - fixed
    temporaries = dict(sequence.temporaries)

    def walk(steps: tuple[Step, ...]) -> tuple[Step, ...]:
        out: list[Step] = []
        for straight, some in groupby(steps, lambda s: isinstance(s, (Run, Group))):
            part = list(some)
            out += changed(part) if straight else [map_bodies(s, walk) for s in part]
        return tuple(out)

    def changed(run: list[Step]) -> list[Step]:
        here = Counter(n for k in kernels(tuple(run)) for n in k.operands)
        alone = {n for n in free if here[n] == everywhere[n]}
        copying = (padding_of(s.kernel) for s in run if isinstance(s, Run))
        found = [p for p in copying if p is not None and {p.inner.name, p.outer.name} <= alone]
        copies = {p.outer.name for p in found}
        for name in dict.fromkeys(p.inner.name for p in found if p.inner.name not in copies):
            mine = [p for p in found if p.inner.name == name]
            same = [p for p in mine if p.value == mine[0].value]
            if _in_order(run, same):
                run = _merged(run, same, temporaries)
        return run

    steps = walk(sequence.steps)
    return replace(sequence, steps=steps, temporaries=temporaries)


def padding_of(kernel: Kernel) -> Padding | None:
    """What the kernel pads, if it does nothing else, and not the innermost dimension."""
    match kernel.body:
        case (Store(target, index, Apply("select", (condition, Load(source, at, _), Const() as value), _)),):
            outer, inner = kernel.operands[target], kernel.operands[source]
        case _:
            return None
    if index != tuple(Var(a.name) for a in kernel.axes) or outer.shape != tuple(a.extent for a in kernel.axes):
        return None
    if not inner.shape or len(inner.shape) != len(outer.shape):
        return None
    before, after, tests = list[int](), list[int](), set[Expr]()
    for axis, i, few, many in zip(kernel.axes, at, inner.shape, outer.shape):
        start, more = substitute(i, {axis.name: Const(0)}), _difference(many, few)
        if affine_in(i, {axis.name}) != {axis.name: 1} or not isinstance(start, Const) or more is None:
            return None
        before.append(-int(start.value))
        after.append(more - before[-1])
        tests |= set(within(Var(axis.name), before[-1], few, after[-1]))
    if min(*before, *after) < 0 or before[-1] or after[-1] or set(_conjuncts(condition)) != tests:
        return None
    return Padding(kernel, inner, outer, tuple(before), tuple(after), value)


def _difference(many: Extent, few: Extent) -> int | None:
    """How many elements more there are, if that is known."""
    if many == few:
        return 0
    match many:
        case Apply("add", (e, Const(more)), _) if e == few:
            return int(more)
    return many - few if isinstance(many, int) and isinstance(few, int) else None


def _conjuncts(condition: Expr) -> Iterator[Expr]:
    if isinstance(condition, Apply) and condition.function == "and" and condition.dtype == BOOL:
        for a in condition.args:
            yield from _conjuncts(a)
    else:
        yield condition


def _in_order(run: list[Step], same: list[Padding]) -> bool:
    """Whether the padded array is complete before the first copy, stays so, and copies are read behind theirs."""
    members = [k for s in run for k in phase(s)]
    places = {p.outer.name: next(n for n, k in enumerate(members) if k is p.kernel) for p in same}
    first = min(places.values())
    for n, k in enumerate(members):
        if n >= first and any(o.name == same[0].inner.name for o in k.outputs):
            return False
        if any(n < at and name in k.operands for name, at in places.items()):
            return False
        if any(n != at and any(o.name == name for o in k.outputs) for name, at in places.items()):
            return False
    return True


def _merged(run: list[Step], same: list[Padding], temporaries: dict[str, Operand]) -> list[Step]:
    """The steps with one array for what is padded and all copies. Borders are filled where the first copy stood."""
    first = same[0]
    before = tuple(max(p.before[d] for p in same) for d in range(len(first.before)))
    after = tuple(max(p.after[d] for p in same) for d in range(len(first.after)))
    shape = tuple(add(as_expr(e), low + high) for e, low, high in zip(first.inner.shape, before, after))
    outer = replace(first.outer, shape=tuple(int(e.value) if isinstance(e, Const) else e for e in shape))
    moves = {p.outer.name: tuple(b - mine for b, mine in zip(before, p.before)) for p in same}
    moves[first.inner.name] = before
    for name in moves:
        temporaries.pop(name, None)
    temporaries[outer.name] = outer
    copies = {id(p.kernel) for p in same}
    out: list[Step] = []
    for s in run:
        if not (isinstance(s, Run) and id(s.kernel) in copies):
            out += map_kernels((s,), lambda k: moved(k, moves, outer))
        elif s.kernel is first.kernel:
            out += [Run(k) for k in borders(first, outer, before, after)]
    return out


def moved(kernel: Kernel, moves: Mapping[str, Offsets], outer: Operand) -> Kernel:
    """The kernel with parts of an array in place of arrays: each begins at an offset."""
    if moves.keys().isdisjoint(kernel.operands):
        return kernel

    def place(name: str, index: tuple[Expr, ...]) -> tuple[Expr, ...]:
        return tuple(add(i, by) for i, by in zip(index, moves[name])) if name in moves else index

    def change(x: Load) -> Load:
        return Load(outer.name if x.source in moves else x.source, place(x.source, x.index), x.dtype)

    body = []
    for s in kernel.body:
        s = map_statement(s, lambda e: map_loads(e, change))
        if isinstance(s, Store):
            s = Store(outer.name if s.target in moves else s.target, place(s.target, s.index), s.value)
        body.append(s)
    inputs, outputs = (
        tuple({x.name: x for x in (outer if x.name in moves else x for x in group)}.values())
        for group in (kernel.inputs, kernel.outputs)
    )
    return replace(kernel, inputs=inputs, outputs=outputs, body=tuple(body))


def borders(like: Padding, outer: Operand, before: Offsets, after: Offsets) -> Iterator[Kernel]:
    """The kernels that fill the border: for each dimension, what is outside of it and inside the dimensions before. First come
    those whose rows who fills the inside may fill as well."""
    axes = like.kernel.axes
    for d, (low, high) in reversed(list(enumerate(zip(before, after)))):
        at = [add(Var(a.name), by) if n < d else Var(a.name) for n, (a, by) in enumerate(zip(axes, before))]
        extents = [*like.inner.shape[:d], 0, *outer.shape[d + 1 :]]
        behind = add(Var(axes[d].name), add(as_expr(like.inner.shape[d]), low))
        sides = [(low, at[d]), (high, behind)]
        for width in dict.fromkeys(w for w, _ in sides if w):
            extents[d] = width
            places = [(*at[:d], i, *at[d + 1 :]) for w, i in sides if w == width]
            body = tuple(Store(outer.name, place, like.value) for place in places)
            over = tuple(Axis(a.name, e) for a, e in zip(axes, extents))
            yield replace(like.kernel, name=f"{like.kernel.name}.border", axes=over, inputs=(), outputs=(outer,), body=body)
