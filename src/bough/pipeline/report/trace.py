"""The timeline of a call in the format that Chrome's tracing page and Perfetto read."""

from __future__ import annotations

from typing import Any

from bough.pipeline.explain import Findings
from bough.pipeline.report.kinds import base_name

PROCESS = 1


def trace(findings: Findings, name: str = "bough") -> dict[str, Any]:
    """Complete events ("X"), a lane for each thread; times in microseconds."""
    timeline, rows = findings.timeline, {r.kernel: r for r in findings.rows}
    events: list[dict[str, Any]] = [{"ph": "M", "pid": PROCESS, "name": "process_name", "args": {"name": name}}]
    for thread in range(timeline.threads):
        lane = {"name": "caller" if thread == 0 else f"thread {thread}"}
        events.append({"ph": "M", "pid": PROCESS, "tid": thread, "name": "thread_name", "args": lane})
    events.append(_event("call", 0, 0.0, timeline.total, {}))
    for turn in timeline.turns:
        names = timeline.phases[turn.phase]
        about = {
            "kernels": list(names),
            "lines": list(dict.fromkeys(line for n in names for line in rows[n].lines)),
            "phase": turn.phase,
            "phase_us": turn.end - turn.begin,
        }
        what = " · ".join(dict.fromkeys(map(base_name, names)))
        events += [_event(what, s.thread, s.begin, s.end, about) for s in turn.spans]
    return {"displayTimeUnit": "ns", "traceEvents": events}


def _event(name: str, thread: int, begin: float, end: float, about: dict[str, Any]) -> dict[str, Any]:
    return {
        "ph": "X", "pid": PROCESS, "tid": thread, "name": name, "cat": "kernel" if about else "call",
        "ts": begin, "dur": end - begin, "args": about,
    }  # fmt: skip
