"""A target as text for people, and as plain data for JSON."""

from __future__ import annotations

from textwrap import indent
from typing import Any

from bough.ir.kernel_text import print_kernel
from bough.targets.description import Instruction, Memory, Target


def describe(target: Target) -> str:
    """Memories and instructions, the latter as their kernels with what they cost, need and are spelled."""
    lines = [f"target {target.name}"]
    if target.triple:
        lines.append(f"  compiled for {target.triple} {target.cpu}, {target.lanes} lanes of f32 in {target.vector_place}")
    else:
        lines.append("  simulated only")
    if target.features:
        lines.append(f"  features {' '.join(target.features)}")
    lines += ["", "memories", *(f"  {_memory(m)}" for m in target.memories), "", "instructions"]
    return "\n".join(lines) + "\n" + "\n".join(map(_instruction, target.instructions))


def _memory(m: Memory) -> str:
    if m.kind == "registers":
        size = f"{m.count} registers of {m.bytes} bytes"
    else:
        size = "unbounded" if m.bytes is None else f"{m.bytes:,} bytes"
    speed = f", {m.bandwidth:g} bytes per cycle" if m.bandwidth else ""
    delay = f", latency {m.latency:g}" if m.latency else ""
    return f"{m.name}: {m.kind}, {size}{speed}{delay}{', shared' if m.shared else ''}"


def _instruction(i: Instruction) -> str:
    costs = f"latency {i.latency:g}; issue {i.issue:g} per cycle"
    needs = f"needs {' '.join(i.needs)}; " if i.needs else ""
    tolerance = f"; within {i.tolerance:.3g} of the sum of magnitudes" if i.tolerance else ""
    spelling = "simulated only" if i.spelling is None else "spelled\n" + indent(i.spelling, "    ")
    return indent(f"{print_kernel(i.kernel)}  {needs}{costs}{tolerance}; {spelling}\n", "  ")


def as_dict(target: Target) -> dict[str, Any]:
    """The same as data that JSON can hold."""
    return {
        "name": target.name,
        "lanes": target.lanes,
        "vector_place": target.vector_place,
        "triple": target.triple,
        "cpu": target.cpu,
        "features": list(target.features),
        "memories": [
            {
                "name": m.name, "kind": m.kind, "bytes": m.bytes, "count": m.count, "bandwidth": m.bandwidth,
                "latency": m.latency, "shared": m.shared,
            }
            for m in target.memories
        ],
        "instructions": [
            {
                "name": i.name, "kernel": print_kernel(i.kernel), "latency": i.latency, "issue": i.issue,
                "needs": list(i.needs), "spelling": i.spelling, "tolerance": i.tolerance,
            }
            for i in target.instructions
        ],
    }  # fmt: skip
