"""Hardware as data: memories and instructions, the latter written in the notation of kernels."""

from __future__ import annotations

from bough.targets.describe import as_dict, describe
from bough.targets.description import Instruction, Memory, Target
from bough.targets.grouping import Grouping, groupings
from bough.targets.host import host
from bough.targets.matrix_unit import MATRIX_UNIT
from bough.targets.neon import NEON_TARGETS
from bough.targets.x86 import X86_TARGETS

TARGETS: dict[str, Target] = {t.name: t for t in (*X86_TARGETS, *NEON_TARGETS, MATRIX_UNIT)}
"""All described targets by name."""

__all__ = ["TARGETS", "Grouping", "Instruction", "Memory", "Target", "as_dict", "describe", "groupings", "host"]
