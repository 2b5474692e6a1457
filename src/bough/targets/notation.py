"""Instructions as text: the kernel in the notation of kernels, the spelling as lines of LLVM."""

from __future__ import annotations

import re

from bough.ir.kernel_text import parse_kernel
from bough.targets.description import Instruction


def instruction(
    kernel: str,
    latency: float,
    issue: float,
    needs: tuple[str, ...] = (),
    spelling: str | None = None,
    tolerance: float = 0.0,
) -> Instruction:
    """An instruction from its texts, indented as it suits; the kernel's outputs may stand on a line of their own.

    Raises ParseError.
    """
    meaning = parse_kernel(re.sub(r"\s*\n\s*->", " ->", kernel))
    return Instruction(meaning, latency, issue, needs, None if spelling is None else _lines(spelling), tolerance)


def _lines(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())
