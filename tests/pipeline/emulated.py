"""Programs of other processors under QEMU."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import bough
from bough.pipeline.export.link import find_compiler


def emulator(machine: str) -> str:
    """The emulator's path; skips the test where there is none."""
    found = shutil.which(f"qemu-{machine}-static") or shutil.which(f"qemu-{machine}")
    if found is None:
        pytest.skip("needs qemu-user")
    return found


def aarch64() -> tuple[str, ...]:
    """The command that runs a program of AArch64; skips the test where none can be built or run. The folder of its libraries is
    that of Debian's libc6-arm64-cross, unless BOUGH_TEST_AARCH64 names another."""
    root = Path(os.environ.get("BOUGH_TEST_AARCH64", "/usr/aarch64-linux-gnu"))
    command = (emulator("aarch64"), "-L", str(root))
    if not (root / "lib").exists():
        pytest.skip("needs the libraries of AArch64")
    try:
        find_compiler("aarch64-linux-gnu")
    except bough.CompileError:
        pytest.skip("needs ziglang or a cross compiler")
    return command
