"""A matrix unit that is no processor: 16x16x16 products between a scratchpad and an accumulator memory.

Data comes and goes by DMA, one 16x16 tile at a time, at 32 bytes per cycle. No instruction has a spelling: programs
mapped on it run in the simulator that its description gives.
"""

from __future__ import annotations

from bough.targets.description import Instruction, Memory, Target
from bough.targets.notation import instruction

SIZE = 16
KIB = 1 << 10
DMA_ISSUE = 32 / (4 * SIZE * SIZE)

MATMUL = instruction(
    """
    kernel unit.matmul(acc: f32[16, 16] in accumulator, a: f32[16, 16] in scratchpad, b: f32[16, 16] in scratchpad)
        -> (acc: f32[16, 16] in accumulator)
      axes i: 16, j: 16, k: 16
      s = sum(k) a[i, k] * b[k, j]
      acc[i, j] = acc[i, j] + s
    """,
    latency=3 * SIZE,
    issue=1 / SIZE,
)
ZERO = instruction(
    """
    kernel unit.zero() -> (dst: f32[16, 16] in accumulator)
      axes i: 16, j: 16
      dst[i, j] = 0.0
    """,
    latency=SIZE,
    issue=1 / SIZE,
)


def _move(name: str, source: str, destination: str) -> Instruction:
    """A copy of one tile from one place to another."""
    text = f"""
    kernel unit.{name}(src: f32[16, 16] in {source}) -> (dst: f32[16, 16] in {destination})
      axes i: 16, j: 16
      dst[i, j] = src[i, j]
    """
    return instruction(text, latency=100, issue=DMA_ISSUE)


MATRIX_UNIT = Target(
    "matrix-unit",
    (
        Memory("accumulator", "accumulator", 64 * KIB, bandwidth=32, latency=1),
        Memory("scratchpad", "scratchpad", 256 * KIB, bandwidth=128, latency=1),
        Memory("memory", "memory", None, bandwidth=32, latency=100, shared=True),
    ),
    (
        MATMUL,
        ZERO,
        _move("load", "memory", "scratchpad"),
        _move("load_accumulator", "memory", "accumulator"),
        _move("store", "accumulator", "memory"),
    ),
    vector_place="accumulator",
)
