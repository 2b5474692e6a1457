"""The memory of a call: where each array lies in the arena, and during which steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bough.graph_passes.plan_memory import byte_size, live_spans
from bough.ir.expr import as_expr
from bough.ir.sequence import Step, Whilst, bodies, kernels, phase
from bough.pipeline.assemble import Assembled
from bough.search.cost import nominal


@dataclass(frozen=True, slots=True)
class Held:
    """An array of `bytes` at `offset`, from step `first` to `last`. `kernel` is the first to write it."""

    name: str
    offset: int
    bytes: int
    first: int
    last: int
    kernel: str


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. `steps` names the kernels of each step of the host, in order; steps of its own have none."""

    arena: int
    weights: int
    arguments: int
    results: int
    arrays: tuple[Held, ...]
    steps: tuple[tuple[str, ...], ...]

    def used(self) -> list[int]:
        """The bytes of the arena that are in use at each step."""
        return [sum(a.bytes for a in self.arrays if a.first <= n <= a.last) for n in range(len(self.steps))]


def read_memory(assembled: Assembled, sizes: Mapping[str, int]) -> Memory:
    """The plan of a function for these sizes."""
    sequence = assembled.sequence
    spans = live_spans(sequence)
    writers: dict[str, str] = {}
    for k in kernels(sequence.steps):
        for o in k.outputs:
            writers.setdefault(o.name, k.name)
    arrays = tuple(
        Held(name, nominal(at, sizes), nominal(byte_size(sequence.temporaries[name]), sizes), *spans[name], writers.get(name, ""))
        for name, at in assembled.arena.offsets.items()
    )
    return Memory(
        arena=nominal(as_expr(assembled.arena.size), sizes),
        weights=sum(a.nbytes for a in sequence.constants.values()),
        arguments=sum(nominal(byte_size(o), sizes) for o in sequence.inputs),
        results=sum(nominal(byte_size(sequence.temporaries[r]), sizes) for r in sequence.results),
        arrays=arrays,
        steps=tuple(tuple(k.name for k in phase(s)) for s in _in_order(sequence.steps)),
    )


def _in_order(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Steps as `live_spans` counts them: the head of a loop before the loop."""
    for s in steps:
        if isinstance(s, Whilst):
            yield from _in_order(s.head)
        yield s
        for body in bodies(s)[isinstance(s, Whilst) :]:
            yield from _in_order(body)
