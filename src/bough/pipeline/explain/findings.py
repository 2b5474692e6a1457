"""All that was found about a model, as data and as text."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bough.base.clock import duration
from bough.pipeline.explain.host_program import HostProgram
from bough.pipeline.explain.memory import Memory
from bough.pipeline.explain.roofs import Roof, Roofs
from bough.pipeline.explain.rows import Row
from bough.pipeline.explain.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Findings:
    """Rows in the order in which the kernels stand. `program` is there where the course of a call depends on what it computes;
    kernels that the example does not come to have no runs. `ms` is a call of the function that was recorded, and `source`
    the memory that `limit` counts on for what is read."""

    target: str
    threads: int
    ms: float
    rows: tuple[Row, ...]
    roofs: Roofs
    source: Roof
    memory: Memory
    timeline: Timeline
    program: HostProgram | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, but for the timeline."""
        return {name: value for name, value in asdict(self).items() if name != "timeline"}

    def __str__(self) -> str:
        out = [f"{len(self.rows)} kernels for {self.target} on {self.threads} threads, {duration(self.ms / 1e3)} a call"]
        if not self.timeline.whole:
            out.append("the call has more runs of kernels than could be recorded: what follows is about its first part")
        if self.program is not None:
            out.append(str(self.program))
        for n, r in enumerate(self.rows, 1):
            out += ["", f"{n}. {r.kernel}: {_time(r)}"]
            out += [f"     {line}" for line in r.lines]
            work = f"{r.flops / 1e6:.3g} MFLOP on {r.bytes / 1e6:.3g} MB"
            out.append(f"   computes {work}; limit: {r.limit}, {duration(r.limit_ms / 1e3)}")
            out.append(f"   mapping: {r.mapping}")
            out.append(f"   schedule: {r.schedule}")
        return "\n".join(out)


def _time(r: Row) -> str:
    if not r.runs:
        return "not on the way of the example"
    times = f", {r.runs} times" if r.runs != 1 else ""
    return f"{100 * r.share:.0f} % of the time, {duration(r.ms / 1e3)}{times}"
