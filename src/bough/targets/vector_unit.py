"""A width at which f32 vectors are computed, and its instructions: the same text on every processor, since LLVM has the words."""

from __future__ import annotations

from dataclasses import dataclass

from bough.targets.description import Instruction
from bough.targets.notation import instruction

REGISTER = "register"


@dataclass(frozen=True, slots=True)
class VectorUnit:
    """A width at which f32 vectors are computed. The fused multiply-add is a call of the C library where `fused` is not."""

    prefix: str
    lanes: int
    registers: int
    needs: tuple[str, ...]
    fused: bool = True

    def instructions(self) -> tuple[Instruction, ...]:
        """Moves, products and sums of whole vectors; `a` of `fma` is a scalar in memory."""
        own = f"f32[{self.lanes}] in {REGISTER}"
        llvm, suffix = f"<{self.lanes} x float>", f"v{self.lanes}f32"
        broadcast = f"""
            %one = insertelement {llvm} poison, float %a, i32 0
            %all = shufflevector {llvm} %one, {llvm} poison, <{self.lanes} x i32> zeroinitializer
            """
        fma_latency, fma_issue = (4.0, 2.0) if self.fused else (30.0, 0.05)

        def define(head: str, body: str, latency: float, issue: float, spelling: str) -> Instruction:
            text = f"kernel {self.prefix}.{head.replace('vector', own)}\n  axes i: {self.lanes}\n  {body}"
            return instruction(text, latency, issue, self.needs, spelling)

        return (
            define(
                "fma(acc: vector, a: f32[], b: vector) -> (acc: vector)",
                "acc[i] = fma(a[], b[i], acc[i])", fma_latency, fma_issue,
                f"""{broadcast}
                %sum = call {llvm} @llvm.fma.{suffix}({llvm} %all, {llvm} %b, {llvm} %acc)
                ret {llvm} %sum""",
            ),
            define(
                "fmavv(acc: vector, a: vector, b: vector) -> (acc: vector)",
                "acc[i] = fma(a[i], b[i], acc[i])", fma_latency, fma_issue,
                f"""
                %sum = call {llvm} @llvm.fma.{suffix}({llvm} %a, {llvm} %b, {llvm} %acc)
                ret {llvm} %sum""",
            ),
            define(
                f"load(src: f32[{self.lanes}]) -> (dst: vector)", "dst[i] = src[i]", 5, 2,
                f"""
                %value = load {llvm}, ptr %src, align 4
                ret {llvm} %value""",
            ),
            define(
                f"store(src: vector) -> (dst: f32[{self.lanes}])", "dst[i] = src[i]", 4, 1,
                f"""
                store {llvm} %src, ptr %dst, align 4
                ret void""",
            ),
            define("broadcast(a: f32[]) -> (dst: vector)", "dst[i] = a[]", 5, 2, f"{broadcast} ret {llvm} %all"),
            define(
                "add(a: vector, b: vector) -> (dst: vector)", "dst[i] = a[i] + b[i]", 4, 2,
                f"""
                %sum = fadd {llvm} %a, %b
                ret {llvm} %sum""",
            ),
            define(
                "mul(a: vector, b: vector) -> (dst: vector)", "dst[i] = a[i] * b[i]", 4, 2,
                f"""
                %product = fmul {llvm} %a, %b
                ret {llvm} %product""",
            ),
            define(
                "max(a: vector, b: vector) -> (dst: vector)", "dst[i] = max(a[i], b[i])", 8, 0.5,
                f"""
                %larger = call {llvm} @llvm.maximum.{suffix}({llvm} %a, {llvm} %b)
                ret {llvm} %larger""",
            ),
        )  # fmt: skip
