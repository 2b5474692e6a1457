"""A matrix unit that is no processor: 16x16x16 products between a scratchpad and an accumulator memory.

Data comes and goes by DMA, one 16x16 tile at a time, at 32 bytes per cycle. No instruction has a spelling: programs
mapped on it run in the simulator that its description gives.
"""

from __future__ import annotations

from bough.ir.dtypes import F32
from bough.ir.expr import Const, Expr, Load, Var, apply
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Store
from bough.targets.description import Instruction, Memory, Target

SIZE = 16
KIB = 1 << 10
I, J, K = Var("i"), Var("j"), Var("k")
_IJ = (Axis("i", SIZE), Axis("j", SIZE))


def _tile(name: str, place: str) -> Operand:
    return Operand(name, F32, (SIZE, SIZE), place)


def _move(name: str, source: str, destination: str, latency: float) -> Instruction:
    """A copy of one tile from one place to another."""
    src, dst = _tile("src", source), _tile("dst", destination)
    kernel = Kernel(f"unit.{name}", _IJ, (src,), (dst,), (Store("dst", (I, J), Load("src", (I, J))),))
    return Instruction(kernel, latency, 32 / (4 * SIZE * SIZE))


def _matmul() -> Instruction:
    acc, a, b = _tile("acc", "accumulator"), _tile("a", "scratchpad"), _tile("b", "scratchpad")
    terms: Expr = apply("mul", Load("a", (I, K)), Load("b", (K, J)))
    body = (Let("s", Reduce("sum", ("k",), terms)), Store("acc", (I, J), apply("add", Load("acc", (I, J)), Var("s", F32))))
    return Instruction(Kernel("unit.matmul", (*_IJ, Axis("k", SIZE)), (acc, a, b), (acc,), body), 3 * SIZE, 1 / SIZE)


def _zero() -> Instruction:
    store = Store("dst", (I, J), Const(0.0, F32))
    return Instruction(Kernel("unit.zero", _IJ, (), (_tile("dst", "accumulator"),), (store,)), SIZE, 1 / SIZE)


MATRIX_UNIT = Target(
    "matrix-unit",
    (
        Memory("accumulator", "accumulator", 64 * KIB, bandwidth=32, latency=1),
        Memory("scratchpad", "scratchpad", 256 * KIB, bandwidth=128, latency=1),
        Memory("memory", "memory", None, bandwidth=32, latency=100, shared=True),
    ),
    (
        _matmul(),
        _zero(),
        _move("load", "memory", "scratchpad", 100),
        _move("load_accumulator", "memory", "accumulator", 100),
        _move("store", "accumulator", "memory", 100),
    ),
    vector_place="accumulator",
)
