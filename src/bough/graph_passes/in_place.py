"""Kernels that write only what they change: elements that would be stored as they are are left alone.

    axes i: n + 1                                          axes i: 1
    y[i] = select(i < n, y[i], new[i - n])        ->       y[i + n] = new[i]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bough.graph_passes.lower_program import with_body
from bough.ir.expr import (
    Apply,
    Expr,
    Load,
    Var,
    add,
    as_expr,
    as_extent,
    loads,
    maximum,
    sub,
    substitute,
    variables,
)
from bough.ir.kernel import Axis, Kernel, Let, Reduce, Store
from bough.ir.sequence import Run, Step, expressions, map_bodies, map_statement
from bough.rewrite import Facts, Interval, simplify


@dataclass(frozen=True, slots=True)
class Changed:
    """Along `axis`, from `start` on, `value` is stored; before, elements of `kept` stay as they are."""

    axis: str
    start: Expr
    value: Expr
    kept: str


def kept_by(kernel: Kernel) -> Iterator[tuple[str, str]]:
    """Arrays that a kernel stores to, each with one of which it keeps elements where they are."""
    for s in kernel.stores:
        found = _changed(kernel, s)
        if found is not None and found.kept not in kernel.apart:
            yield s.target, found.kept


def write_in_place(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps without stores of what is there already."""
    out: list[Step] = []
    for s in steps:
        if not isinstance(s, Run):
            out.append(map_bodies(s, write_in_place))
        elif (kernel := only_changes(s.kernel)) is not None:
            out.append(Run(kernel))
    return tuple(out)


def only_changes(kernel: Kernel) -> Kernel | None:
    """The kernel without stores of what is there already; None where nothing is left of it."""
    stays = [s for s in kernel.body if isinstance(s, Store) and _value(kernel, s) == Load(s.target, s.index, s.value.dtype)]
    if stays:
        body = tuple(s for s in kernel.body if s not in stays)
        written = {s.target for s in body if isinstance(s, Store)}
        if not written:
            return None
        kernel = with_body(replace(kernel, outputs=tuple(o for o in kernel.outputs if o.name in written)), body)
    if len(kernel.stores) != 1:
        return kernel
    (store,) = kernel.stores
    found = _changed(kernel, store)
    if found is None or found.kept != store.target:
        return kernel
    facts: Facts = {n: Interval(0) for n in variables(found.start)}
    start = simplify(maximum(found.start, 0), facts)
    extent = simplify(maximum(sub(kernel.axis(found.axis).extent, start), 0), facts)
    moved: dict[str, Expr] = {found.axis: add(Var(found.axis), start)}

    def here(e: Expr) -> Expr:
        return simplify(substitute(e, moved), facts)

    body = tuple(s if s is not store else Store(s.target, s.index, found.value) for s in kernel.body)
    axes = tuple(Axis(a.name, as_extent(extent if a.name == found.axis else here(as_expr(a.extent)))) for a in kernel.axes)
    return only_changes(with_body(replace(kernel, axes=axes), _used(tuple(map_statement(s, here) for s in body))))


def _used(body: tuple[Let | Store, ...]) -> tuple[Let | Store, ...]:
    """The statements without locals that nothing names."""
    out: list[Let | Store] = []
    names: set[str] = set()
    for s in reversed(body):
        if isinstance(s, Store) or s.name in names:
            out.append(s)
            names |= {n for e in expressions(s) for n in variables(e)}
    return tuple(reversed(out))


def _value(kernel: Kernel, s: Store) -> Expr:
    """What is stored, also where a local stands for it."""
    if not isinstance(s.value, Var):
        return s.value
    local = next((x.value for x in kernel.body if isinstance(x, Let) and x.name == getattr(s.value, "name", None)), s.value)
    return s.value if isinstance(local, Reduce) else local


def _changed(kernel: Kernel, s: Store) -> Changed | None:
    """What a store changes, if it keeps elements before or behind a place that the host knows."""
    match _value(kernel, s):
        case Apply("select", (Apply("lt", (Var(axis), place)), first, then)):
            pass
        case _:
            return None
    free = {a.name: a.extent for a in kernel.free}
    known = free.keys() | {x.name for x in kernel.body if isinstance(x, Let)} | {a.name for a in kernel.axes}
    if axis not in free or not known.isdisjoint(variables(place)) or loads(place):
        return None
    if isinstance(first, Load) and first.index == s.index:
        return Changed(axis, place, then, first.source)
    return None
