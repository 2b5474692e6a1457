"""What a target is made of: memories and instructions. Plain data; an instruction's meaning is a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bough.ir.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Memory:
    """A place for operands.

    `registers`: `count` registers of `bytes` each. Everything else: `bytes` in all (None: unbounded), `bandwidth` in bytes
    per cycle and core towards the next faster memory, `latency` in cycles; `shared` by all cores or private to one.
    """

    name: str
    kind: Literal["registers", "scratchpad", "accumulator", "cache", "memory"]
    bytes: int | None
    count: int = 1
    bandwidth: float = 0.0
    latency: float = 0.0
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Instruction:
    """`kernel` is the meaning: constant extents, each operand in a place of the target.

    `spelling` is the body of an LLVM function that does it. Its arguments are the kernel's inputs in order, then the outputs
    that are not inputs, named as these operands (`%acc`): an operand in a register file by value (a vector, row-major), a
    rank-0 operand by value (a scalar), any other as a pointer. It returns the output where that lives in registers, else
    nothing. Intrinsics need no declaration. None: simulated only.
    Costs: `latency` cycles until the result can be used, `issue` of them start per cycle. `needs` are CPU features.
    `tolerance` is the largest distance of its result from the kernel's, relative to the sum of the magnitudes of what it
    adds up; 0: the same bits.
    """

    kernel: Kernel
    latency: float
    issue: float
    needs: tuple[str, ...] = ()
    spelling: str | None = None
    tolerance: float = 0.0

    @property
    def name(self) -> str:
        return self.kernel.name


@dataclass(frozen=True, slots=True)
class Target:
    """`lanes` is the number of f32 elements of a vector operation of generic code, in register file `vector_place`."""

    name: str
    memories: tuple[Memory, ...]
    instructions: tuple[Instruction, ...]
    features: tuple[str, ...] = ()
    lanes: int = 1
    vector_place: str = "register"
    triple: str = ""
    cpu: str = ""

    def memory(self, name: str) -> Memory:
        return next(m for m in self.memories if m.name == name)

    def instruction(self, name: str) -> Instruction:
        return next(i for i in self.instructions if i.name == name)
