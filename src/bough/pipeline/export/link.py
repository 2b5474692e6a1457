"""C source and objects to a shared object, by the C compiler of the system or by that of the `ziglang` package."""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from bough.base.errors import CompileError


def link(folder: Path, output: Path, sources: list[Path], exported: list[str], triple: str) -> list[str]:
    """Links `sources` (C and objects) to `output`, which shows the symbols `exported` only; `folder` takes what is written on the
    way. Gives the compiler's command."""
    script = folder / "symbols.map"
    script.write_text("{ global: " + " ".join(f"{symbol};" for symbol in exported) + " local: *; };\n")
    compiler = find_compiler(triple)
    options = ["-std=gnu11", "-O2", "-fPIC", "-shared", "-Wall", f"-Wl,-soname,{output.name}", f"-Wl,--version-script={script}",
               "-Wl,-z,noexecstack", "-Wl,-z,defs"]  # fmt: skip
    command = [*compiler, *options, "-o", str(output), *map(str, sources), "-lm", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(
            "the shared object cannot be linked",
            code="BGH-EXP-005",
            because=f"{' '.join(compiler)} says: {done.stderr.strip()[-2000:]}",
            advice="check that this compiler links programs, or name another in the environment variable CC",
        )
    return compiler


def find_compiler(triple: str) -> list[str]:
    """The command of a C compiler that makes programs for a target: CC or the system's for this architecture, a cross compiler
    of the distribution or `ziglang` for others. Raises `CompileError` where there is none."""
    architecture = triple.partition("-")[0]
    native = architecture == platform.machine().lower() and platform.system() == "Linux"
    if native and os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    known = ("cc", "gcc", "clang") if native else (f"{architecture}-linux-gnu-gcc",)
    for name in known:
        if found := shutil.which(name):
            return [found]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc", "-target", f"{architecture}-linux-gnu"]
    raise CompileError(
        f"there is no C compiler for {architecture}-linux-gnu",
        code="BGH-EXP-001",
        because=f"neither {' nor '.join(known)} is in the path, and the Python package ziglang is not installed",
        advice="pip install 'bough[cross]', or install the system's C compiler",
    )
