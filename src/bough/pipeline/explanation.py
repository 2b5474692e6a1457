"""What became of each line of the user's model, measured on the example arguments; as text, as data, as files to look at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from bough.pipeline.assemble import Assembled
from bough.pipeline.explain.findings import Findings
from bough.pipeline.explain.host_program import describe, straight
from bough.pipeline.explain.memory import read_memory
from bough.pipeline.explain.picture import svg
from bough.pipeline.explain.recording import Call, Describe, record
from bough.pipeline.explain.roofs import Roofs, described_roofs
from bough.pipeline.explain.rows import make_row
from bough.pipeline.passes import Options
from bough.pipeline.report import page, trace


@dataclass(frozen=True, slots=True)
class Explanation(Findings):
    """What was found, as what `str` makes of it, as data, and in files."""

    def picture(self, path: str | PathLike[str]) -> None:
        """Draws sub-networks, decisions and loops into an SVG file."""
        program = self.program or straight([r.kernel for r in self.rows])
        Path(path).write_text(svg(program, {r.kernel: r.runs for r in self.rows}), encoding="utf-8")

    def html(self, path: str | PathLike[str], name: str = "") -> None:
        """Writes a report that a browser shows: the table, a roofline, a timeline, memory. `name` is what the model is called."""
        Path(path).write_text(page(self, name), encoding="utf-8")

    def trace(self, path: str | PathLike[str], name: str = "bough") -> None:
        """Writes the timeline of a call for Chrome's tracing page or Perfetto."""
        Path(path).write_text(json.dumps(trace(self, name)), encoding="utf-8")


def explain(
    assembled: Assembled, options: Options, describe_function: Describe, call: Call, roofs: Roofs | None = None
) -> Explanation:
    """Rows for every kernel, measured on what `call` does with the function, whose manifest is what `describe_function` says.
    `roofs` are by default those that the target's description gives."""
    recorded = record(assembled, options, describe_function, call)
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
