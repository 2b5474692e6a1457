"""AArch64 processors with NEON, which all of them have: 32 registers of four f32 and a fused multiply-add.

Costs are those of recent server cores (Arm's software optimization guide of the Neoverse N1, rounded to what decides a schedule).
"""

from __future__ import annotations

from bough.targets.description import Memory, Target
from bough.targets.vector_unit import REGISTER, VectorUnit

KIB, MIB = 1 << 10, 1 << 20
NEON = VectorUnit("neon", 4, 32, ("neon",))
SCALAR = VectorUnit("scalar", 1, 32, ("neon",))
TRIPLE = "aarch64-unknown-linux-gnu"

_MEMORIES = (
    Memory(REGISTER, "registers", 16, count=32),
    Memory("l1", "cache", 64 * KIB, bandwidth=32, latency=4),
    Memory("l2", "cache", 1 * MIB, bandwidth=32, latency=11),
    Memory("l3", "cache", 32 * MIB, bandwidth=16, latency=60, shared=True),
    Memory("memory", "memory", None, bandwidth=6, latency=300, shared=True),
)

NEON_TARGETS = (
    Target("neon", _MEMORIES, (*NEON.instructions(), *SCALAR.instructions()), ("neon",), 4, REGISTER, TRIPLE, "generic"),
)
