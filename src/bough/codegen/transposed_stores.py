"""Stores of a register tile across its vectors: where neighbouring rows lie side by side in memory, the tile is transposed.

    y[j * 100 + i]  for rows i and lanes j:   one vector of rows for each lane, in place of one element after the other

Stores of an unrolled loop wait for its end, so that those of all rows are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from bough.codegen import llvm_types as t
from bough.codegen.memory import WaitingStore, store_at, store_by_element
from bough.codegen.state import Emission, Scope
from bough.ir import loops
from bough.ir.expr import Expr, loads

BLOCK_BYTES = 16
"""Within blocks of this size processors shuffle cheaply; larger parts move as whole blocks."""


@contextmanager
def stores_wait(em: Emission, scope: Scope, loop: loops.For) -> Iterator[None]:
    """Emits an unrolled loop: its strided stores take place at its end, if they may and none around it does so already."""
    if em.waiting is not None or not _may_wait(loop):
        yield
        return
    em.waiting = []
    yield
    _write(em, scope, em.waiting)
    em.waiting = None


@contextmanager
def nothing_waits(em: Emission, scope: Scope) -> Iterator[None]:
    """Emits code of which a part may not run: stores before it are done, and stores in it do not wait."""
    before, em.waiting = em.waiting, None
    _write(em, scope, before or [])
    yield
    em.waiting = None if before is None else []


def _may_wait(loop: loops.For) -> bool:
    """Whether the loop is straight code that reads nothing it writes."""
    written: set[str] = set()
    read: set[str] = set()

    def straight(body: tuple[loops.Stmt, ...]) -> bool:
        return all(map(simple, body))

    def simple(s: loops.Stmt) -> bool:
        match s:
            case loops.For(kind=("unroll" | "vector")):
                return straight(s.body)
            case loops.Let():
                note(s.value)
            case loops.Store():
                written.add(s.buffer)
                note(s.value, *s.index)
            case _:
                return False
        return True

    def note(*found: Expr) -> None:
        read.update(load.source for e in found for load in loads(e))

    return straight(loop.body) and written.isdisjoint(read)


def _write(em: Emission, scope: Scope, waiting: list[WaitingStore]) -> None:
    """Stores that waited, as vectors where their elements lie side by side."""
    buffers = {id(w.place.storage): w.place.storage for w in waiting}
    for storage in buffers.values():
        together = [w for w in waiting if w.place.storage is storage]
        if not _apart(together):
            for w in together:
                store_by_element(em, scope, w)
            continue
        for run in _runs(sorted(together, key=lambda w: w.place.start.const)):
            if len(run) == 1:
                store_by_element(em, scope, run[0])
            else:
                _store_transposed(em, scope, run)


def _apart(stores: list[WaitingStore]) -> bool:
    """Whether stores to one buffer are known to reach an element once at most, so that their order does not matter."""
    if len({(w.place.start.terms, w.place.step, w.lanes) for w in stores}) > 1:
        return False
    reached = [w.place.start.const + n * w.place.step for w in stores for n in range(w.lanes)]
    return len(set(reached)) == len(reached)


def _runs(stores: list[WaitingStore]) -> Iterator[list[WaitingStore]]:
    """Stores to neighbouring elements, at most as many as a vector has lanes."""
    run: list[WaitingStore] = []
    for w in stores:
        if run and (w.place.start.const != run[-1].place.start.const + 1 or len(run) == w.value.type.count):
            yield run
            run = []
        run.append(w)
    yield run


def _store_transposed(em: Emission, scope: Scope, run: list[WaitingStore]) -> None:
    first = run[0]
    for lane, vector in enumerate(transposed(em.builder, [w.value for w in run])[: first.lanes]):
        store_at(em, scope, first.place.moved(lane * first.place.step), vector)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows of a tile: vectors in which the rows of a lane lie side by side, and which lanes they hold, in order."""

    vectors: list[tuple[Any, list[int]]]


def transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """For each lane of vectors, the vector of its elements. Two parts of the rows are put together in each step."""
    kind = rows[0].type
    lanes: int = kind.count
    nothing = ir.Constant(kind, ir.Undefined)
    size = 1
    parts = [_Part([(row, list(range(lanes)))]) for row in rows]
    while len(parts) > 1:
        if len(parts) % 2:
            parts.append(_Part([(nothing, held) for _, held in parts[-1].vectors]))
        parts = [_zipped(builder, a, b, size) for a, b in zip(parts[::2], parts[1::2])]
        size *= 2
    out: list[Any] = [None] * lanes
    for vector, held in parts[0].vectors:
        for n, lane in enumerate(held):
            picks = t.constant_vector(list(range(n * size, n * size + len(rows))))
            out[lane] = builder.shuffle_vector(vector, nothing, picks)
    return out


def _zipped(builder: Any, a: _Part, b: _Part, size: int) -> _Part:
    """The runs of `size` elements of `a`, each with the run of the same lane of `b` behind it."""
    out: list[tuple[Any, list[int]]] = []
    for (x, held), (y, _) in zip(a.vectors, b.vectors, strict=True):
        lanes: int = x.type.count
        block = min(lanes, max(BLOCK_BYTES * 8 // _bits(x.type.element), 1))
        block = block if 2 * size <= block else lanes
        for half in range(2):
            taken = [
                run
                for start in range(0, lanes // size, block // size)
                for run in range(start + half * block // size // 2, start + (half + 1) * block // size // 2)
            ]
            picks = [source + run * size + n for run in taken for source in (0, lanes) for n in range(size)]
            out.append((builder.shuffle_vector(x, y, t.constant_vector(picks)), [held[run] for run in taken]))
    return _Part(out)


def _bits(element: Any) -> int:
    return {ir.FloatType(): 32, ir.DoubleType(): 64, ir.HalfType(): 16}.get(element) or int(element.width)
