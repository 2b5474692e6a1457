"""Fusion on the Kernel level: in each straight run of kernels, consumers absorb producers (see `absorb`) as long as any can.

What a kernel may absorb, by how it depends on what it reads:

    point by point                  the producer's formula stands in place of the loads
    a sum, point by point behind it the formula becomes the sum's epilogue: bias, activation, residual, gates, normalization
    moved elements (views, joins)   indices change, in sums too; other readers do the same for themselves
    one element by many points      not absorbed, unless nothing but its loads would be computed again
    the same points, several        one kernel with several results
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from bough.graph_passes.absorb import MOST_STREAMS, absorb, adds_gathered, is_view, rebuilt, streams
from bough.graph_passes.block import Block
from bough.graph_passes.effects import Effects
from bough.graph_passes.exposed import around, exposed, exposures
from bough.ir.expr import loads, variables
from bough.ir.kernel import Kernel, Store
from bough.ir.sequence import (
    Branch,
    Define,
    Repeat,
    Run,
    Sequence,
    Step,
    Whilst,
    bodies,
    host_expressions,
    host_loads,
    kernels,
    map_bodies,
)


def fuse(sequence: Sequence) -> Sequence:
    """Absorbs producers into consumers wherever no work is repeated, and drops what is no longer read."""
    outside: Counter[str] = Counter(sequence.results)
    steps = _fuse_steps(sequence.steps, outside)
    used = {o.name for k in kernels(steps) for o in (*k.inputs, *k.outputs)} | host_loads(steps)
    temporaries = {n: o for n, o in sequence.temporaries.items() if n in used or n in sequence.results}
    constants = {n: a for n, a in sequence.constants.items() if n in used}
    return replace(sequence, temporaries=temporaries, constants=constants, steps=steps)


def _fuse_steps(steps: tuple[Step, ...], outside: Iterable[str]) -> tuple[Step, ...]:
    """Fuses runs of kernels between steps of control; what is read outside of a run stays stored. Definitions come before what
    they do not depend on."""
    steps = _definitions_first(steps)
    behind = exposures(steps)
    done = tuple(_fuse_bodies(s, {*outside, *behind[n + 1]}) if bodies(s) else s for n, s in enumerate(steps))
    behind = exposures(done)
    out: list[Step] = []
    start = 0
    while start < len(done):
        if not isinstance(done[start], Run):
            out.append(done[start])
            start += 1
            continue
        stop = start
        while stop < len(done) and isinstance(done[stop], Run):
            stop += 1
        elsewhere = {*outside, *behind[stop]}
        block = [s.kernel for s in done[start:stop] if isinstance(s, Run)]
        out.extend(Run(k) for k in fuse_block(block, elsewhere))
        start = stop
    return tuple(out)


def _fuse_bodies(s: Step, behind: set[str]) -> Step:
    """The step with its bodies fused; `behind` is read after it."""
    match s:
        case Repeat():
            return replace(s, body=_fuse_steps(s.body, behind | around(s)))
        case Branch():
            return map_bodies(s, lambda body: _fuse_steps(body, behind))
        case Whilst():
            again = behind | around(s)
            head = _fuse_steps(s.head, again | exposed((), [s.condition]) | exposed(s.body))
            return replace(s, head=head, body=_fuse_steps(s.body, again))
        case _:
            return s


def _definitions_first(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The same steps with those definitions in front that read nothing that is written before them here."""
    first: list[Step] = []
    rest: list[Step] = []
    late: set[str] = set()
    for s in steps:
        reads = {load.source for e in host_expressions(s) for load in loads(e)}
        numbers = {n for e in host_expressions(s) for n in variables(e)}
        if isinstance(s, Define) and late.isdisjoint(reads | numbers):
            first.append(s)
            continue
        rest.append(s)
        late |= {o.name for k in kernels((s,)) for o in k.outputs} | ({s.name} if isinstance(s, Define) else set())
    return (*first, *rest)


def fuse_block(kernels: list[Kernel], live: set[str]) -> list[Kernel]:
    """Fuses a straight run of kernels. `live` names the operands that are read outside of it."""
    block = Block(_drop_dead(kernels, live))
    changed = True
    while changed:
        changed = False
        at = len(block.places) - 1
        while at >= 0:
            if _absorb_one(block, at, live):
                changed = True
                at = min(at + 1, len(block.places) - 1)
            else:
                at -= 1
        block = Block(_drop_dead(list(block), live))
    return list(block)


def _drop_dead(block: list[Kernel], live: set[str]) -> list[Kernel]:
    out: list[Kernel] = []
    needed = set(live)
    for kernel in reversed(block):
        if any(o.name in needed for o in kernel.outputs):
            kernel = _without_dead_stores(kernel, needed)
            out.append(kernel)
            needed.update(i.name for i in kernel.inputs)
    return out[::-1]


def _drop_unread(block: Block, place: int, live: set[str]) -> None:
    """Drops the kernel at a place, or those of its stores, that nothing behind it reads; then what only they needed."""
    (kernel,) = block.kernels([place])
    needed = {o.name for o in kernel.outputs if o.name in live or any(n > place for n in block.readers.get(o.name, ()))}
    if len(needed) == len(kernel.outputs):
        return
    left = _without_dead_stores(kernel, needed) if needed else None
    block.put(place, left)
    gone = {i.name for i in kernel.inputs} - {i.name for i in (left.inputs if left else ())}
    for n in reversed(block.between(block.writers, gone, 0, place)):
        _drop_unread(block, n, live)


def _without_dead_stores(kernel: Kernel, needed: set[str]) -> Kernel:
    if all(o.name in needed for o in kernel.outputs):
        return kernel
    body = tuple(s for s in kernel.body if not (isinstance(s, Store) and s.target not in needed))
    return rebuilt(kernel, kernel.axes, body, kernel.operands)


def _absorb_one(block: Block, at: int, live: set[str]) -> bool:
    """Whether the kernel at a place could absorb one of its producers, which it then has."""
    consumer = block.places[at]
    if consumer is None:
        return False
    for position in reversed(block.between(block.writers, [i.name for i in consumer.inputs], 0, at)):
        (producer,) = block.kernels([position])
        names = {o.name for o in producer.outputs}
        if any(map(block.is_state, names)):
            continue
        kept = {n for n in names if n in live or any(r > position and r != at for r in block.readers.get(n, ()))}
        if kept and (is_view(producer) or adds_gathered(producer)) and not _rewritten(block, position, at):
            merged = absorb(producer, consumer, set())
            if merged is not None:
                block.put(at, merged)
                _drop_unread(block, position, live)
                return True
        between = _dependents(block, position, at)
        if between is None or _belongs_to_products(producer, consumer, block, position):
            continue
        merged = absorb(producer, consumer, kept)
        if merged is None:
            continue
        middle = [n for n in range(position + 1, at) if block.places[n] is not None]
        first = block.kernels([n for n in middle if n not in between])
        then = block.kernels([n for n in middle if n in between])
        block.rewrite(position, at + 1, [*first, merged, *then])
        return True
    return False


def _belongs_to_products(producer: Kernel, consumer: Kernel, block: Block, position: int) -> bool:
    """Whether products that the consumer has no room for leave the producer to run behind them."""
    if producer.reductions or is_view(producer):
        return False
    waiting = block.kernels(block.between(block.writers, [i.name for i in producer.inputs], 0, position))
    return streams(*waiting) > 0 and streams(consumer, *waiting) > MOST_STREAMS


def _dependents(block: Block, position: int, at: int) -> set[int] | None:
    """Kernels between the two that stay behind the producer; None where the consumer stays behind one of them."""
    before = block.effects[position]
    behind, found = Effects(set(), set()), set[int]()
    for n in range(position + 1, at):
        effects = block.effects[n]
        if effects.after(before) or effects.after(behind):
            found.add(n)
            behind.add(effects)
    return None if block.effects[at].after(behind) else found


def _rewritten(block: Block, position: int, at: int) -> bool:
    """Whether kernels between the two write what the first reads."""
    return bool(block.between(block.writers, block.effects[position].reads, position + 1, at))


