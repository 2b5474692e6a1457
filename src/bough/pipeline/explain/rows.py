"""A kernel as a row: the user's lines, the work, how it is mapped and scheduled, and what bounds its time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from bough.ir.kernel import Kernel
from bough.pipeline.explain.recording import Course
from bough.pipeline.explain.roofs import Roof
from bough.pipeline.schedule_kernels import Scheduled
from bough.schedule.decisions import Schedule
from bough.search.cost import nominal

SCALAR = "scalar code"


@dataclass(frozen=True, slots=True)
class Row:
    """One kernel, with the lines whose work it does, first the one that has the most of it. `flops` and `bytes` are of one call,
    each operand counted once per run of the kernel; `limit` says which of the two bounds its time, `limit_ms` by how much; `ms`
    was measured, and `share` is its part of the sum of all rows."""

    kernel: str
    lines: tuple[str, ...]
    mapping: str
    schedule: str
    runs: int
    flops: float
    bytes: float
    limit: str
    limit_ms: float
    ms: float
    share: float


def make_row(entry: Scheduled, course: Course, total: float, peak: float, memory: Roof) -> Row:
    """The row of a kernel; `total` are the seconds of all."""
    kernel = entry.kernel
    flops = sum(runs * _flops(kernel, sizes) for sizes, runs in course.runs)
    moved = sum(runs * _moved(kernel, sizes) for sizes, runs in course.runs)
    compute, reading = flops / peak, moved / memory.bandwidth
    return Row(
        kernel=kernel.name,
        lines=tuple(f"{p}  {p.text}".rstrip() for p in dict.fromkeys((kernel.location, *kernel.origins)) if p is not None),
        mapping=mapping_of(kernel, entry.schedule),
        schedule=str(entry.schedule).replace("\n", "; "),
        runs=sum(runs for _, runs in course.runs),
        flops=flops,
        bytes=moved,
        limit="compute" if compute >= reading else "bandwidth",
        limit_ms=1e3 * max(compute, reading),
        ms=1e3 * course.seconds,
        share=course.seconds / total if total else 0.0,
    )


def mapping_of(kernel: Kernel, schedule: Schedule) -> str:
    """What does the work of a kernel: instructions for its reductions, vectors, or scalar code."""
    vector = schedule.vector
    along = f" along {vector.axis}" if vector else ""
    used = [f"{name} on {u.instruction}{along}" for name, _ in kernel.reductions if (u := schedule.use(name))]
    return ", ".join(used) or (f"generic vectors of {vector.lanes}{along}" if vector else "scalar code")


def _flops(kernel: Kernel, sizes: Mapping[str, int]) -> float:
    """One for each statement at each point, two for each step of a reduction."""
    points = prod(nominal(a.extent, sizes) for a in kernel.free)
    steps = sum(prod(nominal(kernel.axis(a).extent, sizes) for a in r.axes) for _, r in kernel.reductions)
    return float(points) * (len(kernel.body) + 2.0 * steps)


def _moved(kernel: Kernel, sizes: Mapping[str, int]) -> float:
    """Bytes of the operands, of each no more than the kernel has points."""
    points = prod(max(1, nominal(a.extent, sizes)) for a in kernel.axes)
    return float(sum(min(points, prod(nominal(e, sizes) for e in o.shape)) * o.dtype.bytes for o in kernel.operands.values()))
