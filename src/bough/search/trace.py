"""Schedules kept and used again: a record is a kernel's text and the decisions taken for it.

A trace is the tuning record, the bug report and the golden test at once: what it holds is all that a schedule depends on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from bough.ir.kernel import Kernel
from bough.ir.kernel_text import print_kernel
from bough.schedule.decisions import Schedule, parse_schedule
from bough.search.heuristic import Context, Heuristic, Strategy


@dataclass(slots=True)
class Record:
    """A strategy that notes what another one chooses. `trace` maps kernel texts to schedule texts."""

    inner: Strategy = field(default_factory=Heuristic)
    trace: dict[str, str] = field(default_factory=dict)

    def choose(self, kernel: Kernel, context: Context) -> Schedule:
        schedule = self.inner.choose(kernel, context)
        self.trace[print_kernel(kernel)] = str(schedule)
        return schedule

    def dumps(self) -> str:
        """The trace as JSON."""
        return json.dumps(self.trace, indent=1)


@dataclass(frozen=True, slots=True)
class Replay:
    """A strategy that repeats a trace; for kernels that it does not hold, `otherwise` chooses."""

    trace: Mapping[str, str]
    otherwise: Strategy = field(default_factory=Heuristic)

    @staticmethod
    def loads(text: str) -> Replay:
        """The inverse of `Record.dumps`."""
        return Replay(json.loads(text))

    def choose(self, kernel: Kernel, context: Context) -> Schedule:
        found = self.trace.get(print_kernel(kernel))
        return self.otherwise.choose(kernel, context) if found is None else parse_schedule(found)
