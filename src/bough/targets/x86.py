"""x86-64 processors: plain SSE2, SSE4.2 (level v2), AVX2 with FMA, AVX-512, and its dot products of bytes (VNNI) and of bf16.

Each target holds the instructions of those before it, the widest first. Costs are those of recent server cores
(latencies and throughputs as Agner Fog's tables give them for Ice Lake and Zen 4, rounded to what decides a schedule).
"""

from __future__ import annotations

from bough.targets.description import Instruction, Memory, Target
from bough.targets.notation import instruction
from bough.targets.vector_unit import REGISTER, VectorUnit

KIB, MIB = 1 << 10, 1 << 20


def _memories(lanes: int, registers: int) -> tuple[Memory, ...]:
    """Nominal sizes; `host` puts those of the machine in their place."""
    wide = lanes >= 16
    return (
        Memory(REGISTER, "registers", 4 * lanes, count=registers),
        Memory("l1", "cache", 32 * KIB, bandwidth=128 if wide else 64, latency=5),
        Memory("l2", "cache", 1 * MIB, bandwidth=32, latency=14),
        Memory("l3", "cache", 32 * MIB, bandwidth=16, latency=50, shared=True),
        Memory("memory", "memory", None, bandwidth=6, latency=300, shared=True),
    )


SSE4_FEATURES = ("popcnt", "sse3", "ssse3", "sse4.1", "sse4.2")
AVX2_FEATURES = ("avx", "avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe", "popcnt", "sse3", "ssse3", "sse4.1", "sse4.2")
AVX512_FEATURES = (*AVX2_FEATURES, "avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512cd")

SCALAR = VectorUnit("scalar", 1, 16, (), fused=False)
SCALAR_FMA = VectorUnit("scalar", 1, 16, ("fma",))
SSE4 = VectorUnit("sse4", 4, 16, ("sse4.1",), fused=False)
AVX2 = VectorUnit("avx2", 8, 16, ("avx2", "fma"))
AVX512 = VectorUnit("avx512", 16, 32, ("avx512f",))

_scalar = SCALAR_FMA.instructions()
_avx2 = (*AVX2.instructions(), *_scalar)
_avx512 = (*AVX512.instructions(), *_avx2)

DPBUSD = instruction(
    """
    kernel avx512.dpbusd(acc: i32[16] in register, a: u8[16, 4] in register, b: i8[16, 4] in register)
        -> (acc: i32[16] in register)
      axes i: 16, q: 4
      s = sum(q) i32(a[i, q]) * i32(b[i, q])
      acc[i] = acc[i] + s
    """,
    4, 2, ("avx512vnni",),
    """
    %sum = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %acc, <64 x i8> %a, <64 x i8> %b)
    ret <16 x i32> %sum
    """,
)  # fmt: skip
"""The four products and their sum are exact; the addition to `acc` wraps."""

DPBUSD_BROADCAST = instruction(
    """
    kernel avx512.dpbusd_broadcast(acc: i32[16] in register, a: u8[4], b: i8[16, 4] in register)
        -> (acc: i32[16] in register)
      axes i: 16, q: 4
      s = sum(q) i32(a[q]) * i32(b[i, q])
      acc[i] = acc[i] + s
    """,
    4, 2, ("avx512vnni",),
    """
    %four = load i32, ptr %a, align 1
    %one = insertelement <16 x i32> poison, i32 %four, i32 0
    %all = shufflevector <16 x i32> %one, <16 x i32> poison, <16 x i32> zeroinitializer
    %bytes = bitcast <16 x i32> %all to <64 x i8>
    %sum = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %acc, <64 x i8> %bytes, <64 x i8> %b)
    ret <16 x i32> %sum
    """,
)  # fmt: skip
"""The same with four bytes of memory for every lane."""

BF16_TOLERANCE = 2.0**-22

DPBF16PS = instruction(
    """
    kernel avx512.dpbf16ps(acc: f32[16] in register, a: bf16[16, 2] in register, b: bf16[16, 2] in register)
        -> (acc: f32[16] in register)
      axes i: 16, q: 2
      s = sum(q) f32(a[i, q]) * f32(b[i, q])
      acc[i] = acc[i] + s
    """,
    6, 1, ("avx512bf16",),
    """
    %sum = call <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(<16 x float> %acc, <32 x bfloat> %a, <32 x bfloat> %b)
    ret <16 x float> %sum
    """,
    BF16_TOLERANCE,
)  # fmt: skip
"""The hardware computes `fma(a[i, 0], b[i, 0], fma(a[i, 1], b[i, 1], acc[i]))`: two roundings, the odd product first, where
the kernel rounds the sum of the products, then the sum with `acc`. It takes denormal operands for zero and gives zero for
denormal results, whatever the mode, which adds up to 2**-125 to the error."""

DPBF16PS_BROADCAST = instruction(
    """
    kernel avx512.dpbf16ps_broadcast(acc: f32[16] in register, a: bf16[2], b: bf16[16, 2] in register)
        -> (acc: f32[16] in register)
      axes i: 16, q: 2
      s = sum(q) f32(a[q]) * f32(b[i, q])
      acc[i] = acc[i] + s
    """,
    6, 1, ("avx512bf16",),
    """
    %two = load float, ptr %a, align 2
    %one = insertelement <16 x float> poison, float %two, i32 0
    %all = shufflevector <16 x float> %one, <16 x float> poison, <16 x i32> zeroinitializer
    %pairs = bitcast <16 x float> %all to <32 x bfloat>
    %sum = call <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(<16 x float> %acc, <32 x bfloat> %pairs, <32 x bfloat> %b)
    ret <16 x float> %sum
    """,
    BF16_TOLERANCE,
)  # fmt: skip
"""The same with two elements of memory for every lane."""

LOAD_PAIRS = instruction(
    """
    kernel avx512.load_pairs(src: bf16[32]) -> (dst: bf16[16, 2] in register)
      axes i: 16, q: 2
      dst[i, q] = src[2 * i + q]
    """,
    5, 2, ("avx512f",),
    """
    %value = load <32 x bfloat>, ptr %src, align 2
    ret <32 x bfloat> %value
    """,
)  # fmt: skip

_vnni = (*_avx512, DPBUSD_BROADCAST, DPBUSD)
_bf16 = (*_vnni, DPBF16PS_BROADCAST, DPBF16PS, LOAD_PAIRS)
TRIPLE = "x86_64-unknown-linux-gnu"


def _target(name: str, unit: VectorUnit, instructions: tuple[Instruction, ...], features: tuple[str, ...], cpu: str) -> Target:
    return Target(name, _memories(unit.lanes, unit.registers), instructions, features, unit.lanes, REGISTER, TRIPLE, cpu)


X86_TARGETS = (
    _target("x86-64", SCALAR, SCALAR.instructions(), (), "x86-64"),
    _target("x86-64-v2", SSE4, (*SSE4.instructions(), *SCALAR.instructions()), SSE4_FEATURES, "x86-64-v2"),
    _target("avx2", AVX2, _avx2, AVX2_FEATURES, "x86-64-v3"),
    _target("avx512", AVX512, _avx512, AVX512_FEATURES, "x86-64-v4"),
    _target("avx512-vnni", AVX512, _vnni, (*AVX512_FEATURES, "avx512vnni"), "x86-64-v4"),
    _target("avx512-bf16", AVX512, _bf16, (*AVX512_FEATURES, "avx512vnni", "avx512bf16"), "x86-64-v4"),
)
