"""Where temporaries live: one arena, in which arrays that are never alive together share their place."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import accumulate

from bough.graph_passes.exposed import around
from bough.ir.dtypes import U8
from bough.ir.expr import Apply, Const, Expr, add, as_expr, floordiv, loads, maximum, mul
from bough.ir.kernel import Operand
from bough.ir.sequence import (
    Apart,
    Repeat,
    Room,
    Sequence,
    Step,
    Whilst,
    bodies,
    host_expressions,
    map_bodies,
    phase,
    private,
    walk,
)

ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class ArenaPlan:
    """`offsets[name]` and `size` in bytes; expressions over symbolic sizes where those decide."""

    offsets: dict[str, Expr]
    size: Expr


def plan_memory(sequence: Sequence) -> ArenaPlan:
    """Arrays whose sizes are multiples of the same unit (a byte, or a product of symbolic sizes) share a part of the arena."""
    spans = live_spans(sequence)
    parts: dict[Expr, list[Block]] = {}
    for name, span in spans.items():
        weight, unit = weighed(sequence.temporaries[name])
        parts.setdefault(unit, []).append(Block(name, weight, *span))
    offsets: dict[str, Expr] = {}
    end: Expr = Const(0)
    for unit in sorted(parts, key=lambda unit: not isinstance(unit, Const)):
        places = place(parts[unit])
        offsets |= {name: add(end, mul(at, unit)) for name, at in places.items()}
        end = add(end, mul(max(places[b.name] + b.size for b in parts[unit]), unit))
    return ArenaPlan(offsets, end)


def make_rooms(sequence: Sequence) -> Sequence:
    """Gives samples that go apart rooms for their private arrays, in one more temporary."""
    temporaries = dict(sequence.temporaries)

    def roomy(s: Step) -> Step:
        if not isinstance(s, Apart) or not s.private:
            return map_bodies(s, lambda body: tuple(map(roomy, body)))
        name = f"{s.variable}.room"
        while name in temporaries:
            name += "_"
        blocks = [_block(n, temporaries[n], s) for n in s.private]
        places = place(blocks)
        size = max(places[b.name] + b.size for b in blocks)
        temporaries[name] = Operand(name, U8, (s.rooms * size,))
        return replace(s, room=Room(name, size, tuple(places[n] for n in s.private)))

    steps = tuple(map(roomy, sequence.steps))
    return replace(sequence, steps=steps, temporaries=temporaries)


def _block(name: str, o: Operand, s: Apart) -> Block:
    size, unit = weighed(o)
    touched_at = [n for n, step in enumerate(s.steps) for k in phase(step) if name in k.operands]
    assert unit == Const(1)
    return Block(name, size, min(touched_at), max(touched_at))


@dataclass(frozen=True, slots=True)
class Block:
    """Memory for an array that is in use from step `first` to step `last`."""

    name: str
    size: int
    first: int
    last: int

    def meets(self, other: Block) -> bool:
        """Whether both are in use at one time."""
        return self.first <= other.last and other.first <= self.last


ORDERS: tuple[Callable[[Block], tuple[int, ...]], ...] = (
    lambda b: (-b.size, -b.last),
    lambda b: (b.first - b.last, -b.size),
    lambda b: (b.size * (b.first - b.last - 1),),
    lambda b: (-b.last, -b.size),
)
"""In which blocks are placed: none is best for all."""


def place(blocks: list[Block]) -> dict[str, int]:
    """Where each block begins: first fit in several orders, until one needs no more than the blocks that are in use together."""
    least = largest_live_set(blocks)
    best: dict[str, int] = {}
    most = -1
    for order in ORDERS:
        found = _first_fit(sorted(blocks, key=lambda b: (*order(b), b.name)))
        top = max(found[b.name] + b.size for b in blocks)
        if most < 0 or top < most:
            best, most = found, top
        if most == least:
            break
    return best


def largest_live_set(blocks: list[Block]) -> int:
    """The most that is in use at one time: no plan needs less."""
    change: dict[int, int] = {}
    for b in blocks:
        change[b.first] = change.get(b.first, 0) + b.size
        change[b.last + 1] = change.get(b.last + 1, 0) - b.size
    return max(accumulate(change[step] for step in sorted(change)))


def _first_fit(blocks: list[Block]) -> dict[str, int]:
    placed: list[tuple[int, int, Block]] = []
    for b in blocks:
        at = 0
        for start, stop, other in placed:
            if start >= at + b.size:
                break
            if stop > at and b.meets(other):
                at = stop
        insort(placed, (at, at + b.size, b), key=lambda p: p[0])
    return {b.name: start for start, _, b in placed}


def weighed(o: Operand) -> tuple[int, Expr]:
    """The bytes of an operand, rounded up to the alignment, as a number times a unit of symbolic sizes."""
    number, symbols = o.dtype.bytes, list[Expr]()
    stack = [as_expr(e) for e in o.shape]
    while stack:
        match stack.pop():
            case Const(value):
                number *= int(value)
            case Apply("mul", args):
                stack.extend(args)
            case e:
                symbols.append(_room(e))
    if not symbols or number % ALIGNMENT == 0:
        unit: Expr = Const(1)
        for e in sorted(symbols, key=repr):
            unit = mul(unit, e)
        return -(-number // ALIGNMENT) * ALIGNMENT, unit
    return 1, byte_size(o)


def live_spans(sequence: Sequence) -> dict[str, tuple[int, int]]:
    """For each temporary that is no result, and no thread's own: the first and last step that touches it, in textual order. What
    outlives a turn of a loop, or is touched outside of it too, lives through the whole loop. Branches of which one runs have
    times of their own."""
    spans: dict[str, tuple[int, int]] = {}
    apart = set[str]().union(*map(private, walk(sequence.steps)))
    mine = set(sequence.temporaries) - set(sequence.results) - apart
    loops: list[tuple[Repeat | Whilst, int, int]] = []

    def touch(names: Iterable[str], start: int, stop: int) -> None:
        for name in mine.intersection(names):
            a, b = spans.get(name, (start, stop))
            spans[name] = (min(a, start), max(b, stop))

    def go(steps: tuple[Step, ...], clock: int) -> int:
        for s in steps:
            start = clock
            if isinstance(s, Whilst):
                clock = go(s.head, clock)
            touch(touched(s), clock, clock)
            clock += 1
            for body in bodies(s)[isinstance(s, Whilst) :]:
                clock = go(body, clock)
            if isinstance(s, (Repeat, Whilst)):
                loops.append((s, start, clock - 1))
        return clock

    go(sequence.steps, 0)
    for loop, start, stop in loops:  # inner ones first
        outside = [n for n, (a, b) in spans.items() if (a < start <= b) or (a <= stop < b)]
        touch([*outside, *around(loop)], start, stop)
    return spans


def touched(s: Step) -> set[str]:
    """The arrays that a step itself reads or writes, its bodies aside."""
    named = {o.name for k in phase(s) for o in (*k.inputs, *k.outputs)}
    if isinstance(s, Apart) and s.room is not None:
        named.add(s.room.name)
    return named | {load.source for e in host_expressions(s) for load in loads(e)}


def byte_size(o: Operand) -> Expr:
    """Bytes of an operand, rounded up to the alignment."""
    total: Expr = Const(o.dtype.bytes)
    for e in o.shape:
        total = mul(total, _room(as_expr(e)))
    return mul(floordiv(add(total, ALIGNMENT - 1), ALIGNMENT), ALIGNMENT)


def _room(extent: Expr) -> Expr:
    """The extent, at least 0: where a branch is not taken, that of an array in it may be negative, as `8 - n` is."""
    return maximum(extent, Const(0)) if _has_difference(extent) else extent


def _has_difference(e: Expr) -> bool:
    return isinstance(e, Apply) and (e.function == "sub" or any(map(_has_difference, e.args)))
