"""Watchers of the pipeline: they time, dump and check what passes make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bough.base import settings
from bough.ir.kernel_text import print_kernel
from bough.ir.loops_text import print_loops
from bough.ir.sequence import Sequence, kernels
from bough.pipeline.assemble import Assembled
from bough.pipeline.passes import Pass, Planned, Watcher


def default_watchers() -> tuple[Watcher, ...]:
    """Those that the settings ask for."""
    folder = settings.read(settings.DUMP)
    return () if folder is None else (Dump(folder),)


class Timing:
    """Collects the seconds of each pass, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def after(self, step: Pass, value: Any, seconds: float) -> None:
        self.seconds[step.name] = seconds


class Dump:
    """Writes the text of the program after each pass into a folder: `1-lower-operators.txt` and so on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def after(self, step: Pass, value: Any, seconds: float) -> None:
        self.count += 1
        text = text_of(value)
        if text:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"{self.count}-{step.name.replace(' ', '-')}.txt"
            (self.folder / name).write_text(text, encoding="utf-8")


def text_of(value: Any) -> str:
    """The text of whatever a pass gives; empty for machine code."""
    if isinstance(value, Sequence):
        return "\n\n".join(print_kernel(k) for k in kernels(value.steps)) + "\n"
    if isinstance(value, Planned):
        parts = [f"{print_kernel(s.kernel)}\n{s.schedule}" for s in value.scheduled.values()]
        return "\n\n".join(parts) + "\n"
    if isinstance(value, Assembled):
        return print_loops(value.function) + "\n"
    return ""
