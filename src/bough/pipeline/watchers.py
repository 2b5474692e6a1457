"""Watchers of the pipeline: they time, dump and check what passes make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bough import ops
from bough.base import settings
from bough.ir.kernel_text import print_kernel
from bough.ir.loops_text import print_loops
from bough.ir.program import Program
from bough.ir.program_text import print_program
from bough.ir.recursion import Recursion
from bough.ir.recursion_text import print_recursion
from bough.ir.sequence import Sequence
from bough.ir.sequence_text import print_sequence
from bough.ir.verify_loops import verify_loops
from bough.ir.verify_program import verify_program
from bough.ir.verify_recursion import verify_recursion
from bough.ir.verify_sequence import verify_sequence
from bough.pipeline.assemble import Assembled
from bough.pipeline.judge import Judge
from bough.pipeline.passes import Pass, Planned, Watcher
from bough.targets import Target


def default_watchers(target: Target, args: tuple[Any, ...] = ()) -> tuple[Watcher, ...]:
    """Those that the settings ask for. `args` are the example arguments of a recursive model."""
    out: list[Watcher] = []
    if depth := settings.read(settings.CHECK):
        out.append(Verify(depth, target, args))
    if (folder := settings.read(settings.DUMP)) is not None:
        out.append(Dump(folder))
    return tuple(out)


class Timing:
    """Collects the seconds of each pass, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def after(self, step: Pass, value: Any, seconds: float) -> None:
        self.seconds[step.name] = seconds


class Verify:
    """Raises InternalError where a pass broke a promise of its level.

    `depth` 1 checks what comes in and what goes to the code generator, 2 the result of every pass, 3 also runs the
    interpreter of every level on small random inputs (a recursion on `args`) and compares.
    """

    def __init__(self, depth: int, target: Target, args: tuple[Any, ...] = ()) -> None:
        self.depth, self.args = depth, args
        self.instructions = {i.name: i.kernel for i in target.instructions}
        self.judge: Judge | None = None
        self.before: Any = None

    def after(self, step: Pass, value: Any, seconds: float) -> None:
        if value is self.before:
            return
        first, self.before = self.before is None, value
        if isinstance(value, Program):
            if first or self.depth >= 2:
                verify_program(value, ops.infer)
            if self.judge:
                self.judge.program(value, step.name)
            elif first and self.depth >= 3:
                self.judge = Judge.of_program(value)
        elif isinstance(value, Recursion):
            verify_recursion(value, ops.infer)
            self.judge = Judge.of_recursion(value, self.args) if self.depth >= 3 else None
        elif isinstance(value, Assembled):
            verify_loops(value.function, self.instructions)
            if self.judge:
                self.judge.loops(value, self.instructions, step.name)
        elif isinstance(value, (Sequence, Planned)) and self.depth >= 2:
            sequence = value.sequence if isinstance(value, Planned) else value
            verify_sequence(sequence)
            if self.judge:
                self.judge.sequence(sequence, step.name)


class Dump:
    """Writes the text of the program after each pass that changed it into a folder: `01-import-module.txt` and so on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        self.before: Any = None

    def after(self, step: Pass, value: Any, seconds: float) -> None:
        if value is self.before:
            return
        self.before = value
        self.count += 1
        text = text_of(value)
        if text:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"{self.count:02}-{step.name.replace(' ', '-')}.txt"
            (self.folder / name).write_text(text, encoding="utf-8")


def text_of(value: Any) -> str:
    """The text of whatever a pass gives; empty for machine code."""
    if isinstance(value, Program):
        return print_program(value)
    if isinstance(value, Recursion):
        return print_recursion(value)
    if isinstance(value, Sequence):
        return print_sequence(value)
    if isinstance(value, Planned):
        parts = [f"{print_kernel(s.kernel)}\n{s.schedule}" for s in value.scheduled.values()]
        return "\n\n".join(parts) + "\n"
    if isinstance(value, Assembled):
        return print_loops(value.function) + "\n"
    return ""
