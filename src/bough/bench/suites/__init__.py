"""The suites of `bough bench`, by name."""

from __future__ import annotations

from collections.abc import Callable

from bough.bench.problem import Case
from bough.bench.suites import gemm, rnn

SUITES: dict[str, Callable[[], tuple[Case, ...]]] = {"gemm": gemm.cases, "rnn": rnn.cases}
