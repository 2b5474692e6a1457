"""Where temporaries live: one arena, in which arrays that are never alive together share their place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bough.graph_passes.effects import around
from bough.ir.expr import Const, Expr, add, as_expr, floordiv, loads, mul
from bough.ir.kernel import Operand
from bough.ir.sequence import Group, Repeat, Sequence, Step, Whilst, bodies, host_expressions, phase, walk

ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class ArenaPlan:
    """`offsets[name]` and `size` in bytes; expressions over symbolic sizes where those decide."""

    offsets: dict[str, Expr]
    size: Expr


def plan_memory(sequence: Sequence) -> ArenaPlan:
    """First fit by decreasing size for arrays of constant size; arrays of symbolic size share only with their equals."""
    spans = live_spans(sequence)
    fixed: list[tuple[int, str]] = []
    symbolic: dict[Expr, list[list[str]]] = {}
    for name in spans:
        size = byte_size(sequence.temporaries[name])
        if isinstance(size, Const):
            fixed.append((int(size.value), name))
        else:
            slots = symbolic.setdefault(size, [])
            for slot in slots:
                if not any(_overlap(spans[name], spans[other]) for other in slot):
                    slot.append(name)
                    break
            else:
                slots.append([name])
    offsets: dict[str, Expr] = {}
    placed: list[tuple[int, int, str]] = []
    for size_, name in sorted(fixed, key=lambda item: (-item[0], item[1])):
        at = 0
        for start, stop, other in sorted(placed):
            if _overlap(spans[name], spans[other]) and start < at + size_ and at < stop:
                at = stop
        placed.append((at, at + size_, name))
        offsets[name] = Const(at)
    end: Expr = Const(max((stop for _, stop, _ in placed), default=0))
    for size, slots in symbolic.items():
        for slot in slots:
            for name in slot:
                offsets[name] = end
            end = add(end, size)
    return ArenaPlan(offsets, end)


def live_spans(sequence: Sequence) -> dict[str, tuple[int, int]]:
    """For each temporary that is no result, and no thread's own: the first and last step that touches it, in textual order. What
    outlives a turn of a loop, or is touched outside of it too, lives through the whole loop. Branches of which one runs have
    times of their own."""
    spans: dict[str, tuple[int, int]] = {}
    private = {n for s in walk(sequence.steps) if isinstance(s, Group) for n in s.private}
    mine = set(sequence.temporaries) - set(sequence.results) - private
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
    return named | {load.source for e in host_expressions(s) for load in loads(e)}


def byte_size(o: Operand) -> Expr:
    """Bytes of an operand, rounded up to the alignment."""
    total: Expr = Const(o.dtype.bytes)
    for e in o.shape:
        total = mul(total, as_expr(e))
    return mul(floordiv(add(total, ALIGNMENT - 1), ALIGNMENT), ALIGNMENT)


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]
