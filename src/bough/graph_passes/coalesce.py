"""One array instead of two where one is a copy of the other, and neither is written while the other is still read.

    while turn                                           while turn
      test ...                                             test ...
      kernel more(h) -> (h2)                               kernel more(h) -> (h)
        h2[i] = h[i] * 0.5                                   h[i] = h[i] * 0.5
      kernel next(h2) -> (h)
        h[i] = h2[i]

So a state is updated in place, and a branch that gives what it was given does nothing. What only keeps most of another array,
`y[i] = select(i < n, x[i], new[i - n])`, is a copy in this sense too: a row is appended without touching the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import combinations

from bough.base.names import fresh
from bough.graph_passes.effects import keeps_points
from bough.graph_passes.in_place import kept_by, write_in_place
from bough.graph_passes.liveness import Live, live_after
from bough.graph_passes.substitution import rename, renamed, with_shapes
from bough.ir.expr import Extent, Load, Var
from bough.ir.kernel import Kernel, Store
from bough.ir.sequence import Branch, Define, Sequence, Whilst, kernels, walk

Pair = tuple[str, str]


def coalesce(sequence: Sequence) -> Sequence:
    """Makes arrays one along all copies between temporaries that allow it."""
    return _coalesce(sequence, appends_only=False)


def coalesce_appends(sequence: Sequence) -> Sequence:
    """The same, before kernels are fused, for arrays of which some kernel only changes a part that the host knows."""
    return _coalesce(sequence, appends_only=True)


def _coalesce(sequence: Sequence, appends_only: bool) -> Sequence:
    if not any(isinstance(s, (Branch, Whilst)) for s in walk(sequence.steps)):
        return sequence
    taken = {d.name for d in sequence.dims} | {s.name for s in walk(sequence.steps) if isinstance(s, Define)}
    named = partial(fresh, taken=taken)
    while True:
        pairs = candidates(sequence, appends_only)
        chosen = _independent(sequence, pairs) if pairs else []
        sequence = _merged(sequence, chosen)
        sequence = replace(sequence, steps=write_in_place(sequence.steps, named, appends_only))
        if not chosen:
            return sequence


def candidates(sequence: Sequence, appends_only: bool) -> list[Pair]:
    """Pairs of temporaries of which one is a copy of the other, or keeps elements of it; with `appends_only`, those that hang
    together with one of the latter kind."""
    copies = dict.fromkeys(p for k in kernels(sequence.steps) for p in (*_copied(k), *_stored_twice(k)))
    keeps = dict.fromkeys(p for k in kernels(sequence.steps) for p in kept_by(k, appends_only))
    found = [p for p in (*keeps, *copies) if p[0] != p[1] and all(n in sequence.temporaries for n in p)]
    if not appends_only:
        return found
    reached = {n for p in keeps for n in p}
    while more := {n for p in found if not reached.isdisjoint(p) for n in p} - reached:
        reached |= more
    return [p for p in found if p[0] in reached]


def _copied(k: Kernel) -> Iterator[Pair]:
    """What a kernel that does nothing else copies, element by element to the same places."""
    if any(not isinstance(s, Store) for s in k.body):
        return
    for s in k.stores:
        if isinstance(s.value, Load) and _same_place(k, s, s.value) and s.value.source not in k.apart:
            yield s.target, s.value.source


def _stored_twice(k: Kernel) -> Iterator[Pair]:
    """Arrays that get the same elements at the same places."""
    for a, b in combinations(k.stores, 2):
        if a.value == b.value and a.index == b.index and a.target != b.target:
            yield a.target, b.target


def _same_place(k: Kernel, s: Store, load: Load) -> bool:
    target, source = k.operands[s.target].shape, k.operands[load.source].shape
    return len(s.index) == len(load.index) and all(
        e == f == 1 or (i == j and isinstance(i, Var)) for i, j, e, f in zip(s.index, load.index, target, source, strict=True)
    )


def _independent(sequence: Sequence, pairs: list[Pair]) -> list[Pair]:
    """Pairs that may be one, no array in two of them."""
    after, found, used = live_after(sequence), list[Pair](), set[str]()
    every = kernels(sequence.steps)
    for a, b in pairs:
        if used.isdisjoint((a, b)) and _shape_of_both(sequence, a, b) is not None and _apart(every, after, a, b):
            found.append((a, b))
            used |= {a, b}
    return found


def _apart(every: list[Kernel], after: list[Live], a: str, b: str) -> bool:
    """Whether neither is written while the other is still read, copies between the two aside."""
    for k, live in zip(every, after, strict=True):
        written = {o.name for o in k.outputs} & {a, b}
        if not written:
            continue
        if not {a, b}.isdisjoint(k.apart):
            return False
        if len(written) == 2:
            if (a, b) not in _stored_twice(k) and (b, a) not in _stored_twice(k):
                return False
            if not keeps_points(renamed(k, {b: a})):
                return False
            continue
        (mine,) = written
        other = b if mine == a else a
        if other in live and (mine, other) not in _copied(k):
            return False
        if not keeps_points(renamed(k, {other: mine})):
            return False
    return True


def _shape_of_both(sequence: Sequence, a: str, b: str) -> tuple[Extent, ...] | None:
    """A shape that has room for both; None where there is none, or one of two results would have to change."""
    x, y = sequence.temporaries[a], sequence.temporaries[b]
    if x.dtype != y.dtype or len(x.shape) != len(y.shape) or (a in sequence.results and b in sequence.results):
        return None
    if x.shape == y.shape:
        return x.shape
    if a in sequence.results or b in sequence.results:
        return None
    found: list[Extent] = []
    for e, f in zip(x.shape, y.shape, strict=True):
        if e != f and not (isinstance(e, int) and isinstance(f, int)):
            return None
        found.append(max(e, f) if isinstance(e, int) and isinstance(f, int) else e)
    whole = all(k.operands[o.name].shape == o.shape for k in kernels(sequence.steps) for o in (x, y) if o.name in k.operands)
    return tuple(found) if whole else None


def _merged(sequence: Sequence, pairs: list[Pair]) -> Sequence:
    """The sequence with one array for both of each pair, no array being in two of them."""
    names: dict[str, str] = {}
    shapes: dict[str, tuple[Extent, ...]] = {}
    for a, b in pairs:
        kept, gone = (b, a) if b in sequence.results else (a, b)
        shape = _shape_of_both(sequence, a, b)
        assert shape is not None
        names[gone], shapes[kept] = kept, shape
    steps = with_shapes(rename(sequence.steps, names), shapes)
    temporaries = {n: replace(o, shape=shapes.get(n, o.shape)) for n, o in sequence.temporaries.items() if n not in names}
    return replace(sequence, steps=steps, temporaries=temporaries, partly=frozenset(names.get(n, n) for n in sequence.partly))
