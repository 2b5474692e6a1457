"""Kernels that write only what they change: elements that would be stored as they are are left alone.

    axes i: n + 1                                          axes i: 1
    y[i] = select(i < n, y[i], new[i - n])        ->       y[i + n] = new[i]

    axes i: 64                                             define at = k[]
    y[i] = select(i == k[], new[], y[i])          ->       if 0 <= at < 64:  y[at] = new[]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from bough.graph_passes.lower_program import with_body
from bough.ir.expr import (
    Apply,
    Const,
    Expr,
    Load,
    Var,
    add,
    apply,
    as_expr,
    as_extent,
    loads,
    maximum,
    sub,
    substitute,
    variables,
)
from bough.ir.kernel import Axis, Kernel, Let, Reduce, Store
from bough.ir.sequence import Branch, Define, Run, Step, expressions, map_bodies, map_statement
from bough.rewrite import Facts, Interval, simplify


@dataclass(frozen=True, slots=True)
class Changed:
    """Along `axis`, `value` is stored from `start` on, or to that `single` element; the others stay as they are in `kept`."""

    axis: str
    start: Expr
    single: bool
    value: Expr
    kept: str


def kept_by(kernel: Kernel, known: bool) -> Iterator[tuple[str, str]]:
    """Arrays that a kernel stores to, each with one of which it keeps elements where they are; with `known`, only where the host
    knows which without asking an array."""
    for s in kernel.stores:
        found = _changed(kernel, s)
        if found is not None and found.kept not in kernel.apart and not (known and loads(found.start)):
            yield s.target, found.kept


Fresh = Callable[[str], str]


def write_in_place(steps: tuple[Step, ...], fresh: Fresh, known: bool) -> tuple[Step, ...]:
    """The steps without stores of what is there already; with `known`, only where the host knows which without asking an array.
    `fresh` makes names for numbers of the host."""
    out: list[Step] = []
    for s in steps:
        if isinstance(s, Run):
            out += only_changes(s.kernel, fresh, known)
        else:
            out.append(map_bodies(s, lambda body: write_in_place(body, fresh, known)))
    return tuple(out)


def only_changes(kernel: Kernel, fresh: Fresh, known: bool) -> tuple[Step, ...]:
    """A kernel without stores of what is there already; nothing, if that is all."""
    body = tuple(s for s in kernel.body if not (isinstance(s, Store) and _stays(kernel, s)))
    written = {s.target for s in body if isinstance(s, Store)}
    if not written:
        return ()
    if len(body) < len(kernel.body):
        kernel = with_body(replace(kernel, outputs=tuple(o for o in kernel.outputs if o.name in written)), _used(body))
    found = _changed(kernel, kernel.stores[0]) if len(kernel.stores) == 1 else None
    if found is None or found.kept != kernel.stores[0].target or (known and loads(found.start)):
        return (Run(kernel),)
    if not found.single:
        return only_changes(_behind(kernel, found), fresh, known)
    at = Define(fresh(f"{found.kept}.at"), found.start, 0, kernel.location)
    extent = as_expr(kernel.axis(found.axis).extent)
    inside = apply("and", apply("ge", Var(at.name), Const(0)), apply("lt", Var(at.name), extent))
    return (at, Branch(inside, only_changes(_at_one(kernel, found, at.name), fresh, known)))


def _behind(kernel: Kernel, found: Changed) -> Kernel:
    """The kernel from the place on at which something changes."""
    facts: Facts = {n: Interval(0) for n in variables(found.start)}
    start = simplify(maximum(found.start, 0), facts)
    extent = simplify(maximum(sub(kernel.axis(found.axis).extent, start), 0), facts)
    return _moved(kernel, found, add(Var(found.axis), start), extent, facts)


def _at_one(kernel: Kernel, found: Changed, name: str) -> Kernel:
    """The kernel for the one element that changes."""
    kernel = _moved(kernel, found, Var(name), Const(1), {})
    return replace(kernel, axes=tuple(a for a in kernel.axes if a.name != found.axis))


def _moved(kernel: Kernel, found: Changed, place: Expr, extent: Expr, facts: Facts) -> Kernel:
    """The kernel with another place on the axis, and so many elements along it."""

    def here(e: Expr) -> Expr:
        return simplify(substitute(e, {found.axis: place}), facts)

    body = tuple(Store(s.target, s.index, found.value) if isinstance(s, Store) else s for s in kernel.body)
    axes = tuple(Axis(a.name, as_extent(extent if a.name == found.axis else here(as_expr(a.extent)))) for a in kernel.axes)
    return with_body(replace(kernel, axes=axes), _used(tuple(map_statement(s, here) for s in body)))


def _used(body: tuple[Let | Store, ...]) -> tuple[Let | Store, ...]:
    """The statements without locals that nothing names."""
    out: list[Let | Store] = []
    names: set[str] = set()
    for s in reversed(body):
        if isinstance(s, Store) or s.name in names:
            out.append(s)
            names |= {n for e in expressions(s) for n in variables(e)}
    return tuple(reversed(out))


def _stays(kernel: Kernel, s: Store) -> bool:
    return _value(kernel, s) == Load(s.target, s.index, s.value.dtype)


def _value(kernel: Kernel, s: Store) -> Expr:
    """What is stored, also where a local stands for it."""
    if not isinstance(s.value, Var):
        return s.value
    local = next((x.value for x in kernel.body if isinstance(x, Let) and x.name == getattr(s.value, "name", None)), s.value)
    return s.value if isinstance(local, Reduce) else local


def _changed(kernel: Kernel, s: Store) -> Changed | None:
    """What a store changes, if it keeps elements before or behind a place that the host knows."""
    value = _value(kernel, s)
    if not isinstance(value, Apply) or value.function != "select":
        return None
    test, a, b = value.args
    own = {x.name for x in kernel.body if isinstance(x, Let)} | {x.name for x in kernel.axes}
    match simplify(test):
        case Apply("lt", (Var(axis), place)) if isinstance(a, Load) and a.index == s.index and not loads(place):
            found = Changed(axis, place, False, b, a.source)
        case Apply("eq", (Var(axis), place)) | Apply("eq", (place, Var(axis))) if isinstance(b, Load) and b.index == s.index:
            found = Changed(axis, place, True, a, b.source)
        case _:
            return None
    if axis not in {x.name for x in kernel.free} or not own.isdisjoint(variables(place)) or any(x.index for x in loads(place)):
        return None
    return found


