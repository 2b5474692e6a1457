"""All that was found about a model, as data and as text."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

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
        out = [f"{len(self.rows)} kernels for {self.target} on {self.threads} threads, {self.ms:.3f} ms a call"]
        if not self.timeline.whole:
            out.append("the call has more runs of kernels than could be recorded: what follows is about its first part")
        if self.program is not None:
            out.append(str(self.program))
        for n, r in enumerate(self.rows, 1):
            times = f", {r.runs} times" if r.runs != 1 else ""
            out.append("")
            out.append(f"{n}. {r.kernel}: {100 * r.share:.0f} % of the time, {r.ms:.3f} ms{times}")
            out += [f"     {line}" for line in r.lines]
            out.append(f"   computes {r.flops / 1e6:.3g} MFLOP on {r.bytes / 1e6:.3g} MB; limit: {r.limit}, {r.limit_ms:.3g} ms")
            out.append(f"   mapping: {r.mapping}")
            out.append(f"   schedule: {r.schedule}")
        return "\n".join(out)
