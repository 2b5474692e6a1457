"""x86-64 processors: plain SSE2, AVX2 with FMA, AVX-512, and its dot products of bytes (VNNI) and of bf16.

Each target holds the instructions of those before it, the widest first. Costs are those of recent server cores
(latencies and throughputs as Agner Fog's tables give them for Ice Lake and Zen 4, rounded to what decides a schedule).
"""

from __future__ import annotations

from dataclasses import dataclass

from bough.ir.dtypes import BF16, F32, I8, I32, U8, DType
from bough.ir.expr import Apply, Cast, Expr, Load, Var, apply
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Store
from bough.targets.description import Instruction, Memory, Target

REGISTER = "register"
KIB, MIB = 1 << 10, 1 << 20

I, Q = Var("i"), Var("q")


@dataclass(frozen=True, slots=True)
class VectorUnit:
    """A width at which f32 vectors are computed. The fused multiply-add is a call of the C library where `fused` is not."""

    prefix: str
    lanes: int
    registers: int
    needs: tuple[str, ...]
    fused: bool = True

    @property
    def llvm(self) -> str:
        return f"<{self.lanes} x float>"

    def instruction(
        self, name: str, inputs: tuple[Operand, ...], output: Operand, value: Expr, spelling: str, latency: float, issue: float
    ) -> Instruction:
        index = (I,) if output.shape else ()
        body = (Store(output.name, index, value),)
        kernel = Kernel(f"{self.prefix}.{name}", (Axis("i", self.lanes),), inputs, (output,), body)
        return Instruction(kernel, latency, issue, self.needs, spelling)

    def instructions(self) -> tuple[Instruction, ...]:
        """Moves, products and sums of whole vectors; `a` of `fma` is a scalar in memory."""
        vector = self.llvm
        acc, a, b, dst = (Operand(n, F32, (self.lanes,), REGISTER) for n in ("acc", "a", "b", "dst"))
        scalar = Operand("a", F32, ())
        fma_cost = (4.0, 2.0) if self.fused else (30.0, 0.05)
        return (
            self.instruction(
                "fma", (acc, scalar, b), acc, _fma(Load("a", ())), self.broadcast("a") + self.fma("%all"), *fma_cost,
            ),
            self.instruction("fmavv", (acc, a, b), acc, _fma(Load("a", (I,))), self.fma("%a"), *fma_cost),
            self.instruction(
                "load", (Operand("src", F32, (self.lanes,)),), dst, Load("src", (I,)),
                f"%value = load {vector}, ptr %src, align 4\nret {vector} %value", 5, 2,
            ),
            self.instruction(
                "store", (Operand("src", F32, (self.lanes,), REGISTER),), Operand("dst", F32, (self.lanes,)), Load("src", (I,)),
                f"store {vector} %src, ptr %dst, align 4\nret void", 4, 1,
            ),
            self.instruction("broadcast", (scalar,), dst, Load("a", ()), f"{self.broadcast('a')}ret {vector} %all", 5, 2),
            self.instruction("add", (a, b), dst, _lanewise("add"), f"%sum = fadd {vector} %a, %b\nret {vector} %sum", 4, 2),
            self.instruction("mul", (a, b), dst, _lanewise("mul"), f"%all = fmul {vector} %a, %b\nret {vector} %all", 4, 2),
            self.instruction(
                "max", (a, b), dst, _lanewise("max"),
                f"%larger = call {vector} @llvm.maximum.v{self.lanes}f32({vector} %a, {vector} %b)\nret {vector} %larger", 8, 0.5,
            ),
        )  # fmt: skip

    def broadcast(self, scalar: str) -> str:
        vector = self.llvm
        return (
            f"%one = insertelement {vector} poison, float %{scalar}, i32 0\n"
            f"%all = shufflevector {vector} %one, {vector} poison, <{self.lanes} x i32> zeroinitializer\n"
        )

    def fma(self, a: str) -> str:
        vector = self.llvm
        call = f"call {vector} @llvm.fma.v{self.lanes}f32({vector} {a}, {vector} %b, {vector} %acc)"
        return f"%sum = {call}\nret {vector} %sum"


def _fma(a: Expr) -> Expr:
    return Apply("fma", (a, Load("b", (I,)), Load("acc", (I,))), F32)


def _lanewise(function: str) -> Expr:
    return Apply(function, (Load("a", (I,)), Load("b", (I,))), F32)


def _dot(name: str, a: DType, b: DType, result: DType, depth: int) -> Kernel:
    """`acc[i] += sum(q) a[i, q] * b[i, q]` over 16 lanes."""
    acc = Operand("acc", result, (16,), REGISTER)
    sides = (Operand("a", a, (16, depth), REGISTER), Operand("b", b, (16, depth), REGISTER))
    product = apply("mul", Cast(Load("a", (I, Q), a), result), Cast(Load("b", (I, Q), b), result))
    body = (
        Let("s", Reduce("sum", ("q",), product)),
        Store("acc", (I,), apply("add", Load("acc", (I,), result), Var("s", result))),
    )
    return Kernel(name, (Axis("i", 16), Axis("q", depth)), (acc, *sides), (acc,), body)


def _memories(lanes: int, registers: int) -> tuple[Memory, ...]:
    """Nominal sizes; `host` puts those of the machine in their place."""
    wide = lanes >= 16
    return (
        Memory(REGISTER, "registers", 4 * lanes, count=registers),
        Memory("l1", "cache", 32 * KIB, bandwidth=128 if wide else 64, latency=5),
        Memory("l2", "cache", 1 * MIB, bandwidth=48, latency=14),
        Memory("l3", "cache", 32 * MIB, bandwidth=16, latency=50, shared=True),
        Memory("memory", "memory", None, bandwidth=6, latency=300, shared=True),
    )


AVX2_FEATURES = ("avx", "avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe", "popcnt", "sse3", "ssse3", "sse4.1", "sse4.2")
AVX512_FEATURES = (*AVX2_FEATURES, "avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512cd")

SCALAR = VectorUnit("scalar", 1, 16, (), fused=False)
SCALAR_FMA = VectorUnit("scalar", 1, 16, ("fma",))
AVX2 = VectorUnit("avx2", 8, 16, ("avx2", "fma"))
AVX512 = VectorUnit("avx512", 16, 32, ("avx512f",))

_scalar = SCALAR_FMA.instructions()
_avx2 = (*AVX2.instructions(), *_scalar)
_avx512 = (*AVX512.instructions(), *_avx2)

DPBUSD = Instruction(
    _dot("avx512.dpbusd", U8, I8, I32, 4), 4, 2, ("avx512vnni",),
    "%sum = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %acc, <64 x i8> %a, <64 x i8> %b)\n"
    "ret <16 x i32> %sum",
)  # fmt: skip
"""The four products and their sum are exact; the addition to `acc` wraps."""

DPBF16PS = Instruction(
    _dot("avx512.dpbf16ps", BF16, BF16, F32, 2), 6, 1, ("avx512bf16",),
    "%sum = call <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(<16 x float> %acc, <32 x bfloat> %a, <32 x bfloat> %b)\n"
    "ret <16 x float> %sum",
    tolerance=2.0**-22,
)  # fmt: skip
"""The hardware computes `fma(a[i, 0], b[i, 0], fma(a[i, 1], b[i, 1], acc[i]))`: two roundings, the odd product first, where
the kernel rounds the sum of the products, then the sum with `acc`. It takes denormal operands for zero and gives zero for
denormal results, whatever the mode, which adds up to 2**-125 to the error."""

TRIPLE = "x86_64-unknown-linux-gnu"


def _target(name: str, unit: VectorUnit, instructions: tuple[Instruction, ...], features: tuple[str, ...], cpu: str) -> Target:
    return Target(name, _memories(unit.lanes, unit.registers), instructions, features, unit.lanes, REGISTER, TRIPLE, cpu)


X86_TARGETS = (
    _target("x86-64", SCALAR, SCALAR.instructions(), (), "x86-64"),
    _target("avx2", AVX2, _avx2, AVX2_FEATURES, "x86-64-v3"),
    _target("avx512", AVX512, _avx512, AVX512_FEATURES, "x86-64-v4"),
    _target("avx512-vnni", AVX512, (*_avx512, DPBUSD), (*AVX512_FEATURES, "avx512vnni"), "x86-64-v4"),
    _target("avx512-bf16", AVX512, (*_avx512, DPBUSD, DPBF16PS), (*AVX512_FEATURES, "avx512vnni", "avx512bf16"), "x86-64-v4"),
)
