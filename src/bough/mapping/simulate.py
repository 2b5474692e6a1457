"""Run a kernel on a described target, without the machine: what it computes, and how long its instructions take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from typing import Any

import numpy as np

from bough.base.errors import InternalError
from bough.ir.interpret_loops import run_loops
from bough.ir.kernel import Kernel
from bough.ir.loops import Function
from bough.mapping.apply import apply_mapping
from bough.mapping.check import run_mapped
from bough.mapping.enumerate import enumerate_mappings, explain_mismatch
from bough.mapping.lower_tiles import lower_tiles
from bough.mapping.mapping import Mapping
from bough.targets.description import Target

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class InstructionCycles:
    """How often an instruction ran, and for how many cycles it kept its unit busy."""

    instruction: str
    count: int
    busy: float


@dataclass(frozen=True, slots=True)
class Simulation:
    """`outputs` of the kernel; cycles of the part on the target, packing and what follows the reductions not counted.

    `overlapped` is the time when all units work at once (the busiest one decides, plus the first result's way through),
    `serial` when each instruction waits for the one before. A real machine lies between.
    """

    mapping: Mapping
    outputs: dict[str, Array]
    instructions: tuple[InstructionCycles, ...]
    overlapped: float
    serial: float

    def __str__(self) -> str:
        lines = [str(self.mapping)]
        lines += [f"  {i.instruction:<24} {i.count:>10} times {i.busy:>12.0f} cycles" for i in self.instructions]
        return "\n".join([*lines, f"  {self.overlapped:.0f} cycles overlapped, {self.serial:.0f} one after the other"])


def best_mapping(kernel: Kernel, target: Target, sizes: Dictionary[str, int] | None = None) -> Mapping:
    """The mapping with the most useful work per cycle: most reductions, then operations per cycle, then fewest copies.

    Raises InternalError with the mismatches where no instruction of the target fits.
    """
    found = [m for i in target.instructions for m in enumerate_mappings(kernel, i, partial=True)]
    if not found:
        reasons = [f"{i.name}: {explain_mismatch(kernel, i, partial=True)}" for i in target.instructions]
        raise InternalError(f"nothing of {kernel.name} maps on {target.name}: " + "; ".join(reasons))

    def merit(m: Mapping) -> tuple[int, float, int]:
        work = m.instruction.issue
        for axis in m.instruction.kernel.axes:
            assert isinstance(axis.extent, int)
            work *= axis.extent
        return len(m.parts), m.utilization(kernel, sizes) * work, -sum(b.packed for p in m.parts for b in p.bindings)

    return max(found, key=merit)


def simulate(
    kernel: Kernel,
    target: Target,
    arrays: Dictionary[str, Array],
    sizes: Dictionary[str, int] | None = None,
    mapping: Mapping | None = None,
) -> Simulation:
    """Runs `kernel` on `target` by `mapping`, or the best one: reductions on the target, the rest by the interpreter."""
    sizes = dict(sizes or {})
    mapping = mapping or best_mapping(kernel, target, sizes)
    mapped = apply_mapping(kernel, mapping)
    meanings = {i.name: i.kernel for i in target.instructions}
    counts: Counter[str] = Counter()

    def run(tiles: Function, buffers: dict[str, Array]) -> None:
        run_loops(tiles, buffers, sizes, meanings, observer=lambda name: counts.update((name,)))

    outputs = run_mapped(mapped, arrays, sizes, lower_tiles(mapped, target), run)
    used = [(target.instruction(name), count) for name, count in counts.items()]
    report = tuple(InstructionCycles(i.name, n, n / i.issue) for i, n in used)
    overlapped = max((r.busy for r in report), default=0.0) + sum(i.latency for i, _ in used)
    serial = sum(n * max(i.latency, 1 / i.issue) for i, n in used)
    return Simulation(mapping, outputs, report, overlapped, serial)
