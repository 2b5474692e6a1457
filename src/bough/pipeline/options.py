"""What a caller may choose, checked: target, threads, precision, strategy and switches."""

from __future__ import annotations

from bough.base import settings
from bough.base.errors import CompileError
from bough.graph_passes.narrow_weights import PRECISIONS
from bough.pipeline.passes import Options
from bough.recursion import Switches
from bough.search.heuristic import Heuristic, Strategy
from bough.targets import TARGETS, Target, host


def make_options(
    target: str | Target | None,
    threads: int | None,
    precision: str = "float32",
    strategy: Strategy | None = None,
    switches: Switches | None = None,
) -> Options:
    """Checks what a compilation was asked for; settings in place of what is None."""
    if precision not in PRECISIONS:
        raise CompileError(
            f"precision {precision!r} is not known",
            code="BGH-OPT-001",
            because="only some formats are made into code",
            advice=f"use one of {', '.join(PRECISIONS)}",
        )
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise CompileError(
            f"threads={threads!r} is no number of threads",
            code="BGH-OPT-006",
            because="a function runs on 1 or more",
            advice="leave it out to use all cores",
        )
    count = threads or settings.read(settings.THREADS)
    return Options(find_target(target), count, precision, strategy or Heuristic(), switches or Switches())


def find_target(target: str | Target | None) -> Target:
    """The target of this name; "native" is the machine at hand."""
    if isinstance(target, Target):
        return target
    name = settings.read(settings.TARGET) if target is None else target
    if name == "native":
        return host()
    if name not in TARGETS:
        raise CompileError(
            f"no target is called {name!r}",
            code="BGH-OPT-003",
            because="targets are described chips",
            advice=f"use native or one of {', '.join(TARGETS)}",
        )
    return TARGETS[name]
