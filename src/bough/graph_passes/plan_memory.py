"""Where temporaries live: one arena, in which arrays that are never alive together share their place."""

from __future__ import annotations

from dataclasses import dataclass

from bough.ir.expr import Const, Expr, add, as_expr, floordiv, mul
from bough.ir.kernel import Operand
from bough.ir.sequence import Repeat, Sequence, Step, kernels, phase

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
    """For each temporary that is no result: the first and last step that touches it, loops counting as a whole for
    what is alive around or across their iterations."""
    spans: dict[str, tuple[int, int]] = {}
    mine = set(sequence.temporaries) - set(sequence.results)

    def touch(name: str, start: int, stop: int) -> None:
        if name in mine:
            a, b = spans.get(name, (start, stop))
            spans[name] = (min(a, start), max(b, stop))

    def walk(steps: tuple[Step, ...], clock: int) -> int:
        for s in steps:
            if isinstance(s, Repeat):
                clock = repeat(s, clock)
            else:
                for kernel in phase(s):
                    for o in (*kernel.inputs, *kernel.outputs):
                        touch(o.name, clock, clock)
                clock += 1
        return clock

    def repeat(s: Repeat, clock: int) -> int:
        written: set[str] = set()
        across: set[str] = set()
        stop = walk(s.body, clock)
        first_touch: dict[str, str] = {}
        for k in kernels(s.body):
            for i in k.inputs:
                first_touch.setdefault(i.name, "read")
            for o in k.outputs:
                first_touch.setdefault(o.name, "write")
                written.add(o.name)
        across = {n for n, how in first_touch.items() if how == "read"} | {n for k in kernels(s.body) for n in k.apart}
        outside = set(spans) & {n for n, (a, b) in spans.items() if a < clock}
        for name in first_touch:
            if name in across or name in outside or name in _escaping:
                touch(name, clock, stop)
        return stop

    _escaping = _read_after_loops(sequence.steps)
    walk(sequence.steps, 0)
    return spans


def _read_after_loops(steps: tuple[Step, ...]) -> set[str]:
    """Operands written in a loop and read outside of it."""
    found: set[str] = set()
    for n, s in enumerate(steps):
        if isinstance(s, Repeat):
            written = {o.name for k in kernels(s.body) for o in k.outputs}
            rest = {i.name for k in kernels((*steps[:n], *steps[n + 1 :])) for i in k.inputs}
            found |= written & rest
            found |= _read_after_loops(s.body)
    return found


def byte_size(o: Operand) -> Expr:
    """Bytes of an operand, rounded up to the alignment."""
    total: Expr = Const(o.dtype.bytes)
    for e in o.shape:
        total = mul(total, as_expr(e))
    return mul(floordiv(add(total, ALIGNMENT - 1), ALIGNMENT), ALIGNMENT)


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]
