"""The checks of `bough doctor`: each looks at one thing and never raises."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bough.base import settings
from bough.base.clock import Stopwatch, duration
from bough.base.errors import BoughError, CompileError
from bough.cli import output

State = Literal["good", "warning", "bad"]
PEERS = ("onnxruntime", "openvino")


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    state: State
    detail: str


def run_all() -> list[Check]:
    return [_guarded(name, check) for name, check in CHECKS.items()]


def _guarded(name: str, check: Callable[[], tuple[State, str]]) -> Check:
    try:
        state, detail = check()
    except Exception as error:  # a check that breaks is a finding, not the end of the report
        state, detail = "bad", f"{type(error).__name__}: {error}"
    return Check(name, state, detail)


def _python() -> tuple[State, str]:
    new_enough = sys.version_info >= (3, 11)
    return "good" if new_enough else "bad", f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _torch() -> tuple[State, str]:
    found = importlib.metadata.version("torch")
    release = tuple(int(part) for part in found.split("+")[0].split(".")[:2])
    if not (2, 9) <= release < (2, 14):
        return "bad", f"{found}; Bough needs torch>=2.9,<2.14"
    return "good", found


def _llvm() -> tuple[State, str]:
    import llvmlite.binding as llvm

    major, minor, patch = llvm.llvm_version_info
    found = f"llvmlite {importlib.metadata.version('llvmlite')}, LLVM {major}.{minor}.{patch}"
    return ("good" if major >= 22 else "bad"), found


def _processor() -> tuple[State, str]:
    from bough.targets import host

    target = host()
    caches = ", ".join(f"{m.name} {output.size(m.bytes)}" for m in target.memories if m.kind == "cache" and m.bytes)
    state: State = "good" if target.lanes > 1 else "warning"
    return state, f"{target.name}, {target.lanes} floats in a vector; caches: {caches or 'unknown'}"


def _threads() -> tuple[State, str]:
    count, cores = settings.read(settings.THREADS), settings.available_cores()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    detail = f"{count} threads on {cores} cores, load {load:.1f}"
    return ("good" if count <= cores else "warning"), detail


def _cache() -> tuple[State, str]:
    folder = settings.read(settings.CACHE)
    if folder is None:
        return "warning", "turned off by BOUGH_CACHE=0: everything is compiled anew in each process"
    if not folder.exists():
        return "good", f"{folder} (not used yet)"
    about = folder.stat()
    mode = stat.S_IMODE(about.st_mode)
    if hasattr(os, "getuid") and about.st_uid != os.getuid():
        return "bad", f"{folder} belongs to another user: nothing in it will be loaded"
    if mode & 0o077:
        return "bad", f"{folder} is open to others (mode {mode:o}); run: chmod 700 {folder}"
    if not os.access(folder, os.W_OK):
        return "bad", f"{folder} cannot be written"
    free = shutil.disk_usage(folder).free
    return ("good" if free > 1 << 28 else "warning"), f"{folder}, {output.size(free)} free"


def _settings() -> tuple[State, str]:
    try:
        changed = [f"{s.variable}={settings.read(s)}" for s in settings.SETTINGS if os.environ.get(s.variable)]
    except CompileError as error:
        return "bad", error.what
    return "good", " ".join(changed) or "all at their defaults"


def _peers() -> tuple[State, str]:
    words = [
        f"{name} {importlib.metadata.version(name)}" if importlib.util.find_spec(name) else f"{name} missing"
        for name in PEERS
    ]
    return "good", ", ".join(words) + " (wanted only by `bough bench`)"


def _self_test() -> tuple[State, str]:
    import torch

    from bough.pipeline import compile as compile_module

    module = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4)).eval()
    x = torch.linspace(-1, 1, 16).reshape(2, 8)
    try:
        with Stopwatch() as watch:
            compiled = compile_module(module, (x,), cache=False)
        with torch.no_grad():
            error = float((compiled(x) - module(x)).abs().max())
    except BoughError as failure:
        return "bad", str(failure)
    state: State = "good" if error < 1e-5 else "bad"
    return state, f"compiled a small network in {duration(watch.seconds)}, difference from eager {error:.1e}"


CHECKS: dict[str, Callable[[], tuple[State, str]]] = {
    "Python": _python,
    "torch": _torch,
    "LLVM": _llvm,
    "processor": _processor,
    "threads": _threads,
    "cache": _cache,
    "settings": _settings,
    "peers": _peers,
    "self test": _self_test,
}
