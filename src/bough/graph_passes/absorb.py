"""The one operation of fusion: a consumer absorbs a producer, where that repeats no work.

    kernel p:  t[i, j] = sum(k) x[i, k] * w[j, k]           kernel c:  s = sum(k) x[i, k] * w[j, k]
    kernel c:  y[i, j] = max(t[i, j] + b[j], 0)       ->                y[i, j] = max(s + b[j], 0)

A consumer that reads a product at several offsets (the gates of a recurrent cell) takes one reduction per offset: the work is
the same as long as no element is computed twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bough.graph_passes.effects import keeps_points, whole
from bough.graph_passes.lower_program import loaded
from bough.graph_passes.split_sums import is_concatenation, split_sums
from bough.ir.dtypes import BOOL, I64
from bough.ir.expr import Apply, Cast, Const, Expr, Extent, Load, Var, as_expr, children, loads, substitute, variables
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Statement, Store
from bough.ir.sequence import expressions, map_loads, map_statement, outer_scalars
from bough.schedule.access import affine_in

MOST_REDUCTIONS = 8
"""Reductions of a fused kernel, whose accumulators share the registers."""
MOST_STREAMS = 2
"""Groups among them that read nothing in common: each runs in a nest of its own, while the sums of all wait in registers."""
FEW_ROWS = 3
"""Rows whose sum a product may form for itself."""


def is_view(kernel: Kernel) -> bool:
    """Only moves elements: reading through it costs no more than reading its result."""
    return not kernel.reductions and all(_moves(s.value) for s in kernel.stores) and len(kernel.body) == len(kernel.stores)


def _moves(e: Expr) -> bool:
    """Index arithmetic is free; arithmetic on elements is not."""
    if isinstance(e, (Const, Var)):
        return True
    if isinstance(e, Load):
        return True
    if isinstance(e, Cast):
        return _moves(e.value)
    if e.function == "select":
        return _is_index(e.args[0]) and _moves(e.args[1]) and _moves(e.args[2])
    return _is_index(e)


def _is_index(e: Expr) -> bool:
    """Arithmetic and tests on places, also on those that a number tells which the host could read."""
    if isinstance(e, Load):
        return e.index == () and e.dtype == I64
    return not loads(e) or (isinstance(e, Apply) and e.dtype in (I64, BOOL) and all(map(_is_index, e.args)))


@dataclass(frozen=True, slots=True)
class _Instance:
    """One way in which the consumer reads the producer: where each free axis of the producer stands."""

    at: tuple[tuple[str, Expr], ...]


_Element = tuple[str, _Instance]
"""What the producer stores to an array, for an instance."""


def absorb(producer: Kernel, consumer: Kernel, kept: set[str]) -> Kernel | None:
    """The consumer computing what it read from the producer, and storing those outputs that are `kept`.

    None where that would repeat work, or where the producer's point cannot be told from the consumer's.
    """
    stores = {s.target: s for s in producer.stores}
    if len(stores) != len(producer.stores) or not _keep_apart(producer, consumer):
        return None
    if any(load.source in stores for a in consumer.ragged for load in loads(as_expr(a.extent))):
        return None
    view = is_view(producer)
    read = [i.name for i in consumer.inputs if i.name in stores]
    positions = {name: _store_positions(producer, stores[name]) for name in {*read, *kept}}
    if any(p is None for p in positions.values()) or any(o.name in stores for o in consumer.outputs):
        return None
    outside: list[_Instance] = []
    inside: list[tuple[_Instance, tuple[str, ...]]] = []
    locals_ = {s.name for s in consumer.body if isinstance(s, Let)}
    for s in consumer.body:
        reduced = s.value.axes if isinstance(s, Let) and isinstance(s.value, Reduce) else ()
        for e in expressions(s):
            for load in loads(e):
                if load.source in stores:
                    instance = _instance(positions[load.source] or {}, load)
                    gathered = any(loads(x) for _, x in instance.at)
                    if gathered and not (view and whole(producer, stores[load.source])):
                        return None
                    if not _same_place(stores[load.source], load, producer):
                        return None
                    if any(variables(x) & locals_ for _, x in instance.at):
                        return None
                    if reduced:
                        inside.append((instance, reduced))
                    elif instance not in outside:
                        outside.append(instance)
    if not _worth(producer, consumer, outside, inside, kept):
        return None
    early = _early(consumer, stores, positions)
    late = [i for i in outside if i not in early]
    if late and (producer.reductions or kept):
        return None
    points = [*inside, *((i, ()) for i in late)]
    merged = _merge(producer, consumer, [i for i in outside if i in early], points, kept, positions)
    return merged if keeps_points(merged) else None


def _keep_apart(producer: Kernel, consumer: Kernel) -> bool:
    """Whether their promises hold for both together."""
    for name in {*producer.apart, *consumer.apart}:
        if any(i.name == name and name not in k.apart for k in (producer, consumer) for i in k.inputs):
            return False
    return True


def _early(
    consumer: Kernel, stores: dict[str, Store], positions: dict[str, dict[str, int] | None]
) -> list[_Instance]:
    """The instances that may be computed before everything else: they need no local of the consumer, and they are read
    under no guard, or at a place that exists for every point."""
    locals_ = {s.name for s in consumer.body if isinstance(s, Let)}
    found: list[_Instance] = []

    def walk(e: Expr, guarded: bool) -> None:
        if isinstance(e, Load) and e.source in stores:
            instance = _instance(positions[e.source] or {}, e)
            needed = {v for _, i in instance.at for v in variables(i)}
            if not needed & locals_ and (not guarded or _exists(consumer, e)):
                found.append(instance)
        choice = isinstance(e, Apply) and e.function == "select"
        for n, k in enumerate(children(e)):
            walk(k, guarded or (choice and n > 0))

    for s in consumer.body:
        for e in expressions(s):
            walk(e, False)
    return found


def _exists(consumer: Kernel, load: Load) -> bool:
    """Whether each index is an axis that runs exactly over the dimension."""
    extents = {a.name: a.extent for a in consumer.axes}
    shape = consumer.operands[load.source].shape
    return all(isinstance(i, Var) and extents.get(i.name) == e for i, e in zip(load.index, shape, strict=True))


def _store_positions(producer: Kernel, store: Store) -> dict[str, int] | None:
    """For each free axis, which index of the stored operand it is; None unless the store is one to one."""
    found: dict[str, int] = {}
    for n, i in enumerate(store.index):
        if isinstance(i, Var) and any(a.name == i.name for a in producer.free):
            if i.name in found:
                return None
            found[i.name] = n
        elif variables(i) & {a.name for a in producer.axes}:
            return None
    return found if len(found) == len(producer.free) else None


def _same_place(store: Store, load: Load, producer: Kernel) -> bool:
    """Whether the load names what is stored in those dimensions in which the store stays at one place."""
    axes = {a.name for a in producer.axes}
    shape = producer.operands[store.target].shape
    return all(
        variables(i) & axes or i == j or extent == 1 for i, j, extent in zip(store.index, load.index, shape, strict=True)
    )


def _instance(positions: dict[str, int], load: Load) -> _Instance:
    return _Instance(tuple((axis, load.index[n]) for axis, n in positions.items()))


def _worth(
    producer: Kernel, consumer: Kernel, outside: list[_Instance], inside: list[tuple[_Instance, tuple[str, ...]]],
    kept: set[str],
) -> bool:  # fmt: skip
    view = is_view(producer)
    if kept:
        return not inside and len(outside) == 1 and _same_box(producer, consumer, outside[0])
    if producer.reductions:
        if producer.ragged and len(outside) != 1:
            return False
        if inside or not outside or len(consumer.reductions) + len(outside) * _nest(producer) > MOST_REDUCTIONS:
            return False
        if not all(_injective(consumer, i) for i in outside) or streams(producer, consumer) > MOST_STREAMS:
            return False
        return _no_more(outside, [a.extent for a in consumer.free], producer)
    if view:
        mine = {a.name for a in producer.axes}
        pure = all(
            isinstance(s.value, Load) and all(affine_in(i, mine, indirect=True) is not None for i in s.value.index)
            for s in producer.stores
        )
        return pure or is_concatenation(producer) or not any(_has_product(consumer, axes) for _, axes in inside)
    boxes = [a.extent for a in consumer.free]
    if outside and not _no_more(outside, boxes, producer):
        return False
    return all(
        _no_more([i], [*boxes, *(consumer.axis(a).extent for a in axes)], producer)
        or (adds_gathered(producer) and _has_product(consumer, axes))
        for i, axes in inside
    )


def adds_gathered(producer: Kernel) -> bool:
    """Adds a few rows from places that are looked up: where a product reads the sum, it costs next to nothing to form it in
    registers for each tile, and no other kernel could have formed it."""
    if len(producer.body) != 1:
        return False

    def adds(e: Expr) -> int:
        if isinstance(e, Load):
            return 1 if any(loads(i) for i in e.index) else FEW_ROWS + 1
        return sum(adds(a) for a in e.args) if isinstance(e, Apply) and e.function in ("add", "sub") else FEW_ROWS + 1

    return all(adds(s.value) <= FEW_ROWS for s in producer.stores)


def _nest(kernel: Kernel) -> int:
    """Reductions that run together in one loop nest, at the most."""
    return max(Counter(r.axes for _, r in kernel.reductions).values())


def streams(*together: Kernel) -> int:
    """Groups of products, those in one that read an array in common."""
    groups: list[set[str]] = []
    for kernel in together:
        for _, r in kernel.reductions:
            if not _has_product(kernel, r.axes):
                continue
            read = {load.source for load in loads(r.body)}
            groups = [g for g in groups if g.isdisjoint(read)] + [read.union(*(g for g in groups if not g.isdisjoint(read)))]
    return len(groups)


def _has_product(consumer: Kernel, axes: tuple[str, ...]) -> bool:
    """Whether a reduction over these axes is a sum of products, which instruction mapping wants free of guards."""
    return any(
        r.op == "sum" and isinstance(r.body, Apply) and r.body.function == "mul"
        for _, r in consumer.reductions
        if r.axes == axes
    )


def _injective(consumer: Kernel, instance: _Instance) -> bool:
    """Each producer axis stands at one consumer axis plus a constant, distinct axes at distinct ones."""
    seen: set[str] = set()
    free = {a.name for a in consumer.free}
    for _, e in instance.at:
        coefficients = affine_in(e, free)
        if coefficients is None or len(coefficients) > 1 or seen & set(coefficients):
            return False
        if any(c != 1 for c in coefficients.values()):
            return False
        seen |= set(coefficients)
    return True


def _no_more(instances: list[_Instance], box: list[Extent], producer: Kernel) -> bool:
    """Whether evaluating the producer at all points of the box, once per instance, is no more than evaluating it once."""
    numbers, symbols = len(instances), Counter[Expr]()
    for e in box:
        if isinstance(e, int):
            numbers *= e
        else:
            symbols[e] += 1
    limit = 1
    for a in producer.free:
        if isinstance(a.extent, int):
            limit *= a.extent
        else:
            symbols[a.extent] -= 1
    return numbers <= limit and not any(n > 0 for n in symbols.values())


def _same_box(producer: Kernel, consumer: Kernel, instance: _Instance) -> bool:
    """Whether the instance is a renaming of axes between equal boxes, axes of one point aside."""
    extents = {a.name: a.extent for a in consumer.free}
    wide = [(axis, e) for axis, e in instance.at if producer.axis(axis).extent != 1]
    names = [e.name for _, e in wide if isinstance(e, Var) and e.name in extents]
    real = {a.name for a in consumer.free if a.extent != 1}
    if len(names) != len(wide) or len(set(names)) != len(names) or not real <= set(names):
        return False
    return all(producer.axis(axis).extent == extents[e.name] for axis, e in wide if isinstance(e, Var))


def _merge(
    producer: Kernel, consumer: Kernel, outside: list[_Instance], inside: list[tuple[_Instance, tuple[str, ...]]],
    kept: set[str], positions: dict[str, dict[str, int] | None],
) -> Kernel:  # fmt: skip
    taken = {a.name for a in consumer.axes} | {s.name for s in consumer.body if isinstance(s, Let)}
    taken |= {name for s in consumer.body for e in expressions(s) for name in variables(e)}
    fresh = _Names(taken | outer_scalars(producer) | outer_scalars(consumer))
    reduced, axes = _join_reduced(producer, consumer, outside, fresh)
    body: list[Statement] = []
    values: dict[_Element, Expr] = {}
    for instance in outside:
        body += _computed(producer, instance, reduced, kept, fresh, values)
    for instance, _ in inside:
        for element, value in _inlined(producer, instance):
            values.setdefault(element, value)

    def change(load: Load) -> Expr:
        position = positions.get(load.source)
        return load if position is None else values[load.source, _instance(position, load)]

    joined = bool(inside) and is_concatenation(producer)
    body.extend(map_statement(s, lambda e: map_loads(e, change)) for s in consumer.body)
    operands = {**producer.operands, **consumer.operands}
    consumer = replace(consumer, apart=tuple(dict.fromkeys((*producer.apart, *consumer.apart))))
    name = f"{producer.name}+{consumer.name}" if not is_view(producer) else consumer.name
    merged = rebuilt(consumer, tuple(axes), tuple(body), operands)
    location = producer.location if producer.reductions and producer.location else consumer.location or producer.location
    origins = tuple(dict.fromkeys((*producer.origins, *consumer.origins)))
    merged = replace(merged, name=name, location=location, origins=origins)
    return split_sums(merged) if joined else merged


def _computed(
    producer: Kernel, instance: _Instance, reduced: dict[str, str], kept: set[str], fresh: _Names, values: dict[_Element, Expr]
) -> list[Statement]:
    """The producer's statements for an instance; `values` gets what they store."""
    body: list[Statement] = []
    at: dict[str, Expr] = {**dict(instance.at), **{a: Var(n) for a, n in reduced.items()}}
    for s in producer.body:
        if isinstance(s, Let):
            new = _moved(s, at, reduced)
            assert isinstance(new, Let)
            name = fresh(s.name)
            body.append(Let(name, new.value))
            at[s.name] = Var(name, s.dtype)
            continue
        value = substitute(s.value, at)
        if not isinstance(value, (Var, Const, Load)) and not _is_index(value):
            name = fresh(f"{s.target}.here")  # as no array is called
            body.append(Let(name, value))
            value = Var(name, value.dtype)
        values[s.target, instance] = value
        if s.target in kept:
            body.append(Store(s.target, tuple(substitute(i, at) for i in s.index), value))
    return body


def _inlined(producer: Kernel, instance: _Instance) -> Iterator[tuple[_Element, Expr]]:
    """What the producer, which has no sums, stores for an instance, as expressions."""
    at = dict(instance.at)
    for s in producer.body:
        if isinstance(s, Let):
            assert not isinstance(s.value, Reduce)
            at[s.name] = substitute(s.value, at)
        else:
            yield (s.target, instance), substitute(s.value, at)


def _join_reduced(
    producer: Kernel, consumer: Kernel, outside: list[_Instance], fresh: _Names
) -> tuple[dict[str, str], list[Axis]]:
    """Names of the producer's reduced axes in the consumer, and the axes of both. Reductions over equal boxes share their axes,
    so that what they read in common shows."""
    names: dict[str, str] = {}
    axes = list(consumer.axes)
    free = [a for a in consumer.axes if a.name in consumer.reduced]
    for a in producer.reduced:
        extent = producer.axis(a).extent
        if not isinstance(extent, int) and loads(extent):
            extent = substitute(extent, dict(outside[0].at)) if outside else extent
        same = next((x for x in free if x.extent == extent), None)
        if same is not None:
            free.remove(same)
            names[a] = same.name
        else:
            names[a] = fresh(a)
            axes.append(Axis(names[a], extent))
    return names, axes


def _moved(s: Let, at: dict[str, Expr], reduced: dict[str, str]) -> Let:
    if isinstance(s.value, Reduce):
        return Let(s.name, Reduce(s.value.op, tuple(reduced[a] for a in s.value.axes), substitute(s.value.body, at)))
    return Let(s.name, substitute(s.value, at))


def rebuilt(like: Kernel, axes: tuple[Axis, ...], body: tuple[Statement, ...], operands: dict[str, Operand]) -> Kernel:
    """A kernel over this body with the operands it reads and writes, without locals that nothing names."""
    body = _live_lets(body)
    used = {n for s in body for e in expressions(s) for n in variables(e)}
    named = {a for s in body if isinstance(s, Let) and isinstance(s.value, Reduce) for a in s.value.axes}
    reduced_before = {a.name for a in axes} - used - named
    free = {a.name for a in like.free}
    axes = tuple(a for a in axes if a.name not in reduced_before or a.name in free)
    read, written = loaded(body), list(dict.fromkeys(s.target for s in body if isinstance(s, Store)))
    read |= {load.source for a in axes for load in loads(as_expr(a.extent))}
    inputs = tuple(o for n, o in operands.items() if n in read)
    apart = tuple(n for n in like.apart if n in read)
    return replace(like, axes=axes, inputs=inputs, outputs=tuple(operands[n] for n in written), body=body, apart=apart)


def _live_lets(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    out: list[Statement] = []
    used: set[str] = set()
    for s in reversed(body):
        if isinstance(s, Let) and s.name not in used:
            continue
        for e in expressions(s):
            variables(e, used)
        out.append(s)
    return tuple(reversed(out))


class _Names:
    """Fresh names: the wished one, or with a number behind it."""

    def __init__(self, taken: set[str]) -> None:
        self.taken = set(taken)

    def __call__(self, wish: str) -> str:
        name, n = wish, 1
        while name in self.taken:
            n += 1
            name = f"{wish}_{n}"
        self.taken.add(name)
        return name
