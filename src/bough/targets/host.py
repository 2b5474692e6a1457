"""The machine that we run on, as a target."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from bough.targets.description import Memory, Target
from bough.targets.x86 import X86_TARGETS

_LLVM_NAMES = {"sse4_1": "sse4.1", "sse4_2": "sse4.2", "pni": "sse3", "abm": "lzcnt", "bmi1": "bmi",
               "avx512_vnni": "avx512vnni", "avx512_bf16": "avx512bf16", "avx1.0": "avx"}  # fmt: skip
_SIZES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@cache
def host() -> Target:
    """The most capable described target that this machine's features cover, with its own cache sizes.

    Raises LookupError on a machine of an architecture that no target describes.
    """
    machine = platform.machine().lower()
    if machine not in ("x86_64", "amd64"):
        raise LookupError(f"no target describes machines of type {platform.machine()}")
    features = cpu_features()
    best = next(t for t in reversed(X86_TARGETS) if features.issuperset(t.features))
    triple = "x86_64-apple-darwin" if platform.system() == "Darwin" else best.triple
    return replace(best, memories=with_cache_sizes(best.memories, cache_sizes()), triple=triple)


def with_cache_sizes(memories: tuple[Memory, ...], sizes: Mapping[str, int]) -> tuple[Memory, ...]:
    """The memories with the sizes that are known put in place of the nominal ones."""
    return tuple(replace(m, bytes=sizes[m.name]) if m.name in sizes else m for m in memories)


def cpu_features() -> frozenset[str]:
    """What the operating system says that the processor can do, in LLVM's names; empty where it does not say."""
    if platform.system() == "Darwin":
        words = f"{_sysctl('machdep.cpu.features')} {_sysctl('machdep.cpu.leaf7_features')}".lower().split()
    else:
        words = _flags(_read(Path("/proc/cpuinfo")))
    return frozenset(_LLVM_NAMES.get(w, w) for w in words)


def cache_sizes() -> dict[str, int]:
    """Bytes of `l1`, `l2` and `l3` as the operating system tells them, as far as it does."""
    if platform.system() == "Darwin":
        names = {"l1": "hw.l1dcachesize", "l2": "hw.l2cachesize", "l3": "hw.l3cachesize"}
        return {level: int(size) for level, name in names.items() if (size := _sysctl(name)) not in ("", "0")}
    found: dict[str, int] = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        size = _read(folder / "size").strip()
        if _read(folder / "type").strip() != "Instruction" and size:
            found[f"l{_read(folder / 'level').strip()}"] = int(size.rstrip("KMG")) * _SIZES.get(size[-1], 1)
    return found


def _flags(cpuinfo: str) -> list[str]:
    line = next((x for x in cpuinfo.splitlines() if x.startswith("flags")), "")
    return line.partition(":")[2].split()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _sysctl(name: str) -> str:
    result = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""
