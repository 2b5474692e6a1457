"""Chains of sums over common rows, found by dependence: what one makes of a row, only the same row of the next needs.

    scores[g, t, s] = sum(e) q[g, t, e] * k[g, s, e]
    largest[g, t] = max(s) scores[g, t, s]
    powers[g, t, s] = exp(scores[g, t, s] - largest[g, t])
    y[g, t, v] = sum(s) powers[g, t, s] * w[g, s, v]

share the rows g, t. A thread that takes its rows through all of them keeps scores and powers to itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Set
from collections.abc import Sequence as List
from dataclasses import dataclass, replace

from bough.graph_passes.effects import Effects, whole
from bough.ir.expr import Apply, Expr, Var, loads, substitute, variables
from bough.ir.kernel import Axis, Kernel, Let, Reduce
from bough.ir.sequence import Run, Sequence, Step, expressions, host_loads, kernels, map_bodies, map_statement

Rows = list[tuple[str, ...]]
"""For each kernel, what it calls the common rows, in the same order."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Kernels of a run, which call their common `rows` alike: all from `start` to `stop` but those that need nothing of them, and
    run `before` them."""

    start: int
    stop: int
    before: tuple[Kernel, ...]
    kernels: tuple[Kernel, ...]
    rows: tuple[str, ...]
    private: frozenset[str]
    """What the chain writes, all of it, and nothing else touches."""


Change = Callable[[Chain], List[Step]]


def change_chains(sequence: Sequence, change: Change) -> Sequence:
    """The sequence with the steps that `change` gives in place of every chain."""
    everything = kernels(sequence.steps)
    touched = Counter(n for k in everything for n in k.operands)
    outside = {*sequence.results, *host_loads(sequence.steps), *(n for n in touched if n not in sequence.temporaries)}

    def changed(run: list[Kernel]) -> list[Step]:
        mine = Counter(n for k in run for n in k.operands)
        out: list[Step] = []
        at = 0
        for chain in find_chains(run, outside | {n for n in mine if mine[n] < touched[n]}, sequence.constants.keys()):
            out += [*map(Run, run[at : chain.start]), *map(Run, chain.before), *change(chain)]
            at = chain.stop
        return [*out, *map(Run, run[at:])]

    def walk(steps: tuple[Step, ...]) -> tuple[Step, ...]:
        out: list[Step] = []
        run: list[Kernel] = []
        for s in steps:
            if isinstance(s, Run):
                run.append(s.kernel)
                continue
            out += [*changed(run), map_bodies(s, walk)]
            run = []
        return (*out, *changed(run))

    return replace(sequence, steps=walk(sequence.steps))


def find_chains(run: List[Kernel], outside: set[str], weights: Set[str]) -> list[Chain]:
    """The chains of a straight run of kernels that hold two sums of products at least, in order, none overlapping another.
    `outside` is what others touch. A chain has no product with `weights`, which every thread would read anew for each block of
    its rows."""
    first = (n for n, k in enumerate(run) if is_product(k) and not _weighted(k, weights))
    found = [longest for n in first if (longest := _longest(run, n, weights)) is not None]
    spans: list[tuple[int, int]] = []
    chains: list[Chain] = []
    for places, rows in sorted(found, key=lambda f: (-len(f[1][0]), f[0])):  # the finest rows first
        if any(start <= places[-1] and places[0] < stop for start, stop in spans):
            continue
        while places[0] > 0 and not any(stop == places[0] for _, stop in spans):
            own = _leads(run, places, rows)
            if own is None:
                break
            places, rows = [places[0] - 1, *places], [own, *rows]
        spans.append((places[0], places[-1] + 1))
        chains.append(_chain(run, places, rows, outside))
    return sorted(chains, key=lambda c: c.start)


def is_product(kernel: Kernel) -> bool:
    return any(_multiplies(r) for _, r in kernel.reductions)


def _multiplies(r: Reduce) -> bool:
    return r.op == "sum" and isinstance(r.body, Apply) and r.body.function == "mul" and sum(1 for _ in loads(r.body)) >= 2


def _weighted(kernel: Kernel, weights: Set[str]) -> bool:
    return is_product(kernel) and any(x.source in weights for _, r in kernel.reductions for x in loads(r.body))


def _longest(run: List[Kernel], start: int, weights: Set[str]) -> tuple[list[int], Rows] | None:
    """The places of the longest chain from `start` on whose rows do not become coarser once it has two products."""
    places, rows = [start], [tuple(a.name for a in run[start].free if a.extent != 1)]
    best: tuple[list[int], Rows] | None = None
    effects = Effects.of(run[start])
    for n in range(start + 1, len(run)):
        own = Effects.of(run[n])
        if not own.after(effects) and not run[n].apart:
            continue
        joined = _join([run[m] for m in places], rows, run[n]) if not _weighted(run[n], weights) else None
        if joined is None or (best is not None and len(joined[0]) < len(rows[0])):
            break
        effects.add(own)
        places, rows = [*places, n], joined
        if best is not None or is_product(run[n]):
            best = places, rows
    return best


def _join(before: list[Kernel], rows: Rows, kernel: Kernel) -> Rows | None:
    """The common rows with one kernel more; None where there are none."""
    stores = {s.target: (n, s) for n, k in enumerate(before) for s in k.stores}
    touched = {o.name for k in before for o in (*k.inputs, *k.outputs)}
    if any(k.ragged or k.apart or _writes_twice(k) for k in (*before, kernel)) or touched & {o.name for o in kernel.outputs}:
        return None
    names: list[set[str | None]] = [set() for _ in rows[0]]
    for load in (x for s in kernel.body for e in expressions(s) for x in loads(e) if x.source in stores):
        n, store = stores[load.source]
        for found, axis in zip(names, rows[n], strict=True):
            found.add(_same_row(before[n], axis, store.index, kernel, load.index))
    common = [n for n, found in enumerate(names) if len(found) == 1 and None not in found]
    own = [next(iter(names[n])) for n in common]
    if not common or len(set(own)) < len(own):
        return None
    return [*(tuple(r[n] for n in common) for r in rows), tuple(name for name in own if name is not None)]


def _leads(run: List[Kernel], places: list[int], rows: Rows) -> tuple[str, ...] | None:
    """What the kernel in front of a chain calls its rows, if it has no sums and the chain needs of its results the same rows
    alone."""
    kernel, chain, effects = run[places[0] - 1], [run[n] for n in places], Effects.of(run[places[0] - 1])
    between = [run[n] for n in range(places[0], places[-1]) if n not in places]
    if any(Effects.of(k).after(effects) for k in between):
        return None
    if kernel.reductions or kernel.apart or _writes_twice(kernel):
        return None
    if any(o.name in kernel.operands for k in chain for o in k.outputs):
        return None
    stores = {s.target: s.index for s in kernel.stores}
    names: list[set[str | None]] = [set() for _ in rows[0]]
    for k, own in zip(chain, rows, strict=True):
        for load in (x for s in k.body for e in expressions(s) for x in loads(e) if x.source in stores):
            for found, axis in zip(names, own, strict=True):
                found.add(_same_row(k, axis, load.index, kernel, stores[load.source]))
    kept = tuple(name for n in names if len(n) == 1 for name in n if name is not None)
    return kept if len(set(kept)) == len(rows[0]) else None


def _writes_twice(kernel: Kernel) -> bool:
    return len({s.target for s in kernel.stores}) < len(kernel.stores)


def _same_row(first: Kernel, axis: str, stored: tuple[Expr, ...], then: Kernel, read: tuple[Expr, ...]) -> str | None:
    """The free axis of `then` that stands where `axis` stands in what `first` stores, over the same range; None if that is no
    axis alone."""
    places = [n for n, i in enumerate(stored) if axis in variables(i)]
    if len(places) != 1 or stored[places[0]] != Var(axis):
        return None
    here = read[places[0]]
    free = {a.name: a.extent for a in then.free}
    if not isinstance(here, Var) or free.get(here.name) != first.axis(axis).extent:
        return None
    return here.name if sum(here.name in variables(i) for i in read) == 1 else None


def _chain(run: List[Kernel], places: list[int], rows: Rows, outside: set[str]) -> Chain:
    members = [run[n] for n in places]
    elsewhere = outside | {o for n, k in enumerate(run) if n not in places for o in k.operands}
    taken = {n for k, own in zip(members, rows) for n in {*(a.name for a in k.axes), *_scalars(k)} - set(own)}
    common: list[str] = []
    for n in range(len(rows[0])):
        name = f"row{n}"
        while name in taken:
            name += "_"
        common.append(name)
    renamed = tuple(with_axes(k, dict(zip(own, common))) for k, own in zip(members, rows, strict=True))
    written = {s.target for k in members for s in k.stores if whole(k, s)}
    private = frozenset(written) - elsewhere
    between = tuple(run[n] for n in range(places[0], places[-1]) if n not in places)
    return Chain(places[0], places[-1] + 1, between, renamed, tuple(common), private)


def _scalars(kernel: Kernel) -> set[str]:
    return {n for s in kernel.body for e in expressions(s) for n in variables(e)} | {
        s.name for s in kernel.body if isinstance(s, Let)
    }


def with_axes(kernel: Kernel, names: dict[str, str]) -> Kernel:
    """The kernel with free axes called otherwise."""
    new: dict[str, Expr] = {old: Var(name) for old, name in names.items()}
    body = tuple(map_statement(s, lambda e: substitute(e, new)) for s in kernel.body)
    return replace(kernel, axes=tuple(Axis(names.get(a.name, a.name), a.extent) for a in kernel.axes), body=body)
