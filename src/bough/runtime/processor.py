"""What the processor that runs this process can do, as far as the system tells."""

from __future__ import annotations

import functools
import platform
import re
from collections.abc import Iterable

# LLVM's names of features that Linux calls otherwise.
_LINUX = {"sse3": "pni", "bmi": "bmi1", "lzcnt": "abm"}


@functools.cache
def features() -> frozenset[str] | None:
    """The processor's features with separators left out (`avx512vnni`), or None where the system does not list them in the
    terms of the code generator."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = re.search(r"^flags\s*:(.*)$", file.read(), re.MULTILINE)
    except OSError:
        return None
    return frozenset(_plain(flag) for flag in flags[1].split()) if flags else None


def missing(needed: Iterable[str]) -> list[str]:
    """Those of `needed` (names of LLVM's x86 features) that this processor is known to lack."""
    have = features()
    return [] if have is None else [name for name in needed if _plain(_LINUX.get(name, name)) not in have]


def _plain(name: str) -> str:
    return re.sub(r"[._\-]", "", name.lower())
