"""What became of each line of the user's model: kernels, mapping, schedule, limit and share of the time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from bough.frontends.staging import Staged
from bough.frontends.torch_export import Imported
from bough.pipeline.assemble import Assembled
from bough.pipeline.explain.host_program import HostProgram, describe, straight
from bough.pipeline.explain.memory import Memory, read_memory
from bough.pipeline.explain.picture import svg
from bough.pipeline.explain.recording import record
from bough.pipeline.explain.roofs import Roof, Roofs, described_roofs
from bough.pipeline.explain.rows import Row, make_row
from bough.pipeline.explain.timeline import Timeline
from bough.pipeline.passes import Options


@dataclass(frozen=True, slots=True)
class Explanation:
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

    def picture(self, path: str | PathLike[str]) -> None:
        """Draws sub-networks, decisions and loops into an SVG file."""
        program = self.program or straight([r.kernel for r in self.rows])
        Path(path).write_text(svg(program, {r.kernel: r.runs for r in self.rows}), encoding="utf-8")

    def html(self, path: str | PathLike[str], name: str = "") -> None:
        """Writes a report that a browser shows: the table, a roofline, a timeline, memory. `name` is what the model is called."""
        from bough.pipeline.report import page

        Path(path).write_text(page(self, name), encoding="utf-8")

    def trace(self, path: str | PathLike[str], name: str = "bough") -> None:
        """Writes the timeline of a call for Chrome's tracing page or Perfetto."""
        from bough.pipeline.report import trace

        Path(path).write_text(json.dumps(trace(self, name)), encoding="utf-8")

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


def explain(
    imported: Imported | Staged,
    assembled: Assembled,
    options: Options,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    roofs: Roofs | None = None,
) -> Explanation:
    """Rows for every kernel, measured on these arguments. `roofs` are by default those that the target's description gives."""
    recorded = record(imported, assembled, options, lambda function: function.call(*args, **kwargs))
    memory = read_memory(assembled, recorded.sizes)
    roofs = roofs or described_roofs(options.target, options.threads)
    source = roofs.memory(memory.weights + memory.arena + memory.arguments + memory.results)
    total = sum(c.seconds for c in recorded.courses.values())
    rows = (make_row(assembled.scheduled[n], c, total, roofs.peak, source) for n, c in recorded.courses.items())
    return Explanation(
        target=options.target.name,
        threads=options.threads,
        ms=1e3 * recorded.seconds,
        rows=tuple(rows),
        roofs=roofs,
        source=source,
        memory=memory,
        timeline=recorded.timeline,
        program=describe(assembled.sequence, assembled.scheduled),
    )
